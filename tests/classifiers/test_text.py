"""Normalisation: what an attacker's spelling becomes, and where each character came from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.names.text import normalise


@pytest.mark.parametrize(
    ("source", "normal"),
    [
        ("Harry Potter", " harry potter "),
        ("  HARRY,\t\npotter!! ", " harry potter "),
        ("Hаrry Роttеr", " harry potter "),  # Cyrillic look-alikes
        ("Յօhո Pօtter", " john potter "),  # Armenian ones
        ("Hαrry Pοtter", " harry potter "),  # Greek ones
        ("Ha\u200brry Pot\u00adter\ufeff", " harry potter "),  # zero-width space, soft hyphen, byte-order mark
        ("H\u0301arry Pótter", " harry potter "),  # accents, apart and composed
        ("Ｈａｒｒｙ　Ｐｏｔｔｅｒ", " harry potter "),  # full width, with the ideographic space
        ("𝐇𝐚𝐫𝐫𝐲 𝓟𝓸𝓽𝓽𝓮𝓻", " harry potter "),  # mathematical letters
        ("Straße ﬁn", " strasse fin "),
        ("J.K.", " j k "),
        ("", " "),
        ("\u200b…!", " "),
    ],
)
def test_spellings_fold_together(source: str, normal: str) -> None:
    assert normalise(source).text == normal


def test_offsets_point_into_the_text_as_sent() -> None:
    source = "¡Ha\u200brry—Ｐótter!"
    normal = normalise(source)
    start = normal.text.index("harry")
    assert source[slice(*normal.source_range(start, start + 5))] == "Ha\u200brry"
    start = normal.text.index("potter")
    assert source[slice(*normal.source_range(start, start + 6))] == "Ｐótter"


def test_one_character_that_unfolds_to_many_is_the_source_of_each() -> None:
    normal = normalise("aﬃb")
    assert normal.text == " affib "
    assert [normal.source_range(i, i + 1) for i in range(1, 6)] == [(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)]


@given(st.text(max_size=60), st.data())
def test_every_range_is_a_range_of_the_source(source: str, data: st.DataObject) -> None:
    normal = normalise(source)
    assert len(normal.text) == len(normal.starts) == len(normal.ends)
    start = data.draw(st.integers(0, len(normal.text) - 1))
    end = data.draw(st.integers(start + 1, len(normal.text)))
    first, last = normal.source_range(start, end)
    assert 0 <= first <= last <= len(source)
    if normal.text[start] != " ":
        assert first < last


@given(st.text(max_size=60))
def test_words_are_parted_by_single_spaces_and_normalising_again_changes_nothing(source: str) -> None:
    text = normalise(source).text
    assert text == " " or text == f" {' '.join(text.split())} "
    assert normalise(text).text == text
