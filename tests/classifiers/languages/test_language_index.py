"""Heads of many scopes scored together say what each says alone."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from classifiers.languages.index import LanguageIndex
from classifiers.languages.model import MATCH, MultilingualHead, Place
from classifiers.svm.model import Head, quantised

RNG = np.random.default_rng(4)
HIDDEN = 24
CENTRES = {name: RNG.normal(0, 0.2, HIDDEN).astype(np.float32) for name in ("ru", "es", "cyrillic", "latin", "other")}
TRAFFIC = RNG.normal(size=(20, HIDDEN)).astype(np.float32)
LANGUAGES = ("ru", "uk", "es", "pl", "th")


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def head_of(centres: Mapping[str, np.ndarray] = CENTRES) -> MultilingualHead:
    """Three points inside, and of the traffic outside a part that other scopes share."""
    inside, outside = unit(RNG.normal(size=(3, HIDDEN))), unit(TRAFFIC[RNG.permutation(20)[:12]])
    codes, scales = quantised(np.concatenate([inside, outside]))
    weights = np.concatenate([RNG.uniform(0.5, 2, 3), -RNG.uniform(0, 0.4, 12)]).astype(np.float32)
    places = {
        name: Place(centre, float(RNG.uniform(-0.9, -0.7)), float(RNG.uniform(0.05, 0.2)))
        for name, centre in centres.items()
    }
    return MultilingualHead(Head(codes, weights, -1.0, 3.0, 0.0, scales), places, 1.2, 2.5, 0.15)


def scopes(count: int) -> dict[str, MultilingualHead]:
    return {f"scope-{number}": head_of() for number in range(count)}


def texts(heads: Mapping[str, MultilingualHead], language: str) -> np.ndarray:
    """Embeddings, of which some are near a point of a scope."""
    near = np.concatenate([one.head.points[:1] for one in list(heads.values())[:6]])
    centre = next(iter(heads.values())).place(language).centre
    return np.concatenate([unit(RNG.normal(size=(10, HIDDEN))), unit(near) + centre]).astype(np.float32)


def alone(heads: Mapping[str, MultilingualHead], embeddings: np.ndarray, language: str) -> dict[str, float]:
    found = {scope: float(head.score(embeddings, language).max()) for scope, head in heads.items()}
    return {scope: score for scope, score in found.items() if not score <= 0}


def together(index: LanguageIndex, embeddings: np.ndarray, language: str) -> dict[str, float]:
    return {scope: score for scope, score in index.scores(embeddings, language).items() if not score <= 0}


@pytest.mark.parametrize("language", LANGUAGES)
def test_heads_with_a_contrast_say_what_each_says_alone(language: str) -> None:
    heads = {scope: replace(one, contrast=0.5) for scope, one in scopes(6).items()}
    embeddings = texts(heads, language)
    heads |= {f"narrow-{scope}": one for scope, one in scopes(4).items()}
    index = LanguageIndex().updated(heads, ()).updated({}, ["scope-1"])
    del heads["scope-1"]
    expected = alone(heads, embeddings, language)
    assert any(scope in expected for scope in heads if scope.startswith("scope"))
    assert together(index, embeddings, language) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_scope_with_a_verdict_is_left_out(language: str) -> None:
    heads = scopes(60)
    embeddings = texts(heads, language)
    index = LanguageIndex().updated(heads, ())
    for row in embeddings:
        expected = alone(heads, row[None], language)
        assert together(index, row[None], language) == pytest.approx(expected, abs=1e-4)
    assert any(score > MATCH for score in together(index, embeddings, language).values())


def test_scopes_come_and_go_and_the_earlier_index_stays() -> None:
    heads = scopes(20)
    first = LanguageIndex().updated(heads, ())
    changed = {"scope-3": head_of(), "new": head_of()}
    second = first.updated(changed, {"scope-5"})
    left = {scope: head for scope, head in heads.items() if scope != "scope-5"} | changed
    assert set(second.scopes) == set(left)
    assert len(second) == len(left)
    embeddings = texts(left, "es")
    assert together(second, embeddings, "es") == pytest.approx(alone(left, embeddings, "es"), abs=1e-4)
    assert together(first, embeddings, "es") == pytest.approx(alone(heads, embeddings, "es"), abs=1e-4)
    assert len(second.updated({}, left)) == 0


def test_a_pack_of_before_has_centres_of_its_own() -> None:
    heads = scopes(5)
    moved = {name: centre + np.float32(0.05) for name, centre in CENTRES.items()}
    heads["earlier"] = head_of(moved)
    index = LanguageIndex().updated(heads, ())
    embeddings = texts(heads, "ru")
    assert together(index, embeddings, "ru") == pytest.approx(alone(heads, embeddings, "ru"), abs=1e-4)
    assert index.measure("earlier").threshold_among(3) == heads["earlier"].threshold_among(3)


@pytest.mark.parametrize("change", [{"bias": 0.5}, {"gamma": 0.0}, {"weights": np.full(15, np.nan, np.float32)}])
def test_a_head_that_no_bound_holds_for_is_scored_alone(change: dict[str, object]) -> None:
    """One whose score is no number is a match in every text."""
    odd = replace(head_of(), head=replace(head_of().head, **change))  # type: ignore[arg-type]
    heads = {**scopes(3), "odd": odd}
    index = LanguageIndex().updated(heads, ())
    embeddings = texts(heads, "es")
    found, expected = together(index, embeddings, "es"), alone(heads, embeddings, "es")
    assert found == pytest.approx(expected, abs=1e-4, nan_ok=True)


def test_an_embedding_that_is_no_number_is_inside_every_scope() -> None:
    heads = scopes(4)
    index = LanguageIndex().updated(heads, ())
    found = together(index, np.full((1, HIDDEN), np.nan, np.float32), "ru")
    assert found.keys() == heads.keys()
    assert np.isnan(list(found.values())).all()


def test_scopes_share_what_they_have_in_common() -> None:
    """Centres, and points of general traffic."""
    heads = scopes(100)
    alone = sum(LanguageIndex().updated({scope: head}, ()).nbytes for scope, head in heads.items())
    assert LanguageIndex().updated(heads, ()).nbytes < alone / 3
