"""Means and intervals over all rows of a slice: None if one row does not know its value, never a mean of the rest."""

import dataclasses
import statistics
from collections.abc import Sequence

from benchmarks.compare.metrics import formulas
from gateway.experiments.intervals import rate

__all__ = ["all_known", "bootstrapped", "mean", "wilson"]


def all_known(values: Sequence[float | None]) -> list[float]:
    """The values, none at all if one is unknown."""
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else []


def mean(values: Sequence[float | None]) -> float | None:
    """None without values, too."""
    known = all_known(values)
    return statistics.fmean(known) if known else None


def bootstrapped(values: Sequence[float | None], seed: int) -> list[float] | None:
    """[low, high] of the mean."""
    known = all_known(values)
    return list(dataclasses.astuple(formulas.bootstrap_interval(known, seed=seed))) if known else None


def wilson(flags: Sequence[bool]) -> list[float] | None:
    """[low, high] of the share of flags that are set; None without flags."""
    if not flags:
        return None
    estimate = rate(sum(flags), len(flags))
    return [estimate.low, estimate.high]
