"""The artifacts of a scope and their files: safetensors and JSON, never a pickle."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints

from classifiers.names.ordinary import Alias
from gateway.core import DEFAULT_REFUSAL
from gateway.methods.base import Method
from gateway.methods.registry import method as method_named
from gateway.packs.detectors import GATE_FILE, DetectorKind, detector_kind
from gateway.policy import PlanName

__all__ = ["Artifacts", "Policy", "files_of", "read_gate", "write_artifacts"]

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Policy(BaseModel):
    """What the gateway does with a flagged request: `forget` by the method that the scope was trained with, `refuse`,
    or `instruct` the model not to know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    plan: PlanName = "forget"
    refusal: _Text = DEFAULT_REFUSAL
    instruction: str = ""


class _GateFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    aliases: tuple[str | Alias, ...]
    policy: Policy


@dataclass(frozen=True, slots=True, eq=False)
class Artifacts:
    """What training made of a scope: `model` is what the `detector` learned, `artifact` what the `method` learned.
    `extra` are further files, for people to read."""

    aliases: tuple[str | Alias, ...]
    policy: Policy
    detector: str
    model: Any
    method: str
    artifact: Any
    extra: Mapping[str, bytes]


def files_of(method: Method, detector: DetectorKind) -> tuple[str, ...]:
    """The files without which such a pack cannot be served."""
    return (GATE_FILE, detector.file, *method.files)


def write_artifacts(folder: Path, artifacts: Artifacts) -> None:
    """Writes every file into an existing, empty folder."""
    gate = _GateFile(aliases=artifacts.aliases, policy=artifacts.policy)
    (folder / GATE_FILE).write_text(gate.model_dump_json(indent=2), encoding="utf-8")
    artifacts.model.save(folder / detector_kind(artifacts.detector).file)
    method_named(artifacts.method).save(artifacts.artifact, folder)
    for name, content in artifacts.extra.items():
        (folder / name).write_bytes(content)


def read_gate(folder: Path) -> tuple[tuple[str | Alias, ...], Policy]:
    """The aliases and the policy that `write_artifacts` wrote. Raises OSError or ValueError for a file that is
    wrong."""
    gate = _GateFile.model_validate_json((folder / GATE_FILE).read_bytes())
    return gate.aliases, gate.policy
