"""The maths of the out-of-distribution detector, without any encoder: nearer is never worse, and files are checked."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from classifiers.ood.model import LayerStatistics, Mixture, OneClassMachine, OodModel, standardised

LAYERS, HIDDEN, ROWS = 3, 8, 20
Tensors = dict[str, np.ndarray]


def random_model(seed: int = 0, rank: int = 2) -> OodModel:
    """Every number drawn at random, shapes as of an encoder of two blocks."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(LAYERS, ROWS, HIDDEN)).astype(np.float32)
    return OodModel(
        down=random.normal(size=(LAYERS - 1, 3, rank, HIDDEN)).astype(np.float32),
        up=random.normal(size=(LAYERS - 1, 3, HIDDEN, rank)).astype(np.float32),
        layers=LayerStatistics(
            rows=rows / np.linalg.norm(rows, axis=2, keepdims=True),
            means=rows.mean(axis=1),
            precisions=np.stack([np.eye(HIDDEN, dtype=np.float32)] * LAYERS),
        ),
        machine=OneClassMachine(
            centre=np.full(LAYERS, 500.0),
            scale=np.full(LAYERS, 100.0),
            vectors=-np.abs(random.normal(size=(5, LAYERS))),
            weights=np.full(5, 0.2),
            gamma=0.4,
        ),
        mixture=Mixture(np.array([0.7, 0.3]), np.array([0.9, 0.6]), np.array([0.05, 0.2]), centre=0.87),
        threshold=0.3,
    )


def test_a_stored_row_has_the_highest_score_there_is() -> None:
    model = random_model()
    pooled = np.swapaxes(model.layers.rows, 0, 1) * 7  # a pooled state's length says nothing about its direction
    assert model.score(pooled) == pytest.approx(np.ones(ROWS))
    assert min(model.mixture.weight(float(score)) for score in model.score(pooled)) > 0.9


def test_the_farther_from_the_rows_the_lower_the_score() -> None:
    model = random_model()
    row, other = model.layers.rows[:, 0], -model.layers.rows.mean(axis=1)
    path = np.stack([(1 - step) * row + step * 300 * other for step in np.linspace(0, 1, 6)])
    scores = model.score(path)
    assert scores[0] > scores[1] >= scores[-1]
    assert scores[-1] < 0.01


@given(
    st.lists(st.floats(-500, 2000), min_size=LAYERS, max_size=LAYERS),
    st.integers(0, LAYERS - 1),
    st.floats(0, 1000),
)
def test_the_score_never_falls_when_a_feature_rises(features: list[float], which: int, by: float) -> None:
    machine = random_model().machine
    raised = [value + by * (index == which) for index, value in enumerate(features)]
    low, high = machine.score(np.array([features, raised]))
    assert high >= low - 1e-12


def test_features_above_the_median_say_no_more_than_inside() -> None:
    machine = random_model().machine
    above = standardised(np.array([[900.0, 501.0, 500.0]]), machine.centre, machine.scale)
    assert np.array_equal(above, np.zeros((1, LAYERS)))


@given(st.floats(-1, 2), st.floats(-1, 2))
def test_the_weight_never_falls_when_the_score_rises(one: float, other: float) -> None:
    mixture = random_model().mixture
    low, high = mixture.weight(min(one, other)), mixture.weight(max(one, other))
    assert 0 <= low <= high + 1e-12
    assert high <= 1


def test_the_weight_is_the_papers_below_the_centre() -> None:
    mixture = random_model().mixture
    near, mirrored = mixture.cdf(0.8), mixture.cdf(2 * mixture.centre - 0.8)
    assert mixture.weight(0.8) == pytest.approx(1 / (1 + math.exp(-(10 * (1 - mirrored + near) - 2))))
    assert mixture.weight(-10) == pytest.approx(1 / (1 + math.exp(2)))
    assert mixture.weight(mixture.centre) == pytest.approx(1 / (1 + math.exp(-8)))


def test_a_score_that_is_no_number_has_the_full_weight() -> None:
    assert random_model().mixture.weight(math.nan) == 1


@pytest.mark.parametrize("rank", [0, 2])
def test_a_saved_model_comes_back_as_it_was(tmp_path: Path, rank: int) -> None:
    model = random_model(rank=rank)
    model.save(tmp_path / "scope.safetensors")
    again = OodModel.load(tmp_path / "scope.safetensors")
    pooled = np.random.default_rng(1).normal(size=(4, LAYERS, HIDDEN)).astype(np.float32)
    assert np.array_equal(again.score(pooled), model.score(pooled))
    assert again.mixture.weight(0.7) == model.mixture.weight(0.7)
    assert again.threshold == model.threshold
    assert np.array_equal(again.down, model.down)
    assert np.array_equal(again.up, model.up)


def broken(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Tensors], None]:
    def apply(tensors: Tensors) -> None:
        tensors[name] = np.ascontiguousarray(change(tensors[name]))

    return apply


FAULTS: dict[str, Callable[[Tensors], object]] = {
    "missing": lambda tensors: tensors.pop("layers.means"),
    "unknown": lambda tensors: tensors.update(more=np.zeros(1)),
    "not a number": broken("layers.precisions", lambda value: value * np.float32("nan")),
    "infinite": broken("machine.vectors", lambda value: value + np.inf),
    "other hidden size": broken("layers.means", lambda value: value[:, :-1]),
    "other layers": broken("machine.centre", lambda value: value[:-1]),
    "other rank": broken("lora.up", lambda value: value[..., :-1]),
    "blocks do not fit layers": lambda tensors: tensors.update(
        {name: np.ascontiguousarray(tensors[name][:1]) for name in ("lora.up", "lora.down")}
    ),
    "one dimension fewer": broken("layers.rows", lambda value: value[0]),
    "no rows": broken("layers.rows", lambda value: value[:, :0]),
    "half precision": broken("layers.means", lambda value: value.astype(np.float16)),
    "integers": broken("machine.scale", lambda value: value.astype(np.int64)),
    "scale zero": broken("machine.scale", lambda value: value * 0),
    "weights negative": broken("machine.weights", lambda value: -value),
    "weights too large": broken("machine.weights", lambda value: value * 2),
    "shares too small": broken("mixture.shares", lambda value: value / 2),
    "deviation negative": broken("mixture.deviations", lambda value: -value),
    "three Gaussians": broken("mixture.means", lambda value: np.append(value, 1.0)),
    "threshold of two numbers": lambda tensors: tensors.update(threshold=np.zeros(2)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_with_a_fault_is_refused(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "scope.safetensors"
    random_model().save(path)
    tensors = load_file(path)
    FAULTS[fault](tensors)
    save_file(tensors, path)
    with pytest.raises(ValueError, match=r"scope\.safetensors holds no sound out-of-distribution detector"):
        OodModel.load(path)


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"a pickle, say"])
def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "scope.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"scope\.safetensors holds no out-of-distribution detector"):
        OodModel.load(path)


def test_a_truncated_or_absent_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scope.safetensors"
    random_model().save(path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"scope\.safetensors"):
        OodModel.load(path)
    with pytest.raises(ValueError, match=r"absent\.safetensors"):
        OodModel.load(tmp_path / "absent.safetensors")


def test_a_model_with_a_broken_number_scores_no_number() -> None:
    model = random_model()
    layers = replace(model.layers, means=model.layers.means * np.float32("nan"))
    pooled = np.random.default_rng(1).normal(size=(1, LAYERS, HIDDEN)).astype(np.float32)
    assert np.isnan(replace(model, layers=layers).score(pooled)).all()
