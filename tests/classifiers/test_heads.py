"""Classifier heads: kept on disk, refused when damaged, and never blind when a number is not one."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from classifiers.encoder.sentence import Encoder
from classifiers.svm.classifier import PromptClassifier
from classifiers.svm.model import Head


def head_of(hidden: int = 4, *, threshold: float = 0.1, seed: int = 0) -> Head:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(3, hidden)).astype(np.float32)
    return Head(vectors, np.array([1.0, -0.5, 0.25], dtype=np.float32), -0.2, 0.7, threshold)


def test_the_score_is_the_formula() -> None:
    head = head_of()
    x = np.array([0.1, -0.2, 0.3, 0.4], dtype=np.float32)
    by_hand = sum(w * np.exp(-0.7 * ((x - v) ** 2).sum()) for v, w in zip(head.vectors, head.weights, strict=True))
    assert head.score(x[None])[0] == pytest.approx(by_hand - 0.2, abs=1e-5)


def test_the_gradient_is_the_score_s_slope() -> None:
    head, step = head_of(), 1e-2
    x = np.array([0.1, -0.2, 0.3, 0.4], dtype=np.float32)
    slopes = [
        (head.score((x + step * axis)[None])[0] - head.score((x - step * axis)[None])[0]) / (2 * step)
        for axis in np.eye(4, dtype=np.float32)
    ]
    assert np.allclose(head.gradient(x), slopes, atol=1e-3)


def test_a_saved_head_scores_the_same(tmp_path: Path) -> None:
    head = head_of(threshold=0.123456789012345)
    head.save(tmp_path / "gate.safetensors")
    again = Head.load(tmp_path / "gate.safetensors")
    x = np.random.default_rng(3).normal(size=(5, 4)).astype(np.float32)
    assert np.array_equal(head.score(x), again.score(x))
    assert (again.threshold, again.gamma, again.bias) == (head.threshold, head.gamma, head.bias)


VECTORS = np.zeros((2, 4), dtype=np.float32)
WEIGHTS = np.zeros(2, dtype=np.float32)


@pytest.mark.parametrize(
    "tensors",
    [
        {"vectors": VECTORS, "weights": WEIGHTS},
        {"weights": WEIGHTS, "bias_gamma_threshold": np.zeros(3)},
        {"vectors": VECTORS, "weights": WEIGHTS, "bias_gamma_threshold": np.zeros(2)},
        {"vectors": VECTORS, "weights": np.zeros(3, dtype=np.float32), "bias_gamma_threshold": np.zeros(3)},
        {"vectors": np.zeros(4, dtype=np.float32), "weights": WEIGHTS, "bias_gamma_threshold": np.zeros(3)},
        {"vectors": VECTORS, "weights": WEIGHTS, "bias_gamma_threshold": np.array([0, 1, np.nan])},
        {"vectors": VECTORS, "weights": WEIGHTS, "bias_gamma_threshold": np.array([0, 1, np.inf])},
    ],
)
def test_a_file_that_holds_no_head_is_refused(tmp_path: Path, tensors: dict[str, np.ndarray]) -> None:
    save_file(tensors, tmp_path / "gate.safetensors")
    with pytest.raises(ValueError, match=r"gate\.safetensors"):
        Head.load(tmp_path / "gate.safetensors")


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", b"\xff" * 64])
def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "gate.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"gate\.safetensors"):
        Head.load(tmp_path / "gate.safetensors")


def test_a_head_of_another_encoder_is_refused_by_scope(encoder: Encoder) -> None:
    with pytest.raises(ValueError, match=r"'wizards'.*4 dimensions.*384"):
        PromptClassifier(encoder, {"wizards": head_of(4)})


def test_a_score_that_is_not_a_number_counts_as_a_match(encoder: Encoder) -> None:
    vectors = np.zeros((1, encoder.hidden), dtype=np.float32)
    broken = Head(vectors, np.array([np.nan], dtype=np.float32), 0.0, 1.0, threshold=1e9)
    ((verdict,),) = PromptClassifier(encoder, {"wizards": broken}).detect(["What is the weather?"])
    assert verdict.matched


def test_a_score_on_the_threshold_is_no_match(encoder: Encoder) -> None:
    vectors = np.zeros((1, encoder.hidden), dtype=np.float32)
    flat = Head(vectors, np.zeros(1, dtype=np.float32), 0.5, 1.0, threshold=0.5)
    ((verdict,),) = PromptClassifier(encoder, {"wizards": flat}).detect(["What is the weather?"])
    assert verdict.score == verdict.threshold
    assert not verdict.matched
    assert verdict.spans == ()


def test_no_heads_and_empty_texts_give_no_verdicts(encoder: Encoder) -> None:
    assert PromptClassifier(encoder, {}).detect(["a", "b"]) == [[], []]
    assert PromptClassifier(encoder, {"wizards": head_of(encoder.hidden)}).detect([""]) == [[]]
