"""What a text shares with both sides cancels out."""

import numpy as np

from classifiers.languages.contrast import contrasted
from classifiers.svm.model import Head

INSIDE, OUTSIDE = np.eye(6, dtype=np.float32)[:2], np.eye(6, dtype=np.float32)[2:4]
HEAD = Head(np.concatenate([INSIDE, OUTSIDE]), np.array([1, 1, -1, -1], dtype=np.float32), 0.0, 2.0, 0.0)


def unit(*numbers: float) -> np.ndarray:
    row = np.array([numbers], dtype=np.float32)
    return np.asarray(row / np.linalg.norm(row), dtype=np.float32)


def gain(text: np.ndarray) -> float:
    (gained,) = contrasted(HEAD, 1.0, text) - HEAD.score(text)
    return float(gained)


def test_a_text_near_all_points_gains_nothing() -> None:
    assert abs(gain(unit(1, 1, 1, 1, 0, 0))) < 1e-6
    assert abs(gain(unit(0, 0, 0, 0, 1, 0))) < 1e-6


def test_a_text_gains_by_the_nearest_points_of_its_side() -> None:
    assert gain(unit(1, 1, 0, 0, 0, 1)) > 0.5 > -0.5 > gain(unit(0, 0, 1, 1, 0, 1))


def test_without_a_weight_or_a_side_the_head_alone_counts() -> None:
    text = unit(1, 2, 0, 0, 0, 0)
    assert np.array_equal(contrasted(HEAD, 0.0, text), HEAD.score(text))
    one_sided = Head(INSIDE, np.ones(2, dtype=np.float32), 0.0, 2.0, 0.0)
    assert np.array_equal(contrasted(one_sided, 3.0, text), one_sided.score(text))
