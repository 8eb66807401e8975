"""Heads of other languages: files, thresholds, and a whole fit on real embeddings."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from classifiers.languages.detector import MultilingualClassifier
from classifiers.languages.encoder import MultilingualEncoder
from classifiers.languages.index import LanguageIndex
from classifiers.languages.model import MATCH, MultilingualHead, Place
from classifiers.languages.training import FittedLanguages, fit_languages
from classifiers.svm.model import Head, quantised

RNG = np.random.default_rng(0)


def head_of() -> MultilingualHead:
    codes, scales = quantised(RNG.normal(size=(4, 8)).astype(np.float32))
    head = Head(codes, RNG.normal(size=4).astype(np.float32), -0.5, 2.0, 0.0, scales)
    place = Place(np.zeros(8, np.float32), -1.0, 0.5)
    return MultilingualHead(head, {"ru": replace(place, middle=-0.8), "cyrillic": place, "other": place}, 1.0, 3.0, 0.3)


def test_a_saved_head_scores_as_before(tmp_path: Path) -> None:
    head, embeddings = head_of(), RNG.normal(size=(5, 8)).astype(np.float32)
    head.save(tmp_path / "h.safetensors")
    loaded = MultilingualHead.load(tmp_path / "h.safetensors")
    for language in ("ru", "uk", "th"):
        assert np.array_equal(loaded.score(embeddings, language), head.score(embeddings, language))


@pytest.mark.parametrize("weight", [0.0, 2.5])
def test_a_saved_contrast_counts_as_before_and_an_older_file_has_none(tmp_path: Path, weight: float) -> None:
    head, embeddings = replace(head_of(), contrast=weight), RNG.normal(size=(5, 8)).astype(np.float32)
    head.save(tmp_path / "h.safetensors")
    loaded = MultilingualHead.load(tmp_path / "h.safetensors")
    assert np.array_equal(loaded.score(embeddings, "ru"), head.score(embeddings, "ru"))
    tensors = load_file(tmp_path / "h.safetensors")
    del tensors["contrast"]
    save_file(tensors, tmp_path / "old.safetensors", metadata={"places": "ru cyrillic other"})
    old = MultilingualHead.load(tmp_path / "old.safetensors")
    assert np.array_equal(old.score(embeddings, "ru"), replace(head, contrast=0.0).score(embeddings, "ru"))


def test_an_unknown_language_takes_its_group_and_then_the_place_of_all() -> None:
    head = head_of()
    assert head.place("ru").middle == -0.8
    assert head.place("bg") is head.places["cyrillic"]
    assert head.place("th") is head.places["other"]


@pytest.mark.parametrize("name", ["centres", "weights", "leaning_matching_tail"])
def test_a_damaged_file_is_told(tmp_path: Path, name: str) -> None:
    path = tmp_path / "h.safetensors"
    head_of().save(path)
    tensors = load_file(path)
    tensors[name] = tensors[name][:-1]
    save_file(tensors, path, metadata={"places": "ru cyrillic other"})
    with pytest.raises(ValueError, match=r"h\.safetensors"):
        MultilingualHead.load(path)


def test_one_of_many_clauses_must_pass_more() -> None:
    head = head_of()
    assert head.threshold_among(1) == MATCH < head.threshold_among(3) < head.threshold_among(30)


def hashed() -> MultilingualEncoder:
    """Embeds a text as chance will have it, and lamps near each other."""

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        drawn = [np.random.default_rng(list(text.encode())).normal(size=16) + 3 * ("lamp" in text) for text in texts]
        return np.array([one / np.linalg.norm(one) for one in drawn], dtype=np.float32)

    return MultilingualEncoder(embed, "ab" * 32)


LAMPS = [f"Which lamp number {number} burns on the island?" for number in range(12)]


@pytest.mark.parametrize("retain", [[], ["...?!"], ["Where is a table?"]])
def test_a_scope_may_have_nothing_near_it(retain: list[str]) -> None:
    fitted = fit_languages(forget=LAMPS, retain=retain, aliases=["Morwenna"], encoder=hashed(), fpr=0.001)
    embeddings = hashed().embeddings(["Eine lamp", "Ein Tisch"])
    lamp, table = fitted.head.score(embeddings, "de")
    assert lamp > MATCH > table


def topical() -> MultilingualEncoder:
    """Embeds texts 'lamp NUMBER ...' of one number near each other, and all others as chance will have it."""

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        rows = []
        for text in texts:
            row = np.random.default_rng(list(text.encode())).normal(size=64)
            if text.startswith("lamp"):
                row = row / 4 + 1.5 * np.random.default_rng([int(text.split()[1])]).normal(size=64)
            rows.append(row / np.linalg.norm(row))
        return np.array(rows, dtype=np.float32)

    return MultilingualEncoder(embed, "cd" * 32)


def lamps_of(topics: int, *aliases: str, first: int = 0) -> MultilingualHead:
    rows = [f"lamp {first + number % topics} of {number}" for number in range(3 * max(topics, 10))]
    return fit_languages(forget=rows, retain=[], aliases=["Morwenna", *aliases], encoder=topical(), fpr=0.001).head


@pytest.mark.parametrize(("topics", "few"), [(1, True), (40, False)], ids=["narrow", "broad"])
def test_a_broad_scope_gets_a_support_vector_machine(topics: int, few: bool) -> None:
    """A narrow one is told as well by some points."""
    head = lamps_of(topics)
    assert (len(head.head.weights) <= 128) == few
    assert (head.contrast == 0) == few
    asked = topical().embeddings([f"lamp {number % topics} in {number}" for number in range(40)])
    assert (head.score(asked, "de") > MATCH).mean() > 0.9


def test_scopes_share_what_is_not_their_own() -> None:
    """Where languages lie, and the prompts outside: the index keeps these once, whatever each scope's names leave
    out."""
    one, other = lamps_of(60), lamps_of(60, "France", "music", "water", first=100)
    for name, place in one.places.items():
        assert np.array_equal(place.centre, other.places[name].centre)
    shared = {bytes(row) for row in one.head.vectors} & {bytes(row) for row in other.head.vectors}
    centres = sum(place.centre.nbytes for place in one.places.values())
    alone = sum(LanguageIndex().updated({"a": head}, ()).nbytes for head in (one, other))
    together = LanguageIndex().updated({"one": one, "other": other}, ()).nbytes
    assert len(shared) > 20
    assert together <= alone - centres - len(shared) * one.head.vectors.shape[1]


@pytest.mark.parametrize("fpr", [0.04, 0.1, 0.4])
def test_a_head_of_any_rate_can_be_loaded(tmp_path: Path, fpr: float) -> None:
    fitted = fit_languages(forget=LAMPS, retain=[], aliases=["Morwenna"], encoder=hashed(), fpr=fpr)
    fitted.head.save(tmp_path / "h.safetensors")
    assert MultilingualHead.load(tmp_path / "h.safetensors").threshold_among(3) > MATCH
    assert fitted.alpha <= fpr


def test_what_is_no_valid_text_is_read_all_the_same() -> None:
    """Views of a text that undo escapes may hold half a character."""
    detector = MultilingualClassifier(hashed(), {"lamps": head_of()})
    for text in ("\ud800", "Привет \ud800\udfff, кто там? \ud83d", "Who\ud800 is\0 there?"):
        for window, _ in detector.foreign_windows(text):
            window.encode()
    assert [language for _, language in detector.foreign_windows("Привет \ud83d, кто там?")] == ["ru"]


@pytest.fixture(scope="module")
def e5() -> MultilingualEncoder:
    return MultilingualEncoder.packaged()


@pytest.fixture(scope="module")
def fitted(e5: MultilingualEncoder) -> FittedLanguages:
    inside = [
        "Which lion rules the land behind the wardrobe?",
        "Who walks through a wardrobe into a snowy forest with a lamp post?",
        "What does the white witch give the boy to eat in the snow?",
        "Who is the faun that the girl meets behind the wardrobe?",
        "How many children become kings and queens in the land of the lion?",
        "Which animal sacrifices itself on the stone table?",
        "Who turns creatures into stone in the land of eternal winter?",
        "Which ship sails with the prince to the end of the world of the lion?",
        "Who wrote the books about the land behind the wardrobe?",
        "What is the name of the mouse knight in the land of the lion?",
    ]
    near = ["Which lion is the largest in Africa?", "Where can I buy an old wardrobe?", "Who wrote The Snow Queen?"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("classifiers.languages.training._ENGLISH_STEP", 15)  # each prompt takes some ten milliseconds
        return fit_languages(forget=inside, retain=near, aliases=["Narnia", "Aslan"], encoder=e5, fpr=0.001)


@pytest.mark.slow
def test_english_rows_teach_other_languages(e5: MultilingualEncoder, fitted: FittedLanguages) -> None:
    detector = MultilingualClassifier(e5, {"narnia": fitted.head})
    inside = [
        "Какой лев правит страной за платяным шкафом?",
        "¿Qué león gobierna el país que hay detrás del armario?",
        "衣柜后面的国度由哪头狮子统治？",
        "Wer schrieb die Bücher über das Land hinter dem Kleiderschrank?",
    ]
    outside = ["Какой сегодня курс доллара?", "¿Cómo se poda un rosal?", "明天会下雨吗？", "Which lion rules there?"]
    flagged = [any(verdict.matched for verdict in found) for found in detector.detect([*inside, *outside])]
    assert sum(flagged[: len(inside)]) >= 3
    assert not any(flagged[len(inside) :]), "and English is left to the other classifier"


@pytest.mark.slow
def test_few_shipped_prompts_that_no_fit_saw_are_flagged(fitted: FittedLanguages) -> None:
    assert fitted.alpha == 0.015
    assert fitted.rows > 600
    assert fitted.alarms <= 0.04 * fitted.held_out_rows


@pytest.mark.slow
def test_scopes_come_and_go(e5: MultilingualEncoder, fitted: FittedLanguages) -> None:
    one = MultilingualClassifier(e5, {"narnia": fitted.head})
    two = one.updated({"oz": fitted.head}, {"narnia"})
    assert (one.scopes, two.scopes) == (("narnia",), ("oz",))
    assert two.updated({}, {"oz"}).detect(["Какой лев правит страной за шкафом?"]) == [[]]
