"""What results.json holds: as `run` writes it, and as the report and the tables read it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

__all__ = [
    "ORIGINAL",
    "RETRAINED",
    "ArmRecord",
    "ArmResult",
    "Results",
    "ResultsJson",
    "TuningTrial",
    "mapping",
    "number",
]

ORIGINAL, RETRAINED = "original", "retrain"
"""The arms that the others are set beside."""


class ArmRecord(TypedDict, total=False):
    """A finished arm on disk, arms/ARM/arm.json; results.json adds its `summary`. What an arm has not is left out.

    `arm` is its YAML file, `settings` what tuning chose; `losses` are of the training that changed weights.
    """

    kind: str
    arm: dict[str, Any]
    status: str
    error: str | None
    tuning_seconds: float
    training_seconds: float
    artifact_bytes: int
    settings: dict[str, float]
    trials: list[dict[str, Any]]
    budget_trials: int
    losses: list[float]
    harness: dict[str, dict[str, float]]
    harness_error: str
    seconds_per_answer: float
    total_seconds: float
    summary: dict[str, Any] | None


class ResultsJson(TypedDict):
    """results.json."""

    suite: str
    model: str
    environment: dict[str, Any]
    seed: int
    samples: int
    tasks: dict[str, Any] | None
    notes: list[str]
    items: dict[str, int]
    arms: dict[str, ArmRecord]


@dataclass(frozen=True, slots=True)
class TuningTrial:
    """Settings that tuning tried, and their score."""

    settings: Mapping[str, Any]
    score: float | None


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One arm, read. What the file does not hold is None or empty."""

    kind: str | None = None
    status: str | None = None
    error: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    trials: tuple[TuningTrial, ...] = ()
    budget_trials: int | None = None
    losses: tuple[Any, ...] = ()
    tuning_seconds: float | None = None
    training_seconds: float | None = None
    artifact_bytes: float | None = None
    seconds_per_answer: float | None = None
    harness: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    harness_error: str | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> "ArmResult":
        """The arm of an `ArmRecord` that came from disk."""
        trials = [mapping(trial) for trial in found.get("trials") or ()]
        return cls(
            kind=found.get("kind"),
            status=found.get("status"),
            error=found.get("error"),
            settings=mapping(found.get("settings") or found.get("arm")),
            trials=tuple(TuningTrial(mapping(trial.get("settings")), trial.get("score")) for trial in trials),
            budget_trials=found.get("budget_trials"),
            losses=tuple(found.get("losses") or ()),
            tuning_seconds=number(found.get("tuning_seconds")),
            training_seconds=number(found.get("training_seconds")),
            artifact_bytes=number(found.get("artifact_bytes")),
            seconds_per_answer=number(found.get("seconds_per_answer")),
            harness={task: mapping(scores) for task, scores in mapping(found.get("harness")).items()},
            harness_error=found.get("harness_error"),
            summary=mapping(found.get("summary")),
        )

    @property
    def failed(self) -> bool:
        return self.status == "failed"

    def figure(self, path: Sequence[str]) -> float | None:
        """The number at that path of the summary; None where there is no finite one."""
        return number(self._at(path))

    def group(self, *path: str) -> Mapping[str, Any]:
        """The figures by name, or by slice, at that path of the summary; none where nothing stands there."""
        return mapping(self._at(path))

    def slices(self, key: str) -> dict[str, Mapping[str, Any]]:
        """By slice, the figures under that key of the summary."""
        return {name: mapping(figures) for name, figures in self.group(key).items()}

    def _at(self, path: Sequence[str]) -> Any:
        found: Any = self.summary
        for key in path:
            found = mapping(found).get(key)
        return found


@dataclass(frozen=True, slots=True)
class Results:
    """A comparison, read. What the file does not hold is None or empty."""

    suite: str | None
    model: str | None
    seed: int | None
    environment: Mapping[str, Any]
    items: Mapping[str, Any]
    notes: tuple[str, ...]
    arms: Mapping[str, ArmResult]

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> "Results":
        """The comparison of a results.json."""
        return cls(
            suite=found.get("suite"),
            model=found.get("model"),
            seed=found.get("seed"),
            environment=mapping(found.get("environment")),
            items=mapping(found.get("items")),
            notes=tuple(found.get("notes") or ()),
            arms={str(name): ArmResult.read(mapping(arm)) for name, arm in mapping(found.get("arms")).items()},
        )


def mapping(found: Any) -> Mapping[str, Any]:
    """A JSON object as it is, an empty one for anything else."""
    return found if isinstance(found, Mapping) else {}


def number(found: Any) -> float | None:
    """What JSON may hold as a number, if it is finite."""
    known = isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found)
    return float(found) if known else None
