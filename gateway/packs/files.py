"""The artifacts of a scope and their files: safetensors and JSON, never a pickle."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

from classifiers.languages.model import MultilingualHead
from classifiers.leaks.model import LeakModel
from classifiers.leaks.watch import OutputRule
from classifiers.names.ordinary import Alias
from gateway.core import DEFAULT_REFUSAL
from gateway.methods.base import Method
from gateway.methods.registry import method as method_named
from gateway.packs.detectors import GATE_FILE, LANGUAGES_FILE, DetectorKind, detector_kind
from gateway.policy import PlanName

__all__ = ["LEAKS_FILE", "Artifacts", "GateFile", "Policy", "files_of", "read_gate", "write_artifacts"]

LEAKS_FILE = "leaks.safetensors"
LeakFile = Literal["none", "facts", "passages"]  # none: packs of earlier versions
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Policy(BaseModel):
    """What the gateway does with a flagged request: `forget` by the method that the scope was trained with, `refuse`,
    or `instruct` the model not to know. `output` is what counts as a leak in an answer: `names`, facts and passages;
    `facts` and passages, where names alone are harmless; or nothing (`off`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    plan: PlanName = "forget"
    refusal: _Text = DEFAULT_REFUSAL
    instruction: str = ""
    output: OutputRule = "names"


class GateFile(BaseModel):
    """Aliases and policy of a scope. `leaks` says what the leak model has, so that it need not be read to know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    aliases: tuple[str | Alias, ...]
    policy: Policy
    leaks: LeakFile = "none"


@dataclass(frozen=True, slots=True, eq=False)
class Artifacts:
    """What training made of a scope: `model` is what the `detector` learned, `artifact` what the `method` learned,
    `leaks` what an answer must not say. `extra` are further files, for people to read. `languages` reads other
    languages than English; None: nothing does."""

    aliases: tuple[str | Alias, ...]
    policy: Policy
    detector: str
    model: Any
    method: str
    artifact: Any
    leaks: LeakModel
    extra: Mapping[str, bytes]
    languages: MultilingualHead | None = None


def files_of(method: Method, detector: DetectorKind) -> tuple[str, ...]:
    """The files without which such a pack cannot be served."""
    return (GATE_FILE, detector.file, *method.files)


def write_artifacts(folder: Path, artifacts: Artifacts) -> None:
    """Writes every file into an existing, empty folder."""
    kind: LeakFile = "passages" if len(artifacts.leaks.passages.ends) else "facts"
    gate = GateFile(aliases=artifacts.aliases, policy=artifacts.policy, leaks=kind)
    (folder / GATE_FILE).write_text(gate.model_dump_json(indent=2), encoding="utf-8")
    artifacts.leaks.save(folder / LEAKS_FILE)
    artifacts.model.save(folder / detector_kind(artifacts.detector).file)
    if artifacts.languages is not None:
        artifacts.languages.save(folder / LANGUAGES_FILE)
    method_named(artifacts.method).save(artifacts.artifact, folder)
    for name, content in artifacts.extra.items():
        (folder / name).write_bytes(content)


def read_gate(folder: Path) -> GateFile:
    """What `write_artifacts` wrote. Raises OSError or ValueError for a file that is wrong."""
    return GateFile.model_validate_json((folder / GATE_FILE).read_bytes())
