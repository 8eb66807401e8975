"""Fits a scope's prompt classifier, calibrates it, and measures it on held-out rows."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from classifiers.calibration import Threshold, bonus_at, threshold_at
from classifiers.encoder.sentence import Encoder
from classifiers.names.aliases import LexicalDetector, confirmed
from classifiers.names.ordinary import Alias
from classifiers.names.parts import PartIndex, parts_of
from classifiers.splits import Split
from classifiers.svm.augment import augment
from classifiers.svm.classifier import PromptClassifier
from classifiers.svm.fitting import HeadTraining, Rows, fit_head, fit_machine
from classifiers.svm.model import Head
from classifiers.svm.widening import Widening, embedded, kept_questions
from classifiers.traffic import general_traffic
from classifiers.types import Verdict

if TYPE_CHECKING:
    import faiss

__all__ = ["ClassifierRates", "GateTraining", "TrainedGate", "fit_gate"]

Array = NDArray[np.float32]
Progress = Callable[[str, int, int], None]


class _Fit(Protocol):
    def __call__(self, forget: Rows, retain: Rows, traffic: Array, training: HeadTraining, *, seed: int) -> Head: ...


@dataclass(frozen=True, slots=True)
class GateTraining:
    """How a gate is fitted. Calibration guarantees the false-positive rate `fpr`. The threshold is higher than that
    needs if the classifier then still catches all but a share `missed` of the forget rows that it was not fitted on;
    and it lies at least the share `rise` of the way from the score of a text that is far off to the score of half of
    these rows. A head of few points is as good as a support-vector machine if it errs on no more than a share `worse`
    more of the rows. Traffic nearer than `duplicate_cosine` to a forget row counts as inside the scope. With a part of
    a name, a text is inside if it scores higher than all but a share `leaning` of the traffic, as far as `fpr` allows.
    """

    fpr: float = 0.001
    missed: float = 0.02
    folds: int = 5
    seed: int = 0
    copies: int = 2
    calibration_share: float = 0.58
    rise: float = 0.15
    worse: float = 0.03
    leaning: float = 0.03
    head: HeadTraining = field(default_factory=HeadTraining)
    widening: Widening = field(default_factory=Widening)
    duplicate_cosine: float = 0.9

    def __post_init__(self) -> None:
        for name in ("fpr", "missed"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class ClassifierRates:
    """Error rates on held-out rows, each beside its number of rows. `fnr` and `near_fpr` are of the whole gate (aliases
    or classifier); `classifier_fnr` of the classifier alone. `near_fpr` is None if no retain row is held out. The
    conformal alpha stands for general traffic."""

    fnr: float
    classifier_fnr: float
    forget_rows: int
    near_fpr: float | None
    retain_rows: int


@dataclass(frozen=True, slots=True)
class TrainedGate:
    """A gate fitted twice. A pack ships `head`, which is fitted on all rows. `measured_head` is fitted on the training
    rows alone, and gives the rates. Every other figure on held-out rows must use `measured_head` too.

    `written_rows` is the number of written questions that the heads were fitted on, too.

    `calibration` and `floor` say how the head's threshold was set: it is the higher of the calibration's threshold and
    of the floor, which the forget rows set: see `rise` and `missed` of GateTraining.
    """

    head: Head
    measured_head: Head
    calibration: Threshold
    floor: float
    rates: ClassifierRates
    excluded_traffic_rows: int
    written_rows: int = 0


def fit_gate(
    *,
    split: Split,
    aliases: Sequence[str | Alias],
    encoder: Encoder,
    training: GateTraining,
    traffic: Sequence[str] | None = None,
    written: Sequence[str] = (),
    progress: Progress = lambda *_: None,
) -> TrainedGate:
    """Fits on the training rows and measures on those held out, then fits once more on all.

    The shipped general traffic gives negatives to train on, and, without `traffic`, also the rows to calibrate on (a
    part set apart). Rows that name the scope or are nearly a forget row are not out of scope: they are left out and
    counted. No held-out row has a part in the first fit, not even in what is left out of its traffic.

    Args:
        split: the scope's prompts, for training and held out.
        aliases: the scope's names.
        encoder: gives the embeddings that the head is fitted on.
        training: settings.
        traffic: out-of-scope prompts of the operator's own, to calibrate on in place of the shipped ones.
        written: questions about the scope that a model wrote. Those that seem good widen it: see `Widening`.
        progress: is told a stage, the number of stages done, and of how many.

    Raises TooFewRows if the traffic that is left is too little for `training.fpr`.
    """
    lexical = LexicalDetector({"scope": aliases})
    progress("encode traffic", 0, 4)
    general, calibration_rows = _shipped(training)
    asked = list(traffic) if traffic is not None else calibration_rows
    parts = parts_of(aliases)
    others, calibrated = (_unnamed(texts, lexical, parts, encoder) for texts in (general, asked))
    fitter = _Fitter(encoder, training, parts, others, calibrated)
    if written:
        far = np.concatenate([one.windows for one in others])
        kept = kept_questions(written, split, far, lexical=lexical, encoder=encoder, widening=training.widening)
        fitter = replace(fitter, written=kept)

    progress("fit on training rows", 1, 4)
    measured = fitter.fit(split.forget.train, split.retain.train)
    progress("measure on held-out rows", 2, 4)
    rates = _rates(measured.head, lexical, encoder, split)

    progress("fit on all rows", 3, 4)
    final = fitter.fit(split.forget.every, split.retain.every)
    progress("gate ready", 4, 4)
    excluded = len(asked) - final.calibration.rows
    return TrainedGate(final.head, measured.head, final.calibration, final.floor, rates, excluded, len(fitter.written))


@dataclass(frozen=True, slots=True)
class _Fitted:
    """`missed` forget rows and `flagged` retain rows, of those that the folds left out."""

    head: Head
    calibration: Threshold
    floor: float
    missed: int
    flagged: int


@dataclass(frozen=True, slots=True)
class _Outside:
    """A text outside the scope: its embeddings [windows, hidden], and whether it holds a part of a name."""

    windows: Array
    parted: bool


@dataclass(frozen=True, slots=True)
class _Fitter:
    """What every fit of a gate shares: the parts of the scope's names, and traffic that does not name the scope.
    Negatives and calibration rows come from it."""

    encoder: Encoder
    training: GateTraining
    parts: tuple[str, ...]
    general: Sequence[_Outside]
    calibration: Sequence[_Outside]
    written: tuple[str, ...] = ()

    def fit(self, forget: Sequence[str], retain: Sequence[str]) -> _Fitted:
        """A head with its threshold set, of these rows alone: a small one, if by the rows that folds leave out it tells
        the scope as well as a support-vector machine. A broad scope needs the machine."""
        import faiss

        index = faiss.IndexFlatIP(self.encoder.hidden)
        index.add(embedded(forget, self.encoder))
        outside = self._outside(self.general, index)
        negatives = np.concatenate(
            [np.zeros((0, self.encoder.hidden), dtype=np.float32), *(one.windows for one in outside)]
        )
        outside_scored = self._outside(self.calibration, index)
        small = self._calibrated(fit_head, forget, retain, negatives, outside_scored)
        if small.missed <= self._spared(len(forget)) and not small.flagged:
            return small
        large = self._calibrated(fit_machine, forget, retain, negatives, outside_scored)
        as_good = all(
            few <= many + max(1, self.training.worse * rows)
            for few, many, rows in (
                (small.missed, large.missed, len(forget)),
                (small.flagged, large.flagged, len(retain)),
            )
        )
        return small if as_good else large

    def _calibrated(
        self, fit: _Fit, forget: Sequence[str], retain: Sequence[str], negatives: Array, outside: Sequence[_Outside]
    ) -> _Fitted:
        """A head with its threshold set, and its errors on rows that the folds leave out.

        Args:
            fit: fits a head without a threshold.
            forget: rows to fit on.
            retain: rows to fit on.
            negatives: [windows, hidden] of general traffic to fit on.
            outside: the texts to calibrate on.
        """
        head = self._fitted(fit, forget, retain, negatives)
        scores = [float(head.score(one.windows).max()) for one in outside]
        calibration = threshold_at(self.training.fpr, scores)
        inside, near = self._left_out(fit, forget, retain, negatives)
        floor = self._floor(head.bias, inside)
        threshold = max(calibration.threshold, floor)
        missed, flagged = sum(score <= threshold for score in inside), sum(score > threshold for score in near)
        head = replace(head, threshold=threshold)
        if self.parts:
            parted = [one.parted for one in outside]
            bonus = bonus_at(threshold, self.training.fpr, scores, parted, most=self.training.leaning)
            head = replace(head, parts=self.parts, bonus=bonus)
        return _Fitted(head, calibration, floor, missed, flagged)

    def _outside(self, traffic: Sequence[_Outside], index: "faiss.IndexFlatIP") -> list[_Outside]:
        """The texts that do not lie next to a forget row (nearest neighbour by cosine): a log holds questions about the
        very thing to forget, and calibrating on them would let them pass."""
        near = self.training.duplicate_cosine
        return [one for one in traffic if float(index.search(one.windows, 1)[0].max()) < near]

    def _fitted(self, fit: _Fit, forget: Sequence[str], retain: Sequence[str], negatives: Array) -> Head:
        """A head without a threshold. Forget and retain rows are met in frames too."""
        rows = (self._framed(forget, self.written), self._framed(retain))
        return fit(*rows, negatives, self.training.head, seed=self.training.seed)

    def _left_out(
        self, fit: _Fit, forget: Sequence[str], retain: Sequence[str], negatives: Array
    ) -> tuple[list[float], list[float]]:
        """The scores of forget and of retain rows when they are left out of the fit, fold by fold, the lowest first."""
        inside: list[float] = []
        near: list[float] = []
        forget_folds, retain_folds = self._folds(forget), self._folds(retain)
        for fold, (out, rest) in enumerate(forget_folds):
            if rest:
                out_near, rest_near = retain_folds[fold] if fold < len(retain_folds) else ([], list(retain))
                head = self._fitted(fit, rest, rest_near, negatives)
                inside += [float(head.score(embedded([row], self.encoder)).max()) for row in out]
                near += [float(head.score(embedded([row], self.encoder)).max()) for row in out_near]
        return sorted(inside), sorted(near)

    def _folds(self, rows: Sequence[str]) -> list[tuple[list[str], list[str]]]:
        """(rows left out, all others) of each fold."""
        order, folds = list(range(len(rows))), self.training.folds
        random.Random(self.training.seed).shuffle(order)
        chosen = [set(order[fold::folds]) for fold in range(min(folds, len(order)))]
        return [
            ([rows[index] for index in order if index in out], [rows[index] for index in order if index not in out])
            for out in chosen
        ]

    def _floor(self, far: float, scores: Sequence[float]) -> float:
        """The threshold that the `scores` of forget rows left out of the fit allow; a text that is `far` off has that
        score.

        General traffic alone may allow a threshold far below it, and then every question of the rows' form would be
        inside, whoever it is about.
        """
        if not scores:
            return -math.inf
        return max(scores[self._spared(len(scores)) - 1], far + self.training.rise * (float(np.median(scores)) - far))

    def _spared(self, rows: int) -> int:
        """How many of so many forget rows the threshold may lose."""
        return max(1, int(self.training.missed * (rows + 1)))

    def _framed(self, rows: Sequence[str], written: Sequence[str] = ()) -> Rows:
        """Rows as they are and in frames, and written ones as they are."""
        framed = augment(rows, copies=self.training.copies, seed=self.training.seed)
        return Rows(embedded([*rows, *written], self.encoder), embedded(framed, self.encoder))


def _shipped(training: GateTraining) -> tuple[list[str], list[str]]:
    """The shipped traffic as (rows to train on, rows to calibrate on)."""
    rows = general_traffic()
    random.Random(training.seed).shuffle(rows)
    cut = round(training.calibration_share * len(rows))
    return rows[cut:], rows[:cut]


def _unnamed(
    traffic: Sequence[str], lexical: LexicalDetector, parts: Sequence[str], encoder: Encoder
) -> list[_Outside]:
    """The texts that do not name the scope and have any visible character."""
    named = [bool(confirmed(verdicts)) for verdicts in lexical.detect(traffic)]
    unnamed = [text for text, is_named in zip(traffic, named, strict=True) if not is_named]
    index = PartIndex({"scope": parts})
    read = zip(unnamed, encoder.encode(unnamed), strict=True)
    return [_Outside(windows, bool(index.scopes(text))) for text, windows in read if len(windows)]


def _rates(head: Head, lexical: LexicalDetector, encoder: Encoder, split: Split) -> ClassifierRates:
    index = PartIndex({"scope": head.parts})

    def matches(texts: Sequence[str]) -> tuple[list[bool], list[bool]]:
        read = zip(texts, encoder.encode(texts), strict=True)
        scores = [float(head.score(of_one).max()) + head.bonus * bool(index.scopes(text)) for text, of_one in read]
        by_head = [Verdict("scope", PromptClassifier.name, s, head.threshold, s > head.threshold) for s in scores]
        found = [confirmed([*names, one]) for names, one in zip(lexical.detect(texts), by_head, strict=True)]
        return [one.matched for one in by_head], [any(verdict.matched for verdict in of_one) for of_one in found]

    forget, retain = split.forget.held_out, split.retain.held_out
    forget_head, forget_gate = matches(forget)
    _, retain_gate = matches(retain)
    return ClassifierRates(
        fnr=1 - _share(forget_gate),
        classifier_fnr=1 - _share(forget_head),
        forget_rows=len(forget),
        near_fpr=_share(retain_gate) if retain else None,
        retain_rows=len(retain),
    )


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags)
