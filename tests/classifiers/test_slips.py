"""A slip costs less than any letter for any other, and a bent word that people write otherwise is no name."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.names.aliases import LexicalDetector
from classifiers.names.slips import cost, slipped

LETTERS = "abcdefghiklmnoprstuw"
WORDS = st.text(LETTERS, min_size=3, max_size=9)
DETECTOR = LexicalDetector({"sea": ["Oswin Tarreck", "Bram Teel", "Mirrodan", "Fendrick", "Karsten Brook"]})


def matched(text: str) -> list[bool]:
    return [verdict.matched for verdict in DETECTOR.detect([text])[0]]


@pytest.mark.parametrize(
    ("word", "price"),
    [
        ("tarreck", 0.0),
        ("tarrreck", 0.5),  # a doubled letter
        ("tareck", 0.5),
        ("tarerck", 0.75),  # two that changed places
        ("tarrexk", 0.6),  # a key beside
        ("tarrick", 0.6),  # a vowel for a vowel
        ("tarrek", 0.6),  # as it sounds
        ("tahrreck", 0.4),  # a mute letter
        ("tarrecb", 1.0),
        ("tarreckb", 1.0),
        ("tarrec", 1.0),
        ("qxrreck", 2.0),
    ],
)
def test_what_slips_cost(word: str, price: float) -> None:
    assert cost("tarreck", word, 3.0) == pytest.approx(price)


def test_a_scanner_takes_two_letters_for_one() -> None:
    assert cost("mord", "rnord", 3.0) == cost("mord", "morcl", 3.0) == pytest.approx(0.6)


@given(WORDS, WORDS)
def test_a_cost_beyond_the_bound_is_infinite_and_costs_are_the_same_both_ways(one: str, other: str) -> None:
    price = cost(one, other, 4.0)
    assert price == cost(one, other, 4.0)
    assert (price == 0) == (one == other)
    assert math.isinf(price) or cost(one, other, price) == price
    assert cost(one, other, 1.0) in (price, math.inf)


@given(WORDS, st.integers(0, 8), st.sampled_from(LETTERS))
def test_one_letter_costs_at_most_one(word: str, place: int, letter: str) -> None:
    place = min(place, len(word))
    assert cost(word, word[:place] + letter + word[place:], 3.0) <= 1
    assert cost(word, word[:place] + letter + word[place + 1 :], 3.0) <= 1


@pytest.mark.parametrize(
    "text",
    [
        "who is Owsin Tarrekc",
        "who is Osein Tarrwck",  # two keys beside
        "who is Oswin Trareck",
        "who is Oswinn Tqrreck",
        "who is oswib tarrcek",
        "who is Mirrpdqn",
        "who is Mirordna",
        "who is Fendrickk",
        "who is Fnedrick",
        "who is Karstne Brok",  # a common word beside a slip
    ],
)
def test_slips_in_a_name_count_alone(text: str) -> None:
    assert any(matched(text))


@pytest.mark.parametrize(
    "text",
    [
        "who is Oswin Barrack",
        "who is Brad Teel",
        "the hendricks and the kendrick",
        "Karsten broke it",
        "who is Felix Tarbeck",
    ],
)
def test_what_people_write_otherwise_does_not_count_alone(text: str) -> None:
    assert not any(matched(text))


def test_an_initial_has_no_slip() -> None:
    assert slipped(["j", "k", "tarreck"], ["t", "k", "tarreck"]) is None
    assert slipped(["j", "k", "tarreck"], ["j", "k", "tarerck"]) is True


def test_the_right_name_is_no_slip() -> None:
    assert slipped(["oswin", "tarreck"], ["oswin", "tarreck"]) is None
