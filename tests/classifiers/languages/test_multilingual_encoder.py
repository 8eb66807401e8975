"""The multilingual encoder on real weights: nothing of a text is left out, and translations lie together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.languages.encoder import MultilingualEncoder, windows_of


@pytest.fixture(scope="module")
def e5() -> MultilingualEncoder:
    return MultilingualEncoder.packaged()


@given(st.text("ab я東है. ", max_size=900))
def test_windows_cover_the_text(text: str) -> None:
    covered, place = [], 0
    for window in windows_of(text):
        start = text.find(window, max(0, place - 400))
        assert start >= 0
        assert start <= place, "no character between two windows is left out"
        place = max(place, start + len(window))
        covered.append(window)
        assert len(window.encode()) <= 320
    assert not any(map(str.isalnum, text[place:]))


def test_a_text_of_punctuation_has_no_window() -> None:
    assert list(windows_of("?! …")) == []


def test_a_question_lies_nearer_its_translation_than_another_question(e5: MultilingualEncoder) -> None:
    one, same, other = e5.embeddings(
        ["Which animal is the fastest?", "Какое животное самое быстрое?", "Как почистить чайник от накипи?"]
    )
    assert one @ same > one @ other


def test_a_nul_hides_nothing(e5: MultilingualEncoder) -> None:
    (window,) = windows_of("Привет\0 кто написал эту книгу?")
    with_nul, plain = e5.embeddings([window, "Привет  кто написал эту книгу?"])
    assert np.allclose(with_nul, plain, atol=1e-5)


def test_a_window_is_read_alone(e5: MultilingualEncoder) -> None:
    alone = MultilingualEncoder.packaged().embeddings(["Wo ist der Bahnhof?"])[0]
    among = e5.embeddings(["¿Dónde está?", "Wo ist der Bahnhof?", "Где вокзал?"])[1]
    assert np.allclose(alone, among, atol=1e-5)
