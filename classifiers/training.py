"""Fits a scope's prompt classifier, calibrates it, and measures it on rows it never saw."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC

from classifiers.augment import augment
from classifiers.calibration import Calibration, threshold_at
from classifiers.encoder import Encoder
from classifiers.lexical import LexicalDetector
from classifiers.prompt import Head

__all__ = ["GateRates", "GateTraining", "TrainedGate", "fit_gate"]

Array = NDArray[np.float32]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class GateTraining:
    """How a gate is fitted. `fpr` is the false-positive rate that calibration guarantees."""

    fpr: float = 0.001
    seed: int = 0
    copies: int = 2
    heldout_share: float = 0.2
    calibration_share: float = 0.58
    regularisation: float = 10.0
    gamma: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.fpr < 1:
            raise ValueError(f"fpr must lie between 0 and 1, got {self.fpr}")


@dataclass(frozen=True, slots=True)
class GateRates:
    """Error rates on held-out rows, each beside its number of rows. `fnr` and `near_fpr` are of the whole gate
    (aliases or classifier); `classifier_fnr` of the classifier alone; `general_fpr` on rows set apart from training
    and calibration is not claimed here: the conformal `alpha` speaks for it."""

    fnr: float
    classifier_fnr: float
    forget_rows: int
    near_fpr: float
    retain_rows: int


@dataclass(frozen=True, slots=True)
class TrainedGate:
    """A fitted head with its threshold set, how it was set, and how it does."""

    head: Head
    calibration: Calibration
    rates: GateRates
    excluded_traffic_rows: int


def fit_gate(
    *,
    forget: Sequence[str],
    retain: Sequence[str],
    aliases: Sequence[str],
    traffic: Sequence[str],
    encoder: Encoder,
    training: GateTraining,
    progress: Progress = lambda *_: None,
) -> TrainedGate:
    """Trains on most rows, calibrates on traffic, reports on the rest, then refits on all rows at that recipe.

    Traffic that names the scope is no out-of-scope row and is left out (and counted). The threshold always comes from
    the head that is returned: it is calibrated on traffic that this head did not see.
    Raises TooFewRows if the traffic is too little for `training.fpr`.
    """
    lexical = LexicalDetector({"scope": aliases})
    outside = [text for text, verdicts in zip(traffic, lexical.detect(traffic), strict=True) if not verdicts]
    random.Random(training.seed).shuffle(outside)
    cut = round(training.calibration_share * len(outside))
    calibration_rows, general = outside[:cut], outside[cut:]
    total = 4
    progress("encode traffic", 0, total)
    encoded = _Embedded(encoder)
    calibration_windows = encoder.encode(calibration_rows)
    negatives = encoded(general)

    progress("fit on training rows", 1, total)
    forget_held, forget_train = _split(forget, training)
    retain_held, retain_train = _split(retain, training)
    trial = _fit(encoded, forget_train, retain_train, negatives, training)
    trial, _ = _calibrated(trial, calibration_windows, training.fpr)
    progress("measure on held-out rows", 2, total)
    rates = _rates(trial, lexical, encoder, forget_held, retain_held)

    progress("fit on all rows", 3, total)
    final = _fit(encoded, forget, retain, negatives, training)
    final, calibration = _calibrated(final, calibration_windows, training.fpr)
    progress("gate ready", total, total)
    return TrainedGate(final, calibration, rates, excluded_traffic_rows=len(traffic) - len(outside))


class _Embedded:
    """Texts as rows of embeddings: every window of a text is a row."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def __call__(self, texts: Sequence[str]) -> Array:
        if not texts:
            return np.zeros((0, self._encoder.hidden), dtype=np.float32)
        return np.concatenate(self._encoder.encode(texts))


def _split(rows: Sequence[str], training: GateTraining) -> tuple[list[str], list[str]]:
    """(held out, for training), by a seeded shuffle; at least one row held out of two or more."""
    shuffled = list(rows)
    random.Random(training.seed).shuffle(shuffled)
    held = max(1, round(training.heldout_share * len(shuffled))) if len(shuffled) > 1 else 0
    return shuffled[:held], shuffled[held:]


def _fit(
    encoded: _Embedded, forget: Sequence[str], retain: Sequence[str], negatives: Array, training: GateTraining
) -> Head:
    def rows(prompts: Sequence[str]) -> Array:
        framed = augment(prompts, copies=training.copies, seed=training.seed)
        return np.concatenate([encoded(prompts), encoded(framed)])

    positive = rows(forget)
    negative = np.concatenate([rows(retain), negatives])
    machine = SVC(C=training.regularisation, gamma=training.gamma, class_weight="balanced")
    labels = np.concatenate([np.ones(len(positive)), np.zeros(len(negative))])
    machine.fit(np.concatenate([positive, negative]), labels)
    return Head(
        vectors=machine.support_vectors_.astype(np.float32),
        weights=machine.dual_coef_[0].astype(np.float32),
        bias=float(machine.intercept_[0]),
        gamma=training.gamma,
        threshold=0.0,
    )


def _calibrated(head: Head, windows: Sequence[Array], fpr: float) -> tuple[Head, Calibration]:
    scores = [float(head.score(of_text).max()) for of_text in windows if len(of_text)]
    calibration = threshold_at(fpr, scores)
    return replace(head, threshold=calibration.threshold), calibration


def _rates(
    head: Head, lexical: LexicalDetector, encoder: Encoder, forget: Sequence[str], retain: Sequence[str]
) -> GateRates:
    def matches(texts: Sequence[str]) -> tuple[list[bool], list[bool]]:
        by_head = [bool(head.score(windows).max() > head.threshold) for windows in encoder.encode(texts)]
        named = [bool(verdicts) for verdicts in lexical.detect(texts)]
        return by_head, [a or b for a, b in zip(by_head, named, strict=True)]

    forget_head, forget_gate = matches(forget)
    _, retain_gate = matches(retain)
    return GateRates(
        fnr=1 - _share(forget_gate),
        classifier_fnr=1 - _share(forget_head),
        forget_rows=len(forget),
        near_fpr=_share(retain_gate),
        retain_rows=len(retain),
    )


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else 0.0
