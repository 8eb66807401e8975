"""Fits a scope's prompt classifier, calibrates it, and measures it on rows it never saw."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import faiss
import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC

from classifiers.calibration import Calibration, threshold_at
from classifiers.encoder.sentence import Encoder
from classifiers.names.aliases import LexicalDetector, confirmed
from classifiers.names.ordinary import Alias
from classifiers.svm.augment import augment
from classifiers.svm.model import Head, PromptClassifier
from classifiers.traffic import general_traffic
from classifiers.types import Verdict

__all__ = ["GateRates", "GateTraining", "TrainedGate", "fit_gate"]

Array = NDArray[np.float32]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class GateTraining:
    """How a gate is fitted. `fpr` is the false-positive rate that calibration guarantees; the threshold is higher than
    that asks for if the classifier still catches all but a share `missed` of forget rows that it was not fitted on.
    Traffic nearer than `duplicate_cosine` to a forget row is taken as inside the scope."""

    fpr: float = 0.001
    missed: float = 0.02
    folds: int = 5
    seed: int = 0
    copies: int = 2
    heldout_share: float = 0.2
    calibration_share: float = 0.58
    regularisation: float = 10.0
    gamma: float = 2.0
    duplicate_cosine: float = 0.9

    def __post_init__(self) -> None:
        for name in ("fpr", "missed"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class GateRates:
    """Error rates on held-out rows, each beside its number of rows. `fnr` and `near_fpr` are of the whole gate
    (aliases or classifier); `classifier_fnr` of the classifier alone. On general traffic the conformal alpha speaks."""

    fnr: float
    classifier_fnr: float
    forget_rows: int
    near_fpr: float
    retain_rows: int


@dataclass(frozen=True, slots=True)
class TrainedGate:
    """A fitted head with its threshold set, how it was set, and how it does. `floor` is the threshold that the forget
    rows themselves would do with; the higher of the two is the head's."""

    head: Head
    calibration: Calibration
    floor: float
    rates: GateRates
    excluded_traffic_rows: int


def fit_gate(
    *,
    forget: Sequence[str],
    retain: Sequence[str],
    aliases: Sequence[str | Alias],
    encoder: Encoder,
    training: GateTraining,
    traffic: Sequence[str] | None = None,
    progress: Progress = lambda *_: None,
) -> TrainedGate:
    """Fits on most rows and measures on the rest, then refits on all; both are calibrated on traffic they never saw.

    The shipped general traffic gives negatives to train on, and, without `traffic`, also the rows to calibrate on (a
    part set apart). Rows that name the scope or are nearly a forget row are not out of scope: they are left out and
    counted. Raises TooFewRows if the rest is too little for `training.fpr`.
    """
    lexical = LexicalDetector({"scope": aliases})
    encoded = _Embedded(encoder)
    progress("encode traffic", 0, 4)
    general, calibration_rows = _shipped(training)
    asked = list(traffic) if traffic is not None else calibration_rows
    calibrate_on = _outside(asked, forget, lexical, encoder, training)
    calibration_windows = encoder.encode(calibrate_on)
    negatives = encoded(_outside(general, forget, lexical, encoder, training))

    progress("fit on training rows", 1, 4)
    forget_held, forget_train = _split(forget, training)
    retain_held, retain_train = _split(retain, training)
    trial = _fit(encoded, forget_train, retain_train, negatives, training)
    trial, _ = _calibrated(trial, calibration_windows, training.fpr)
    trial = _raised(trial, _floor(encoded, forget_train, retain_train, negatives, training))
    progress("measure on held-out rows", 2, 4)
    rates = _rates(trial, lexical, encoder, forget_held, retain_held)

    progress("fit on all rows", 3, 4)
    final = _fit(encoded, forget, retain, negatives, training)
    final, calibration = _calibrated(final, calibration_windows, training.fpr)
    floor = _floor(encoded, forget, retain, negatives, training)
    progress("gate ready", 4, 4)
    return TrainedGate(
        _raised(final, floor), calibration, floor, rates, excluded_traffic_rows=len(asked) - len(calibrate_on)
    )


def _shipped(training: GateTraining) -> tuple[list[str], list[str]]:
    """The shipped traffic as (rows to train on, rows to calibrate on)."""
    rows = general_traffic()
    random.Random(training.seed).shuffle(rows)
    cut = round(training.calibration_share * len(rows))
    return rows[cut:], rows[:cut]


def _outside(
    traffic: Sequence[str],
    forget: Sequence[str],
    lexical: LexicalDetector,
    encoder: Encoder,
    training: GateTraining,
) -> list[str]:
    """The rows that neither name the scope nor lie next to a forget row (nearest neighbour by cosine, with faiss): a
    log holds questions about the very thing to forget, and calibrating on them would let them pass."""
    named = [bool(confirmed(verdicts)) for verdicts in lexical.detect(traffic)]
    unnamed = [text for text, is_named in zip(traffic, named, strict=True) if not is_named]
    windows = encoder.encode(unnamed)
    index = faiss.IndexFlatIP(encoder.hidden)
    index.add(np.concatenate(encoder.encode(forget)))
    return [
        text
        for text, of_text in zip(unnamed, windows, strict=True)
        if len(of_text) and float(index.search(of_text, 1)[0].max()) < training.duplicate_cosine
    ]


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


def _floor(
    encoded: _Embedded, forget: Sequence[str], retain: Sequence[str], negatives: Array, training: GateTraining
) -> float:
    """The score that all but a share `missed` of forget rows reach when they are left out of the fit, fold by fold.

    General traffic alone may allow a threshold far below it, and then every question of the rows' form would be inside,
    whoever it is about.
    """
    order = list(range(len(forget)))
    random.Random(training.seed).shuffle(order)
    scores: list[float] = []
    for fold in range(min(training.folds, len(order))):
        out = order[fold :: training.folds]
        rest = [forget[index] for index in order if index not in out]
        if rest:
            head = _fit(encoded, rest, retain, negatives, training)
            scores += [float(head.score(encoded([forget[index]])).max()) for index in out]
    spared = max(1, int(training.missed * (len(scores) + 1)))
    return sorted(scores)[spared - 1] if scores else -math.inf


def _raised(head: Head, floor: float) -> Head:
    return replace(head, threshold=max(head.threshold, floor))


def _rates(
    head: Head, lexical: LexicalDetector, encoder: Encoder, forget: Sequence[str], retain: Sequence[str]
) -> GateRates:
    def matches(texts: Sequence[str]) -> tuple[list[bool], list[bool]]:
        scores = [float(head.score(windows).max()) for windows in encoder.encode(texts)]
        by_head = [Verdict("scope", PromptClassifier.name, s, head.threshold, s > head.threshold) for s in scores]
        found = [confirmed([*names, one]) for names, one in zip(lexical.detect(texts), by_head, strict=True)]
        return [one.matched for one in by_head], [any(verdict.matched for verdict in of_one) for of_one in found]

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
