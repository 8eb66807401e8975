"""The detectors that a pack can hold, by name: which file, how it is read, and how many of them become one detector.

A pack with a new detector can be served with one entry here; its training is in `gateway.training.detector`. The class
of one scope's numbers has `save(path)` and `load(path)` (see `classifiers.types.Detector`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.errors import SetupError

if TYPE_CHECKING:
    from classifiers.encoder.sentence import Encoder
    from classifiers.types import ScopedDetector

__all__ = ["DETECTORS", "GATE_FILE", "LANGUAGES_FILE", "DetectorKind", "detector_kind"]

GATE_FILE = "gate.json"  # aliases and policy, with every detector
LANGUAGES_FILE = "languages.safetensors"  # what reads other languages than English, if the pack has it


@dataclass(frozen=True, slots=True)
class DetectorKind:
    """`model` is 'package.module:Class' of one scope's numbers; `build` makes one detector of all scopes' models, which
    are read from their files as it takes them out of the mapping: once each, if it is wise."""

    name: str
    file: str
    model: str
    build: "Callable[[Encoder, Mapping[str, Any]], ScopedDetector]"

    def load(self, path: Path) -> Any:
        """One scope's numbers. Raises ValueError or OSError for a file that is wrong."""
        module, _, attribute = self.model.partition(":")
        return getattr(import_module(module), attribute).load(path)


def _classifier(encoder: "Encoder", heads: Mapping[str, Any]) -> "ScopedDetector":
    from classifiers.svm.classifier import PromptClassifier

    return PromptClassifier(encoder, heads)


def _ood(encoder: "Encoder", models: Mapping[str, Any]) -> "ScopedDetector":
    from classifiers.ood.detector import OodDetector

    return OodDetector(encoder.backbone, models)


DETECTORS: Mapping[str, DetectorKind] = {
    kind.name: kind
    for kind in (
        DetectorKind("classifier", "gate.safetensors", "classifiers.svm.model:Head", _classifier),
        DetectorKind("ood", "ood.safetensors", "classifiers.ood.model:OodModel", _ood),
    )
}


def detector_kind(name: str) -> DetectorKind:
    """The kind of that name. Raises SetupError that names those there are."""
    if name not in DETECTORS:
        raise SetupError(f"unknown detector {name!r}; there are {', '.join(DETECTORS)}")
    return DETECTORS[name]
