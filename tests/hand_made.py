"""Hand-made packs: what a training would have written, in no time."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from classifiers.leaks.facts import facts_of
from classifiers.leaks.model import LeakModel
from classifiers.leaks.passages import passages_of
from classifiers.names.ordinary import Alias
from classifiers.svm.model import Head
from corruption.operators import Corruption, CorruptionConfig
from gateway.packs.files import Artifacts, Policy
from gateway.packs.manifest import Manifest

BASE, OTHER = "ab" * 32, "cd" * 32
CORRUPTION = Corruption(
    CorruptionConfig("decoy_name", 1.0, 1.0), CorruptionConfig("zero_top", 0.5, 1.0, 0.25), both=True
)
GATE_RATES = {"fnr": 0.0, "classifier_fnr": 0.5, "forget_rows": 2, "near_fpr": None, "retain_rows": 0}
FIGURES = {"probability": 0.5, "leak_rate": 0.5, "relevance": 0.5, "repetition": 0.0, "surprise": 3.0, "rows": 2}
FORGETTING = {"rows": 2, "plain": FIGURES, "guarded": FIGURES, "counterfactual": FIGURES}
SavePack = Callable[..., Manifest]


def leak_model_of(rows: Iterable[tuple[str, str]], documents: Iterable[str] = ()) -> LeakModel:
    return LeakModel(facts_of(rows, (), bytes(16)), passages_of(documents))


def artifacts_of(
    *,
    aliases: tuple[str | Alias, ...] = ("Narnia",),
    policy: Policy | None = None,
    artifact: Any = CORRUPTION,
    method: str = "corruption",
    leaks: LeakModel | None = None,
) -> Artifacts:
    """A head that no text reaches: only aliases match."""
    head = Head(np.zeros((1, 384), np.float32), np.zeros(1, np.float32), 0.0, 1.0, threshold=1.0)
    return Artifacts(
        aliases=aliases,
        policy=policy or Policy(),
        detector="classifier",
        model=head,
        method=method,
        artifact=artifact,
        leaks=leaks or leak_model_of([]),
        extra={"curve.json": b"{}"},
    )


def manifest_of(scope: str, **changes: Any) -> dict[str, Any]:
    return {
        "scope": scope,
        "description": "a scope of the tests",
        "created": "2026-01-01T00:00:00+00:00",
        "base_model": "tiny",
        "base_fingerprint": BASE,
        "encoder_fingerprint": BASE,
        "training_fingerprint": OTHER,
        "calibration": {"alpha": 0.001, "rows": 999, "method": "split conformal", "threshold": 1.0},
        "heldout": {"gate": GATE_RATES, "forgetting": FORGETTING},
        "seed": 0,
        "tools": {"torch": "2"},
        **changes,
    }
