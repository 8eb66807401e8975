"""Fits O3's out-of-distribution detector (arXiv 2407.10223) to forget rows alone.

No out-of-scope text is read anywhere: the score's sign is fixed by its definition, the number of epochs by the caller,
and the threshold by held-out forget rows. The paper's code takes the first two from labelled test data.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from classifiers.calibration import TooFewRows, rows_needed
from classifiers.encoder.backbone import PROJECTIONS, Adapter, Backbone
from classifiers.encoder.windows import Cut
from classifiers.ood.model import LayerStatistics, Mixture, OneClassMachine, OodModel, standardised
from classifiers.ood.tuning import Tuning, tune_adapter
from classifiers.splits import Part

__all__ = ["OodRates", "OodTraining", "TrainedOod", "fit_ood"]

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

_LEAST_DEVIATION = 1e-3  # of the scores, which span about 1: rows that all score alike still make a distribution


@dataclass(frozen=True, slots=True)
class OodTraining:
    """How a detector is fitted. `missed` is the share of in-scope texts that may score below the threshold; `nu` bounds
    the share of rows that the machine takes for outliers; `masked_share` is of a row's tokens; no `epochs`, no tuning.

    The defaults tune lightly: on two other scopes (TOFU's authors, RWKU's Stephen King) every longer tuning of
    all-MiniLM-L6-v2 lowered the AUROC, and none raised it. An epoch takes a few seconds per hundred rows on one core.
    """

    seed: int = 0
    missed: float = 0.05
    nu: float = 0.1
    folds: int = 5
    epochs: int = 2
    rank: int = 8
    learning_rate: float = 1e-3
    masked_share: float = 0.15

    def __post_init__(self) -> None:
        for name in ("missed", "nu", "masked_share"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        if self.folds < 2 or self.rank < 1 or self.epochs < 0 or not self.learning_rate > 0:
            raise ValueError("folds must be 2 or more, rank 1 or more, epochs 0 or more, the learning rate positive")


@dataclass(frozen=True, slots=True)
class OodRates:
    """The share `fnr` of `forget_rows` held-out rows that a detector misses. Neither its encoder, nor its statistics,
    machine and threshold were fitted on these rows."""

    fnr: float | None
    forget_rows: int


@dataclass(frozen=True, slots=True)
class TrainedOod:
    """A model fitted on all `rows` different forget rows, the share of in-scope texts that its threshold may miss, and
    how a model does that was fitted on the training rows alone."""

    model: OodModel
    rows: int
    missed: float
    rates: OodRates


def fit_ood(
    *,
    forget: Part,
    encoder_folder: Path,
    training: OodTraining,
    progress: Progress = lambda *_: None,
) -> TrainedOod:
    """Tunes the encoder, stores the forget rows' features, and sets machine, threshold and weight on folds of them:
    first on the training rows alone, which are measured on the rows held out, then on all.

    A row against itself has a cosine of 1, so every distribution is made of rows scored by what was fitted without
    them. Rows that repeat another are left out first. Raises TooFewRows if the rest is too little for
    `training.missed`, and ValueError for an encoder of another architecture.

    Args:
        forget: the forget prompts, for training and held out.
        encoder_folder: the sentence encoder.
        training: settings.
        progress: is told a stage, the number of stages done, and of how many.
    """
    backbone = Backbone(encoder_folder)
    every, train = (_distinct(rows, backbone) for rows in (forget.every, forget.train))
    _require_rows(len(train), training)
    progress("fit on training rows", 0, 3)
    measured = _fit(list(train.values()), backbone, training)
    progress("measure on held-out rows", 1, 3)
    held = [cuts for tokens, cuts in _distinct(forget.held_out, backbone).items() if tokens not in train]
    rates = _rates(measured, held, backbone)
    progress("fit on all rows", 2, 3)
    model = _fit(list(every.values()), backbone, training)
    progress("detector ready", 3, 3)
    return TrainedOod(model, len(every), training.missed, rates)


def _fit(texts: Sequence[Sequence[Cut]], backbone: Backbone, training: OodTraining) -> OodModel:
    """A detector of these texts' windows alone."""
    cuts = [cut for text in texts for cut in text]
    owners = np.array([index for index, text in enumerate(texts) for _ in text])
    adapter = _tuned(cuts, backbone, training)
    model = _fitted(backbone.pooled(cuts, adapter), owners, training)
    return model if adapter is None else replace(model, down=adapter.down.numpy(), up=adapter.up.numpy())


def _distinct(forget: Sequence[str], backbone: Backbone) -> dict[tuple[int, ...], list[Cut]]:
    """The windows of each row by its tokens, without repeated rows: a copy in another fold would make a held-out row
    look seen."""
    by_tokens: dict[tuple[int, ...], list[Cut]] = {}
    for row in forget:
        cuts = list(backbone.cutter.cuts(row))
        if cuts:
            by_tokens.setdefault(tuple(token for cut in cuts for token in cut.ids), cuts)
    return by_tokens


def _require_rows(rows: int, training: OodTraining) -> None:
    least = max(rows_needed(training.missed), 2 * training.folds)
    if rows < least:
        raise TooFewRows(
            f"to miss at most {training.missed:g} of the in-scope texts, the out-of-distribution detector needs at "
            f"least {least} different forget rows beside those held out, and there are {rows}: write more rows, or let "
            f"it miss more"
        )


def _tuned(cuts: Sequence[Cut], backbone: Backbone, training: OodTraining) -> Adapter | None:
    """Tuned once, on the rows that the folds of the threshold leave out too. Compared on two scopes (100 and 112 rows),
    rows that took part in the tuning do not come out nearer than those that did not, but a little farther (up to .04
    standard deviations of a layer's feature), since the contrastive entropy drives them apart: the threshold errs to
    the low, safe side."""
    if training.epochs == 0:
        return None
    return tune_adapter(
        backbone,
        cuts,
        Tuning(training.rank, training.epochs, training.learning_rate, training.masked_share),
        seed=training.seed,
    )


def _fitted(pooled: Array, owners: NDArray[np.int64], training: OodTraining) -> OodModel:
    """A model without LoRA of pooled states [windows, layers, hidden] and the text that each window is of."""
    folds = _folds(owners, training)
    features = _heldout_features(pooled, folds, training)
    scores = _heldout_scores(features, owners, folds, training)
    blocks, hidden = pooled.shape[1] - 1, pooled.shape[2]
    return OodModel(
        down=np.zeros((blocks, len(PROJECTIONS), 0, hidden), dtype=np.float32),
        up=np.zeros((blocks, len(PROJECTIONS), hidden, 0), dtype=np.float32),
        layers=_statistics(pooled),
        machine=_machine(features, training),
        mixture=_mixture(scores, training),
        threshold=_threshold(scores, training.missed),
    )


def _folds(owners: NDArray[np.int64], training: OodTraining) -> NDArray[np.int64]:
    """The fold of each window, which is its text's: a seeded shuffle of the texts, equal folds but for one text."""
    texts = np.unique(owners).tolist()
    random.Random(training.seed).shuffle(texts)
    fold_of = {text: place % training.folds for place, text in enumerate(texts)}
    return np.array([fold_of[text] for text in owners.tolist()], dtype=np.int64)


def _statistics(pooled: Array) -> LayerStatistics:
    """`pooled` is [windows, layers, hidden]. The covariance is shrunk (Ledoit & Wolf 2004), as rows are fewer than
    dimensions."""
    from sklearn.covariance import ledoit_wolf

    layers = np.swapaxes(pooled, 0, 1)
    lengths = np.maximum(np.linalg.norm(layers, axis=2, keepdims=True), 1e-12)
    # Inverted here: scikit-learn's own precision goes by eigenvectors, which is slow, and very slow on busy cores.
    precisions = [np.linalg.inv(ledoit_wolf(layer.astype(np.float64))[0]) for layer in layers]
    return LayerStatistics(
        rows=(layers / lengths).astype(np.float32),
        means=layers.mean(axis=1),
        precisions=np.stack(precisions).astype(np.float32),
    )


def _heldout_features(pooled: Array, folds: NDArray[np.int64], training: OodTraining) -> Doubles:
    """Features [windows, layers] of each window by the statistics of the other folds; `folds` [windows]."""
    features = np.zeros(pooled.shape[:2])
    for fold in range(training.folds):
        features[folds == fold] = _statistics(pooled[folds != fold]).features(pooled[folds == fold])
    return features


def _heldout_scores(
    features: Doubles, owners: NDArray[np.int64], folds: NDArray[np.int64], training: OodTraining
) -> Doubles:
    """Score of each text [texts], its best window's, by a machine fitted to the other folds' held-out features."""
    scores = np.zeros(len(owners))
    for fold in range(training.folds):
        own = folds == fold
        scores[own] = _machine(features[~own], training).score(features[own])
    return np.array(list(_best(scores, owners).values()))


def _best(scores: Doubles, owners: NDArray[np.int64]) -> dict[int, float]:
    """The highest score of each text's windows."""
    best: dict[int, float] = {}
    for text, score in zip(owners.tolist(), scores.tolist(), strict=True):
        best[text] = max(score, best.get(text, -math.inf))
    return best


def _machine(features: Doubles, training: OodTraining) -> OneClassMachine:
    from sklearn.svm import OneClassSVM

    centre = np.median(features, axis=0)
    scale = np.maximum(features.std(axis=0), 1e-6)
    inputs = standardised(features, centre, scale)
    gamma = 1 / (inputs.shape[1] * max(float(inputs.var()), 1e-6))
    machine = OneClassSVM(nu=training.nu, gamma=gamma).fit(inputs)
    weights = machine.dual_coef_[0].astype(np.float64)
    return OneClassMachine(
        centre=centre,
        scale=scale,
        vectors=machine.support_vectors_.astype(np.float64),
        weights=weights / weights.sum(),  # they sum to nu * rows: without this, folds of other sizes do not compare
        gamma=gamma,
    )


def _mixture(scores: Doubles, training: OodTraining) -> Mixture:
    from sklearn.mixture import GaussianMixture

    fitted = GaussianMixture(2, reg_covar=_LEAST_DEVIATION**2, random_state=training.seed).fit(scores[:, None])
    mixture = Mixture(
        shares=fitted.weights_ / fitted.weights_.sum(),
        means=fitted.means_[:, 0],
        deviations=np.sqrt(fitted.covariances_[:, 0, 0]),
        centre=0.0,
    )
    return replace(mixture, centre=min(_median(mixture), float(scores.max())))


def _median(mixture: Mixture) -> float:
    """Where the distribution function is one half, by bisection."""
    reach = 10 * mixture.deviations.max()
    low, high = float(mixture.means.min() - reach), float(mixture.means.max() + reach)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if mixture.cdf(middle) < 0.5 else (low, middle)
    return low


def _threshold(scores: Doubles, missed: float) -> float:
    """Conformal: a new in-scope text does not score above it with probability at most `missed`.

    It lies just below the floor((n + 1) missed)-th smallest of n held-out scores (arXiv 2107.07511, section 1).
    """
    rank = math.floor((len(scores) + 1) * missed + 1e-9)
    return float(np.nextafter(np.sort(scores)[rank - 1], -np.inf))


def _rates(model: OodModel, texts: Sequence[Sequence[Cut]], backbone: Backbone) -> OodRates:
    """How many of these texts a model does not flag."""
    adapter = None if model.down.shape[2] == 0 else Adapter(torch.from_numpy(model.down), torch.from_numpy(model.up))
    missed = sum(float(model.score(backbone.pooled(text, adapter)).max()) <= model.threshold for text in texts)
    return OodRates(fnr=missed / len(texts) if texts else None, forget_rows=len(texts))
