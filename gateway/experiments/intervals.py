"""Estimates with 95% confidence intervals: rates, quantiles, and differences of either."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

__all__ = ["Estimate", "minus", "quantile", "rate"]

_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Estimate:
    """`value` is NaN where nothing was seen; `low` and `high` may be infinite where too little was seen."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


def rate(hits: float, of: int) -> Estimate:
    """A proportion with Wilson's score interval (1927). Where each of the `of` is a chance in [0, 1], `hits` is their
    sum: a chance varies no more than a yes or a no, so the interval is then rather too wide than too narrow."""
    if of == 0:
        return Estimate(math.nan, 0.0, 1.0)
    share, weight = hits / of, _Z**2 / of
    middle = (share + weight / 2) / (1 + weight)
    half = _Z / (1 + weight) * math.sqrt(share * (1 - share) / of + weight / (4 * of))
    # at 0 and at `of` hits the bound is exact; rounding must not change it
    return Estimate(share, 0.0 if hits == 0 else middle - half, 1.0 if hits == of else middle + half)


def quantile(values: Sequence[float], q: float) -> Estimate:
    """The q-quantile of values that are not negative, with an interval between two order statistics whose ranks are
    rounded outwards (Conover 1971, 3.2). It assumes no distribution. With too few values a bound is 0 or infinity."""
    if not values:
        return Estimate(math.nan, 0.0, math.inf)
    ordered, n = sorted(values), len(values)
    half = _Z * math.sqrt(n * q * (1 - q))
    lower, upper = math.floor(n * q - half), math.ceil(n * q + half) + 1  # ranks from 1
    low = ordered[lower - 1] if lower >= 1 else 0.0
    high = ordered[upper - 1] if upper <= n else math.inf
    return Estimate(ordered[max(0, math.ceil(n * q) - 1)], low, high)


def minus(a: Estimate, b: Estimate) -> Estimate:
    """a - b for independent samples, from their own intervals: Newcombe's hybrid score method (1998, method 10) for
    rates, and the same method for any other pair of intervals (MOVER, Zou and Donner 2008)."""
    if math.isnan(a.value) or math.isnan(b.value):
        return Estimate(math.nan, -math.inf, math.inf)
    value = a.value - b.value
    down = math.hypot(a.value - a.low, b.high - b.value)
    up = math.hypot(a.high - a.value, b.value - b.low)
    return Estimate(value, value - down, value + up)
