"""The classifier's heads beside support-vector machines on the same rows, over many scopes: misses, false alarms, size.

The machine (gamma 2, C 10) is what packs held before. Both are calibrated on the same shipped traffic, each by its own
rule for the floor; neither sees a held-out row or a public prompt. No alias has a part in any figure.

python -m benchmarks.product.heads [--data DIR]
"""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from sklearn.svm import SVC
from tqdm import tqdm

from benchmarks.compare.metrics.formulas import auroc
from benchmarks.product.rows import data_sets
from benchmarks.product.scope_rows import ScopeRows, measured_scopes
from benchmarks.record import write
from classifiers.cache import Recent
from classifiers.encoder.sentence import Encoder
from classifiers.splits import Part, Split
from classifiers.svm import training as svm_training
from classifiers.svm.fitting import HeadTraining, Rows
from classifiers.svm.model import Head
from classifiers.svm.training import GateTraining, fit_gate
from gateway.models.encoders import find_encoder

__all__ = ["fitted_head", "highest_scores", "measure_heads"]

_REMEMBERED = 50_000  # texts: every scope is measured on the same public prompts


def measure_heads(data: Path, *, seed: int) -> dict[str, Any]:
    """For each scope and kind of head the shares of held-out rows missed, and of public and near prompts flagged."""
    encoder = find_encoder("minilm").load()
    encoder._recent = Recent(_REMEMBERED)
    public = [prompt for name, rows in data_sets(data).items() if name.startswith("general/") for prompt in rows]
    random.Random(seed).shuffle(public)
    public = [prompt for prompt in public if prompt and prompt.strip()]
    rows = list(measured_scopes(data))
    found = {
        scope.name: {
            "machine": _measured(_machine(scope, encoder, seed), scope, public, encoder),
            "head": _measured(fitted_head(scope, encoder, seed), scope, public, encoder),
        }
        for scope in tqdm(rows, desc="scopes")
    }
    return {"public_prompts": len(public), "scopes": found, "mean": _means(found)}


def fitted_head(scope: ScopeRows, encoder: Encoder, seed: int) -> Head:
    """The head that a pack of this scope would measure: of the training rows alone."""
    return _fitted(scope, encoder, GateTraining(seed=seed))


def _fitted(scope: ScopeRows, encoder: Encoder, training: GateTraining) -> Head:
    forget = Part(every=scope.forget, train=scope.forget, held_out=scope.forget[:1])
    retain = Part(every=scope.retain, train=scope.retain, held_out=())
    return fit_gate(split=Split(forget, retain), aliases=[], encoder=encoder, training=training).measured_head


def _machine(scope: ScopeRows, encoder: Encoder, seed: int) -> Head:
    """The same with a support-vector machine, and without the least rise of the threshold."""
    with (
        mock.patch.object(svm_training, "fit_head", _fit_machine),
        mock.patch.object(svm_training, "fit_machine", _fit_machine),
    ):
        return _fitted(scope, encoder, GateTraining(seed=seed, rise=-1.0))


def _fit_machine(forget: Rows, retain: Rows, traffic: Any, training: HeadTraining, *, seed: int) -> Head:
    inside, outside = forget.every, np.concatenate([retain.every, traffic])
    machine = SVC(C=10.0, gamma=2.0, class_weight="balanced")
    machine.fit(np.concatenate([inside, outside]), np.repeat([1, 0], [len(inside), len(outside)]))
    weights = machine.dual_coef_[0].astype(np.float32)
    return Head(machine.support_vectors_.astype(np.float32), weights, float(machine.intercept_[0]), 2.0, 0.0)


def _measured(head: Head, scope: ScopeRows, public: Sequence[str], encoder: Encoder) -> dict[str, Any]:
    held, general, near = (highest_scores(head, texts, encoder) for texts in (scope.held_out, public, scope.near))
    return {
        "fnr": sum(score <= head.threshold for score in held) / len(held),
        "held_out_rows": len(held),
        "public_fpr": sum(score > head.threshold for score in general) / len(general),
        "near_fpr": sum(score > head.threshold for score in near) / len(near) if near else None,
        "near_rows": len(near),
        "retain_rows_trained_on": len(scope.retain),
        "auroc_public": auroc(held, general),
        "auroc_near": auroc(held, near) if near else None,
        "vectors": len(head.vectors),
        "bytes": head.vectors.nbytes + head.weights.nbytes,
    }


def highest_scores(head: Head, texts: Sequence[str], encoder: Encoder) -> list[float]:
    """The highest score of any window of each text that has one."""
    return [float(head.score(windows).max()) for windows in encoder.encode(texts) if len(windows)]


def _means(found: dict[str, dict[str, dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """Means over the scopes."""
    keys = ("fnr", "public_fpr", "near_fpr", "auroc_public", "auroc_near", "vectors", "bytes")
    return {
        kind: {
            key: float(np.mean([scope[kind][key] for scope in found.values() if scope[kind][key] is not None]))
            for key in keys
        }
        for kind in ("machine", "head")
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of public data sets")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(write("heads", options.seed, measure_heads(options.data, seed=options.seed)))
