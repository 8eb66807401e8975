"""The index finds what scoring every head finds: the same scopes, the same scores, and no scope is ever missed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from classifiers.encoder.sentence import TokenWindow
from classifiers.svm import scan
from classifiers.svm.classifier import PromptClassifier
from classifiers.svm.index import Block, limit_of, prunes
from classifiers.svm.model import Head, quantised
from classifiers.svm.products import products

Array = NDArray[np.float32]
HIDDEN = 24
CLOSE = 1e-5
NO_WORDS = TokenWindow(np.zeros(HIDDEN, dtype=np.float32), np.zeros((1, HIDDEN), dtype=np.float32), ((0, 1),))


def unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), dtype=np.float32)


def background() -> Array:
    """General traffic that all scopes share."""
    return unit(np.random.default_rng(99).normal(size=(12, HIDDEN)))


def head_at(centre: Array, rng: np.random.Generator, *, spread: float, gamma: float, threshold: float) -> Head:
    """A scope around a centre, with positive and negative terms of its own and negative ones in shared traffic."""
    own = unit(centre + spread * rng.normal(size=(int(rng.integers(2, 7)), HIDDEN)) / math.sqrt(HIDDEN))
    shared = background()[rng.permutation(12)[: int(rng.integers(0, 6))]]
    weights = np.abs(rng.normal(size=len(own) + len(shared))) * np.where(
        np.arange(len(own) + len(shared)) < max(1, len(own) - 1), 1, -1
    )
    codes, scales = quantised(np.concatenate([own, shared]))
    return Head(codes, weights.astype(np.float32), -float(rng.uniform(0.2, 1)), gamma, threshold, scales)


def heads_of(seed: int, count: int, *, gamma: float = 4.0, spread: float = 0.5) -> dict[str, Head]:
    rng = np.random.default_rng(seed)
    centres = unit(rng.normal(size=(max(1, count // 3), HIDDEN)))  # several scopes lie together
    heads = {}
    for number in range(count):
        centre = centres[number % len(centres)]
        threshold = float(rng.uniform(-0.15, 0.4))
        heads[f"s{number}"] = head_at(centre, rng, spread=spread, gamma=gamma, threshold=threshold)
    return heads


def texts_of(seed: int, heads: Mapping[str, Head], count: int = 6) -> list[Array]:
    """Texts of one to three windows: far from all scopes, near one, and on a point itself."""
    rng = np.random.default_rng(seed + 1)
    points = np.concatenate([head.points for head in heads.values()] or [background()])
    texts = []
    for _ in range(count):
        near = points[rng.integers(len(points), size=int(rng.integers(1, 4)))]
        texts.append(unit(near + float(rng.choice([0.0, 0.3, 1.0, 3.0])) * rng.normal(size=near.shape) / HIDDEN**0.5))
    return texts


def classifier_of(heads: Mapping[str, Head], texts: Sequence[Array]) -> tuple[PromptClassifier, list[str]]:
    """A classifier whose encoder gives these embeddings, and texts that stand for them."""
    names = [str(number) for number in range(len(texts))]
    encoder: Any = SimpleNamespace(
        hidden=HIDDEN,
        encode=lambda asked: [texts[int(name)] for name in asked],
        windows=lambda _, among: [NO_WORDS] * len(among),
    )
    return PromptClassifier(encoder, heads), names


def one_by_one(heads: Mapping[str, Head], windows: Array) -> dict[str, float]:
    """Every scope's highest score of the windows, without any index and in double precision."""
    return {scope: float(exact(head, windows.astype(np.float64)).max()) for scope, head in heads.items()}


def exact(head: Head, windows: NDArray[np.float64]) -> NDArray[np.float64]:
    squared = ((windows[:, None] - head.points.astype(np.float64)[None]) ** 2).sum(-1)
    return np.asarray(np.exp(-head.gamma * squared) @ head.weights.astype(np.float64) + head.bias)


def rounding(head: Head) -> float:
    """How far two scores in float32 may differ: squared distances of about 1 are known to 5 in 10 million."""
    return CLOSE * max(1.0, head.gamma * float(np.abs(head.weights).sum()) / 20)


def check(classifier: PromptClassifier, heads: Mapping[str, Head], names: list[str], texts: Sequence[Array]) -> int:
    """Compares verdicts with scores one by one, but for scores within rounding of a limit. Returns how many there
    are."""
    assert set(classifier.scopes) == set(heads)
    count = 0
    for verdicts, windows in zip(classifier.detect(names), texts, strict=True):
        found = {verdict.scope: verdict for verdict in verdicts}
        assert len(found) == len(verdicts)
        for scope, score in one_by_one(heads, windows).items():
            limit, threshold, close = limit_of(heads[scope]), heads[scope].threshold, rounding(heads[scope])
            if abs(score - limit) > close:
                assert (scope in found) == (score > limit)
            if scope in found:
                assert found[scope].score == pytest.approx(score, abs=close)
                assert found[scope].threshold == threshold
                if abs(score - threshold) > close:
                    assert found[scope].matched == (score > threshold)
        count += len(found)
    return count


@given(st.integers(0, 10**6), st.integers(1, 25), st.sampled_from([0.5, 4.0, 16.0]), st.sampled_from([0.0, 0.5, 2.0]))
@settings(max_examples=60)
def test_it_finds_what_every_head_alone_finds(seed: int, count: int, gamma: float, spread: float) -> None:
    heads = heads_of(seed, count, gamma=gamma, spread=spread)
    texts = texts_of(seed, heads)
    classifier, names = classifier_of(heads, texts)
    check(classifier, heads, names, texts)


@given(st.integers(0, 10**6), st.sampled_from([0.5, 4.0, 16.0]), st.sampled_from([2, 6, 23]))
@settings(max_examples=40)
def test_shadows_leave_out_no_scope(seed: int, gamma: float, dimensions: int) -> None:
    heads = heads_of(seed, 25, gamma=gamma)
    texts = texts_of(seed, heads, 12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "_SHADOWED", 0)
        patch.setattr(scan, "_DIMENSIONS", dimensions)
        classifier, names = classifier_of(heads, texts)
        assert all(block.scan.shadow is not None for block in classifier._blocks)
    check(classifier, heads, names, texts)


@given(st.integers(0, 10**6), st.sampled_from([-1e-6, 0.0, 1e-6, 2e-5]))
@settings(max_examples=30)
def test_a_threshold_next_to_a_score_misses_nothing(seed: int, above: float) -> None:
    """Each scope's threshold lies at the score of one of the texts, or by so much over it."""
    drawn = heads_of(seed, 8)
    texts = texts_of(seed, drawn)
    heads = {}
    for number, (scope, head) in enumerate(drawn.items()):
        score = float(head.score(texts[number % len(texts)]).max())
        heads[scope] = Head(head.vectors, head.weights, head.bias, head.gamma, score + above, head.scales)
    classifier, names = classifier_of(heads, texts)
    check(classifier, heads, names, texts)


@given(st.integers(0, 10**6), st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=12))
@settings(max_examples=30)
def test_scopes_come_and_go(seed: int, steps: list[tuple[bool, int]]) -> None:
    """After any sequence of additions, replacements and removals the scopes are those that a new classifier has; and
    the classifiers before are as they were."""
    pool = heads_of(seed, 31)
    heads = dict(list(pool.items())[:10])
    texts = texts_of(seed, pool)
    classifier, names = classifier_of(heads, texts)
    before = classifier, dict(heads)
    for adds, number in steps:
        scope = f"s{number}"
        if adds:
            other = pool.get(f"s{(number * 7) % 31}") or next(iter(pool.values()))
            heads[scope] = other
            classifier = classifier.updated({scope: other}, [])
        else:
            heads.pop(scope, None)
            classifier = classifier.updated({}, [scope])
        check(classifier, heads, names, texts)
    check(before[0], before[1], names, texts)


def test_the_index_leaves_scopes_out_and_finds_the_one() -> None:
    """Not by scoring all: of 300 scopes far apart, only a few are ever scored exactly."""
    rng = np.random.default_rng(5)
    heads = {
        f"s{number}": head_at(unit(rng.normal(size=HIDDEN)), rng, spread=0.3, gamma=8.0, threshold=0.0)
        for number in range(300)
    }
    block = Block.of(heads)
    scored: list[int] = []
    inside = heads["s7"].points[:1]
    with pytest.MonkeyPatch.context() as patch:
        scoring = Block._scored
        patch.setattr(Block, "_scored", lambda self, x, scopes: scored.extend(scopes) or scoring(self, x, scopes))
        block.search(inside)
    assert 7 in scored
    assert len(scored) < 30


def test_updating_copies_no_large_array() -> None:
    heads = heads_of(3, 30)
    texts = texts_of(3, heads)
    classifier, _ = classifier_of(heads, texts)
    other = classifier.updated({"new": next(iter(heads.values()))}, ["s1"])
    old, new = classifier._blocks[0], other._blocks[0]
    assert np.shares_memory(old.inside.points.codes, new.inside.points.codes)
    assert np.shares_memory(old.outside.points.codes, new.outside.points.codes)
    assert "s1" in classifier.scopes
    assert "s1" not in other.scopes


def test_blocks_stay_few_while_scopes_are_added() -> None:
    pool = heads_of(8, 200)
    classifier, _ = classifier_of({}, [])
    for scope, head in pool.items():
        classifier = classifier.updated({scope: head}, [])
    assert set(classifier.scopes) == set(pool)
    assert len(classifier._blocks) <= 3


def test_shared_traffic_is_kept_once() -> None:
    heads = heads_of(4, 40)
    ids = {
        code.tobytes()
        for head in heads.values()
        for code, weight in zip(head.vectors, head.weights, strict=True)
        if weight <= 0
    }
    assert len(Block.of(heads).outside.points.codes) == len(ids)
    parts = [Block.of(dict(part)) for part in (list(heads.items())[:20], list(heads.items())[20:])]
    assert len(Block.joined(parts).outside.points.codes) == len(ids)


def test_a_head_comes_back_as_it_was() -> None:
    heads = heads_of(6, 5)
    classifier, _ = classifier_of(heads, [])
    x = unit(np.random.default_rng(1).normal(size=(4, HIDDEN)))
    for scope, head in heads.items():
        again = classifier.head(scope)
        assert np.allclose(again.score(x), head.score(x), atol=1e-6)
        assert (again.bias, again.gamma, again.threshold) == (head.bias, head.gamma, head.threshold)
    with pytest.raises(KeyError):
        classifier.head("nobody")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_embedding_that_is_not_a_number_is_inside_every_scope(value: float) -> None:
    heads = heads_of(2, 9)
    broken = background()[:2].copy()
    broken[1, 3] = value
    classifier, names = classifier_of(heads, [broken])
    (verdicts,) = classifier.detect(names)
    assert {verdict.scope for verdict in verdicts if verdict.matched} == set(heads)


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": np.array([np.nan, 1.0], np.float32)},
        {"weights": np.array([-1.0, -1.0], np.float32)},
        {"scales": np.array([np.nan, 1.0], np.float32)},
        {"bias": 0.5},
        {"gamma": 0.0},
        {"threshold": -math.inf},
    ],
)
def test_a_head_that_the_bound_cannot_leave_out_is_always_scored(changes: dict[str, Any]) -> None:
    codes, scales = quantised(background()[:2])
    fields = {"weights": np.ones(2, np.float32), "bias": -0.5, "gamma": 1.0, "threshold": 0.1, "scales": scales}
    head = Head(codes, **{**fields, **changes})
    assert not prunes(head)
    texts = texts_of(1, {"odd": head} if np.isfinite(head.points).all() else {})
    classifier, names = classifier_of({"odd": head}, texts)
    with np.errstate(all="ignore"):
        scores = [float(head.score(windows).max()) for windows in texts]
        expected = [not score <= limit_of(head) for score in scores]
        assert [bool(verdicts) for verdicts in classifier.detect(names)] == expected


def test_a_score_above_zero_has_a_verdict_below_a_high_threshold() -> None:
    """It is a doubtful name's second sign; a score below both has none."""
    codes, scales = quantised(background()[:1])
    head = Head(codes, np.array([1.0], np.float32), -0.5, 4.0, 0.9, scales)
    classifier, names = classifier_of({"owls": head}, [head.points, -head.points])
    near, far = classifier.detect(names)
    assert [(verdict.matched, verdict.score) for verdict in near] == [(False, pytest.approx(0.5, abs=1e-5))]
    assert far == []


def test_products_are_exact() -> None:
    rng = np.random.default_rng(0)
    codes, queries = rng.integers(-127, 128, (500, 384), np.int8), rng.integers(-127, 128, (3, 384), np.int8)
    expected = queries.astype(np.int64) @ codes.astype(np.int64).T
    assert np.array_equal(products(torch.from_numpy(codes), torch.from_numpy(queries)), expected)


def test_products_are_the_same_where_the_processor_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise RuntimeError("_int_mm is not implemented for this processor")

    rng = np.random.default_rng(0)
    codes, queries = rng.integers(-127, 128, (500, 384), np.int8), rng.integers(-127, 128, (3, 384), np.int8)
    usual = products(torch.from_numpy(codes), torch.from_numpy(queries))
    monkeypatch.setattr(torch, "_int_mm", missing)
    assert np.array_equal(products(torch.from_numpy(codes), torch.from_numpy(queries)), usual)


@given(st.integers(0, 10**6), st.sampled_from([0.5, 4.0]))
@settings(max_examples=20)
def test_a_first_name_that_many_scopes_share_raises_each_by_its_own_bonus(seed: int, gamma: float) -> None:
    heads = {
        scope: replace(head, parts=("quorina",), bonus=0.1 + 0.02 * number)
        for number, (scope, head) in enumerate(heads_of(seed, 15, gamma=gamma).items())
    }
    texts = texts_of(seed, heads, 1)
    classifier, _ = classifier_of(heads, texts)
    classifier._encoder.encode = lambda asked: [texts[0] for _ in asked]  # type: ignore[method-assign]
    (verdicts,) = classifier.detect(["Is Quorina here?"])
    found = {verdict.scope: verdict.score for verdict in verdicts}
    for scope, score in one_by_one(heads, texts[0]).items():
        raised = score + heads[scope].bonus
        assert abs(raised - limit_of(heads[scope])) < rounding(heads[scope]) or (scope in found) == (
            raised > limit_of(heads[scope])
        )
        assert found.get(scope, raised) == pytest.approx(raised, abs=rounding(heads[scope]))
