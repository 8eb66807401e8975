"""What training made of a scope, and the files that it becomes: safetensors and JSON, never pickled."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from adapters.lora.model import ADAPTER_FILES, Lora
from adapters.soft_prompt.model import VirtualTokens
from classifiers.names.ordinary import Alias
from classifiers.ood.model import OodModel
from classifiers.svm.model import Head
from corruption.operators import Corruption, Recipe
from gateway.policy import Means
from gateway.training.scope_file import Policy

__all__ = [
    "DETECTORS",
    "METHODS",
    "Artifacts",
    "DetectorName",
    "Method",
    "detector_of",
    "files_of",
    "method_of",
    "read_artifacts",
    "write_artifacts",
]

Method = Literal["corruption", "soft-prompt", "lora"]
DetectorName = Literal["classifier", "ood"]

_GATE = "gate.json"
DETECTORS: Mapping[DetectorName, str] = {"classifier": "gate.safetensors", "ood": "ood.safetensors"}
_CORRUPTION, _SOFT_PROMPT = "corruption.json", "soft_prompt.safetensors"
METHODS: Mapping[Method, tuple[str, ...]] = {
    "corruption": (_CORRUPTION,),
    "soft-prompt": (_SOFT_PROMPT,),
    "lora": ADAPTER_FILES,
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _GateFile(_Strict):
    aliases: tuple[str | Alias, ...]
    policy: Policy


class _RecipeFile(_Strict):
    operator: str
    share: float
    strength: float
    noise: float


class _CorruptionFile(_Strict):
    named: _RecipeFile
    described: _RecipeFile
    both: bool


@dataclass(frozen=True, slots=True, eq=False)
class Artifacts:
    """The gate of a scope and what it does to what is inside. `extra` are further files, for people to read."""

    aliases: tuple[str | Alias, ...]
    policy: Policy
    detector: Head | OodModel
    means: Means
    extra: Mapping[str, bytes]


def method_of(means: Means) -> Method:
    """The name of the method whose outcome this is."""
    match means:
        case Corruption():
            return "corruption"
        case VirtualTokens():
            return "soft-prompt"
        case Lora():
            return "lora"


def detector_of(detector: Head | OodModel) -> DetectorName:
    """The name of the detector that these numbers belong to."""
    return "classifier" if isinstance(detector, Head) else "ood"


def files_of(method: Method, detector: DetectorName) -> tuple[str, ...]:
    """The files without which such a pack cannot be served."""
    return (_GATE, DETECTORS[detector], *METHODS[method])


def write_artifacts(folder: Path, artifacts: Artifacts) -> None:
    """Writes every file into an existing, empty folder."""
    gate = _GateFile(aliases=artifacts.aliases, policy=artifacts.policy)
    (folder / _GATE).write_text(gate.model_dump_json(indent=2), encoding="utf-8")
    artifacts.detector.save(folder / DETECTORS[detector_of(artifacts.detector)])
    match artifacts.means:
        case Corruption() as corruption:
            (folder / _CORRUPTION).write_text(json.dumps(asdict(corruption), indent=2), encoding="utf-8")
        case VirtualTokens() as tokens:
            tokens.save(folder / _SOFT_PROMPT)
        case Lora() as lora:
            lora.save(folder)
    for name, content in artifacts.extra.items():
        (folder / name).write_bytes(content)


def read_artifacts(folder: Path, method: Method, detector: DetectorName) -> Artifacts:
    """Reads what `write_artifacts` wrote, `extra` left out. Raises OSError or ValueError for a file that is wrong."""
    gate = _GateFile.model_validate_json((folder / _GATE).read_bytes())
    load = Head.load if detector == "classifier" else OodModel.load
    return Artifacts(gate.aliases, gate.policy, load(folder / DETECTORS[detector]), _read_means(folder, method), {})


def _read_means(folder: Path, method: Method) -> Means:
    match method:
        case "corruption":
            file = _CorruptionFile.model_validate_json((folder / _CORRUPTION).read_bytes())
            named, described = (Recipe(**recipe.model_dump()) for recipe in (file.named, file.described))
            return Corruption(named, described, file.both)
        case "soft-prompt":
            return VirtualTokens.load(folder / _SOFT_PROMPT)
        case "lora":
            return Lora.load(folder)
