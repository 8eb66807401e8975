"""Intervals against published examples and against counting."""

import math

import numpy as np
import pytest

from gateway.experiments.intervals import Estimate, minus, quantile, rate


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [
        (5, 10, 0.23659, 0.76341),
        (0, 10, 0.0, 0.27753),
        (10, 10, 0.72247, 1.0),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, Two-sided confidence intervals for the single proportion, table I
        (15, 148, 0.0624, 0.1605),
    ],
)
def test_a_rate_has_wilson_s_interval(hits: int, of: int, low: float, high: float) -> None:
    found = rate(hits, of)
    assert found.value == hits / of
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)


def test_a_rate_of_nothing_says_nothing() -> None:
    found = rate(0, 0)
    assert math.isnan(found.value)
    assert (found.low, found.high) == (0, 1)


@pytest.mark.parametrize(
    ("a", "b", "low", "high"),
    [  # Newcombe 1998, Interval estimation for the difference between independent proportions, table II, method 10
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_a_difference_of_rates_has_newcombe_s_interval(
    a: tuple[int, int], b: tuple[int, int], low: float, high: float
) -> None:
    found = minus(rate(*a), rate(*b))
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)
    assert found.excludes_zero == (low > 0)


def test_a_median_lies_between_two_of_the_values() -> None:
    """Of 100 values: ranks 40 and 61, between which a median lies with 96.5% (binomial)."""
    assert quantile([float(n) for n in range(100, 0, -1)], 0.5) == Estimate(50.0, 40.0, 61.0)


def test_too_few_values_bound_nothing() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.95) == Estimate(3.0, 2.0, math.inf)
    assert quantile([7.0], 0.5) == Estimate(7.0, 0.0, math.inf)
    empty = quantile([], 0.5)
    assert math.isnan(empty.value)
    assert not minus(empty, quantile([1.0], 0.5)).excludes_zero
    assert not minus(quantile([9.0] * 5, 0.95), quantile([1.0] * 5, 0.95)).excludes_zero


@pytest.mark.parametrize("q", [0.5, 0.95])
def test_intervals_cover_what_they_should(q: float) -> None:
    """Skewed times, a true difference of 0: at least 94 of 100 intervals hold it."""
    rng = np.random.default_rng(1)
    truth = math.exp(2 + {0.5: 0.0, 0.95: 1.644854}[q])
    covered = apart = 0
    for _ in range(300):
        a, b = (quantile([float(x) for x in rng.lognormal(2, 1, 200)], q) for _ in range(2))
        covered += a.low <= truth <= a.high
        apart += minus(a, b).excludes_zero
    assert covered >= 282
    assert apart <= 18
