"""Thresholds with a guarantee."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Threshold", "TooFewRows", "bonus_at", "rows_needed", "threshold_at"]


class TooFewRows(ValueError):
    """So few rows cannot guarantee the error rate that was asked for."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """How a threshold was chosen: `rows` out-of-scope scores, the rate `alpha` that was asked for, and the
    threshold."""

    alpha: float
    rows: int
    threshold: float


def rows_needed(alpha: float) -> int:
    """The fewest calibration rows from which an error rate of `alpha` can be guaranteed."""
    return math.ceil(1 / alpha - 1e-9) - 1


def threshold_at(alpha: float, scores: Sequence[float]) -> Threshold:
    """Split conformal threshold: a new out-of-scope text scores above it with probability at most `alpha`.

    Holds for traffic exchangeable with the rows behind `scores` (Vovk et al. 2005; Angelopoulos & Bates,
    arXiv 2107.07511, section 1). The threshold is the ceil((n + 1)(1 - alpha))-th smallest of n scores.
    Raises ValueError for an alpha outside (0, 1) and TooFewRows if n is too small for alpha.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"the false-positive rate must lie between 0 and 1, got {alpha}")
    n = len(scores)
    rank = _rank(alpha, n)
    if rank > n:
        raise TooFewRows(
            f"a false-positive rate of {alpha:g} needs at least {rows_needed(alpha)} out-of-scope rows to calibrate "
            f"on, and there are {n}: give more rows with --traffic, or ask for a higher rate with --fpr"
        )
    return Threshold(alpha=alpha, rows=n, threshold=float(np.sort(np.asarray(scores, dtype=np.float64))[rank - 1]))


def bonus_at(threshold: float, alpha: float, scores: Sequence[float], marked: Sequence[bool], *, most: float) -> float:
    """How much the scores of marked texts may be raised, so that no more than a share `alpha` of all pass a threshold.

    Args:
        threshold: that of a conformal calibration on these scores, or a higher one.
        alpha: the rate of that calibration.
        scores: of out-of-scope texts.
        marked: which of them have the mark.
        most: a raised score passes only above the scores of all texts but this share.
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    spare = max(0, len(ordered) - _rank(alpha, len(ordered)) - int((ordered > threshold).sum()))
    below = sorted((s for s, mark in zip(scores, marked, strict=True) if mark and s <= threshold), reverse=True)
    lowest = float(np.quantile(ordered, 1 - most))
    if len(below) > spare:
        lowest = max(lowest, below[spare])
    return max(0.0, threshold - lowest)


def _rank(alpha: float, rows: int) -> int:
    """Which of the sorted scores of so many rows is the threshold, counted from 1."""
    return math.ceil((rows + 1) * (1 - alpha) - 1e-9)
