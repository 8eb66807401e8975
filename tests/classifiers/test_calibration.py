"""Thresholds: the order statistic, the guarantee, and what is said when it cannot be given."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.calibration import TooFewRows, rows_needed, threshold_at


@pytest.mark.parametrize(
    ("alpha", "rows", "rank"),
    # ceil((n + 1) * (1 - alpha)), by hand
    [(0.1, 9, 9), (0.1, 19, 18), (0.1, 20, 19), (0.5, 3, 2), (0.01, 99, 99), (0.001, 1999, 1998)],
)
def test_the_threshold_is_that_order_statistic(alpha: float, rows: int, rank: int) -> None:
    scores = list(np.random.default_rng(0).permutation(rows) + 1.0)  # the k-th smallest is k
    calibration = threshold_at(alpha, scores)
    assert calibration.threshold == rank
    assert (calibration.alpha, calibration.rows) == (alpha, rows)


@pytest.mark.parametrize(("alpha", "needed"), [(0.001, 999), (0.01, 99), (0.1, 9), (0.3, 3), (0.5, 1)])
def test_one_row_fewer_than_needed_is_too_few_and_the_message_says_how_many(alpha: float, needed: int) -> None:
    assert rows_needed(alpha) == needed
    assert threshold_at(alpha, [0.0] * needed).threshold == 0.0
    with pytest.raises(TooFewRows, match=f"at least {needed} ") as error:
        threshold_at(alpha, [0.0] * (needed - 1))
    assert f"there are {needed - 1}" in str(error.value)
    assert "--traffic" in str(error.value)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 2.0, math.nan])
def test_a_rate_outside_its_range_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        threshold_at(alpha, [0.0] * 100)


@given(
    st.lists(st.floats(-10, 10), min_size=2, max_size=60),
    st.sampled_from([0.05, 0.1, 0.2, 0.5]),
)
def test_of_the_rows_and_one_more_at_most_the_asked_share_lie_above(scores: list[float], alpha: float) -> None:
    """Exchangeability by enumeration: let each of the n + 1 rows in turn be the new one."""
    n = len(scores) - 1
    if n < rows_needed(alpha):
        return
    above = sum(scores[i] > threshold_at(alpha, scores[:i] + scores[i + 1 :]).threshold for i in range(n + 1))
    assert above <= alpha * (n + 1) + 1e-9


def test_the_guarantee_holds_in_simulation_and_is_not_wasteful() -> None:
    rng = np.random.default_rng(1)
    alpha, above = 0.1, []
    for _ in range(2000):
        threshold = threshold_at(alpha, rng.normal(size=59)).threshold
        above.append(rng.normal() > threshold)
    assert 0.075 < np.mean(above) < 0.12  # exactly 0.1 in the limit; 3 standard errors are 0.02
