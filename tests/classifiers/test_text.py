"""Normalisation: what an attacker's spelling becomes, and where each character came from."""

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from classifiers.names.text import normalise

ONE_CASE = ("GREEK", "ARMENIAN", "CHEROKEE", "LISU")


def unfolded(source: str) -> str:
    return unicodedata.normalize("NFKD", source)


@pytest.mark.parametrize(
    ("source", "normal"),
    [
        ("Harry Potter", " harry potter "),
        ("  HARRY,\t\npotter!! ", " harry potter "),
        ("Hаrry Роttеr", " harry potter "),  # Cyrillic look-alikes
        ("Յօhո Pօtter", " john potter "),  # Armenian ones
        ("Hαrry Pοtter", " harry potter "),  # Greek ones
        ("ΜONΙTΟR mοniτor monitΟr", " monitor monitor monitor "),
        ("CITΥ ciτγ ΝΑΜΕLY ΗARD Μ\u200bARKET", " city city namely hard market "),
        ("ԼINSԵED ՏEED", " lins\u0565ed seed "),
        ("ᎷONTANA Ꮲarker", " montana parker "),  # Cherokee ones
        ("Ａ\u039cY", " amy "),  # full width beside Greek
        ("tһe scһool", " the school "),  # Cyrillic shha
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


@pytest.mark.parametrize(("upper", "lower"), [("ΜΑΡΙΑ ΝΙΚΗ", "μαρια νικη"), ("ՏԻԳՐԱՆ ԼԻԼԻԹ", "տիգրան լիլիթ")])
def test_a_name_in_its_own_script_is_the_same_in_both_cases(upper: str, lower: str) -> None:
    assert normalise(upper).text == normalise(lower).text


@given(st.text(max_size=60))
def test_words_are_parted_by_single_spaces_and_normalising_again_changes_nothing(source: str) -> None:
    # A letter of these scripts may become Latin once its word has Latin letters.
    assume(not any(unicodedata.name(letter, "").startswith(ONE_CASE) for letter in unfolded(source)))
    text = normalise(source).text
    assert text == " " or text == f" {' '.join(text.split())} "
    assert normalise(text).text == text
