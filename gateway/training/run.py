"""From a scope and models to a pack: split the rows once, fit the gate, learn to forget, measure on the rows held out,
and save."""

import datetime
import hashlib
import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from classifiers.names.measure import AliasAlarms, TrafficKind, count_alarms
from classifiers.names.ordinary import Alias
from classifiers.ood.detector import OodDetector
from classifiers.ood.model import OodModel
from classifiers.ood.training import OodTraining, fit_ood
from classifiers.splits import Split, split_rows
from classifiers.svm.model import Head
from classifiers.svm.training import GateTraining, TrainedGate, fit_gate
from classifiers.traffic import general_traffic
from gateway.methods.base import LearnedArtifact
from gateway.methods.registry import method
from gateway.models.folders import fingerprint
from gateway.packs.files import Artifacts
from gateway.packs.folders import list_packs
from gateway.packs.manifest import Calibration, GateRates, HeldOut, Manifest
from gateway.packs.store import load_pack, save_pack
from gateway.training.dataset import Progress, forget_dataset
from gateway.training.evaluator import Evaluator
from gateway.training.scope_file import Row, Scope
from gateway.training.sources import Sources
from gateway.training.targets import Targets
from gateway.training.task import LearningTask

__all__ = ["Training", "alias_alarms", "earlier_artifacts", "fingerprint_of", "train_pack"]

_GENERAL_ROWS = 500
_REVISION = 10  # raise it whenever the same settings come to give another pack: packs of before are then trained anew
_TOOLS = ("torch", "transformers", "sentence-transformers", "peft", "nevergrad", "scikit-learn", "numpy")


@dataclass(frozen=True, slots=True)
class Training:
    """One training run: the method with its configuration (None: its defaults), and the detector."""

    method: str = "corruption"
    detector: str = "classifier"
    configuration: Any = None
    gate: GateTraining = field(default_factory=GateTraining)
    ood: OodTraining = field(default_factory=OodTraining)

    @property
    def seed(self) -> int:
        """The seed of every random choice in the run."""
        return self.gate.seed

    @property
    def settings(self) -> Any:
        """The method's configuration."""
        return self.configuration or method(self.method).configured({}, seed=self.seed)


def train_pack(
    scope: Scope,
    sources: Sources,
    *,
    training: Training,
    training_fingerprint: str,
    out: Path,
    traffic: Sequence[str] | None = None,
    progress: Progress = lambda *_: None,
) -> Manifest:
    """Trains one scope and writes its pack under `out`, marked with `training_fingerprint` (see `fingerprint_of`).

    Raises TooFewRows or Diverged; nothing is written then. Other packs under `out` are read at most.
    """
    split = split_rows(_prompts(scope.forget), _prompts(scope.retain), seed=training.seed)
    gate = fit_gate(
        split=split,
        aliases=scope.aliases,
        traffic=traffic,
        encoder=sources.encoder,
        training=training.gate,
        progress=lambda stage, done, total: progress(f"gate: {stage}", done, total),
    )
    dataset = forget_dataset(scope, split, gate, sources.encoder)
    evaluator = Evaluator(sources)
    targets = Targets(scope, sources, evaluator, seed=training.seed)
    learned = method(training.method).learn(
        LearningTask(dataset, targets, evaluator, sources.base.model, progress),
        training.settings,
        partial(earlier_artifacts, out, training.method, scope.id, sources.base_folder),
    )
    screening = _fit_ood(scope, split, sources, training, progress) if training.detector == "ood" else _screening(gate)
    artifacts = Artifacts(
        aliases=scope.aliases,
        policy=scope.policy,
        detector=training.detector,
        model=screening.model,
        method=training.method,
        artifact=learned.artifact,
        extra=learned.extra,
    )
    alarms = {"alias_alarms": alias_alarms(scope, traffic)}
    manifest = _manifest(scope, sources, screening, training, learned, training_fingerprint)
    return save_pack(out, artifacts, {**manifest, **alarms})


def alias_alarms(scope: Scope, traffic: Sequence[str] | None) -> dict[TrafficKind, AliasAlarms]:
    """What the scope's names alone flag: in the shipped prompts (`general`) and in the operator's (`traffic`)."""
    counted: dict[TrafficKind, AliasAlarms] = {"general": count_alarms(scope.aliases, general_traffic())}
    return counted if traffic is None else counted | {"traffic": count_alarms(scope.aliases, traffic)}


def _prompts(rows: Sequence[Row]) -> list[str]:
    return [row.prompt for row in rows]


@dataclass(frozen=True, slots=True)
class _Screening:
    """What will tell whether a text is inside, how its threshold was set, and its rates on rows it never saw."""

    model: Head | OodModel
    calibration: Calibration
    rates: GateRates


def _screening(gate: TrainedGate) -> _Screening:
    calibration = Calibration(
        method="the higher of split conformal on out-of-scope rows and of what forget rows reach, fold by fold",
        alpha=gate.calibration.alpha,
        rows=gate.calibration.rows,
        threshold=gate.head.threshold,
        threshold_by_traffic_alone=gate.calibration.threshold,
        threshold_by_forget_rows=gate.floor if math.isfinite(gate.floor) else None,
        traffic_rows_left_out_as_in_scope=gate.excluded_traffic_rows,
    )
    return _Screening(gate.head, calibration, GateRates(**asdict(gate.rates)))


def _fit_ood(scope: Scope, split: Split, sources: Sources, training: Training, progress: Progress) -> _Screening:
    """O3's detector. Rows outside the scope are counted when it is done, and taught it nothing."""
    fitted = fit_ood(
        forget=split.forget,
        encoder_folder=sources.encoder_folder,
        training=training.ood,
        progress=lambda stage, done, total: progress(f"detector: {stage}", done, total),
    )
    detector = OodDetector(sources.encoder.backbone, {scope.id: fitted.model})

    def flagged(prompts: Sequence[str]) -> float | None:
        hits = [any(verdict.matched for verdict in verdicts) for verdicts in detector.detect(prompts)]
        return sum(hits) / len(hits) if hits else None

    near = _prompts(scope.retain)
    general = general_traffic()[:: max(1, len(general_traffic()) // _GENERAL_ROWS)]
    rates = GateRates(
        fnr=fitted.rates.fnr,
        forget_rows=fitted.rates.forget_rows,
        near_fpr=flagged(near),
        retain_rows=len(near),
        general_fpr=flagged(general),
        general_rows=len(general),
    )
    calibration = Calibration(
        method="split conformal on forget rows that the folds of the fit left out",
        missed=fitted.missed,
        rows=fitted.rows,
        threshold=fitted.model.threshold,
    )
    return _Screening(fitted.model, calibration, rates)


def earlier_artifacts(packs: Path, method_name: str, scope: str, base_folder: Path) -> dict[str, Any]:
    """What a method learned of other scopes in a folder of packs, for the same base model, by scope.

    Raises PackError if one of them cannot be read: what is learned without regard to it could undo it.
    """
    folders = [folder for folder in list_packs(packs) if folder.name != scope] if packs.is_dir() else []
    base = fingerprint(base_folder)
    found = {}
    for pack in map(load_pack, folders):
        if pack.manifest.base_fingerprint == base and pack.manifest.method == method_name:
            found[pack.manifest.scope] = pack.guard.artifact
    return found


def fingerprint_of(
    scope: Scope, training: Training, traffic: Sequence[str] | None, model_folders: Sequence[Path]
) -> str:
    """A hash of all that a pack depends on: the same hash means that training again would change nothing.

    Other scopes' LoRAs are left out: each new request would otherwise ask for all earlier ones to be trained anew.
    """
    settings = asdict(training)
    content = {
        "revision": _REVISION,
        "scope": [scope.id, scope.description, [_as_json(alias) for alias in scope.aliases], scope.policy.model_dump()],
        "rows": [
            [[row.prompt, row.response] for row in rows] for rows in (scope.forget, scope.retain, scope.calibration)
        ],
        "method": [training.method, asdict(training.settings), settings["gate"]],
        "detector": [training.detector, settings["ood"] if training.detector == "ood" else None],
        "traffic": [traffic, general_traffic()],
        "models": [fingerprint(folder) for folder in model_folders],
    }
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _as_json(alias: str | Alias) -> object:
    return alias if isinstance(alias, str) else asdict(alias)


def _manifest(
    scope: Scope,
    sources: Sources,
    screening: _Screening,
    training: Training,
    learned: LearnedArtifact,
    training_fingerprint: str,
) -> Mapping[str, Any]:
    return {
        "scope": scope.id,
        "description": scope.description,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "base_model": sources.base_name,
        "base_fingerprint": fingerprint(sources.base_folder),
        "encoder_fingerprint": fingerprint(sources.encoder_folder),
        "training_fingerprint": training_fingerprint,
        "calibration": screening.calibration,
        "heldout": HeldOut(gate=screening.rates, forgetting=learned.figures),
        "seed": training.seed,
        "tools": {"python": platform.python_version(), **{name: version(name) for name in _TOOLS}},
    }
