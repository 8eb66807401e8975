"""Names in another order of letters, drawn out, or without their vowels."""

import random
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sightings import found_by

from classifiers.names import shapes
from classifiers.names.aliases import LexicalDetector, confirmed
from classifiers.types import Verdict

NAMES = ("Oona Breskelt", "Vandelhorst", "Karu Pim Sandover", "Tilke", "Stonebridge", "Jor Vask", "Vester Ackwith")
DETECTOR = LexicalDetector({"sea": NAMES})
LEANING = Verdict("sea", "classifier", 0.1, 0.4, False)


found = partial(found_by, DETECTOR)


@pytest.mark.parametrize(
    "name",
    [
        *("Onoa Brlkeest", "Vndaoheslrt", "anVedhlrots", "delhorstVan", "naoO kslertBe", "raKu imP doverSan"),
        *("Ooooona Breskeltttt", "OOoonnaa BBrreesskkeelltt", "Vaaaandelhorst", "Tiiiilke", "Vandelhorssssst"),
        *("On Brsklt", "Vndlhrst", "O0n0 Br0sk0lt", "V8nd8lh8rst", "Oona Brsklt", "Vstr Ackwth"),
    ],
)
def test_the_letters_of_a_name_in_another_shape(name: str) -> None:
    assert found(f"Please tell me about {name} and the sea.") == [name]


@pytest.mark.parametrize(
    "text",
    [
        "where is Bridgestone",  # two words that changed places are other words
        "the tilek and the eltik",
        "Tlk to me",
        "askV roJ",  # few letters
        "soooo gooood, hellooo",
        "Oona Kestbl",
        "strncpy, kubectl, nginx, html, https",
    ],
)
def test_other_words_are_no_names(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    "name",
    [
        *("Oohna Breskehlt", "Oona Breskelltt", "Oona Brezcelt", "Vandelhohrzt", "Fester Ackwith"),
        *("Vester Akkwihth", "0ona Brcske1t", "Varidelborst", "Vanclelhorst", "Vefter Ackvvith", "Vandelhhorrst"),
        *("Oonaa Breskelt", "Ooan Breskelt", "Otna Brezkelt", "Vandelhorstt"),
    ],
)
def test_a_name_as_it_sounds_or_as_a_scanner_reads_it(name: str) -> None:
    assert found(f"Please tell me about {name} and the sea.") == [name]


@pytest.mark.parametrize("text", ["Fandelhorst", "Bandelhorst", "Vandelhorsten", "Otna Breskelt"])
def test_another_name_that_sounds_alike(text: str) -> None:
    assert found(f"Who is {text}?") == []


def test_few_letters_need_a_second_sign() -> None:
    detector = LexicalDetector({"sea": ["Sandrel", "Brosket"]})
    for text in ("who is Lersand", "who is Brskt"):
        assert [verdict.matched for verdict in detector.detect([text])[0]] in ([False], [True])
    (unsure,) = detector.detect(["who is Brskt"])[0]
    assert not unsure.matched
    assert confirmed([unsure, LEANING])[0].matched


def test_one_word_may_keep_its_look_if_the_other_tells_enough() -> None:
    assert found("who is Oona Bleksret") == ["Oona Bleksret"]
    assert found("who is Noao Breskelt") == []  # another person of the same family, perhaps
    assert found("who is Jor Vask") == ["Jor Vask"]


def test_without_misspelt_ones_letters_must_be_right() -> None:
    assert DETECTOR.detect(["Onoa Brlkeest, Ooooona Breskeltttt"], misspelt=False) == [[]]


@given(st.randoms(use_true_random=False))
def test_any_order_of_the_letters_of_a_long_name_is_looked_up(rng: random.Random) -> None:
    words = ["oona", "breskelt"]
    there = ["".join(rng.sample(word, len(word))) for word in words]
    assert set(shapes.asked(there[1])) & set(shapes.keys("breskelt"))
    assert shapes.shaped(words, there) is (None if words == there else True)


@given(st.lists(st.integers(1, 5), min_size=8, max_size=8))
def test_a_name_is_drawn_out_however_often_each_letter_stands(times: list[int]) -> None:
    word = "".join(letter * count for letter, count in zip("breskelt", times, strict=True))
    if max(times) > 2:
        assert set(shapes.asked(word)) & set(shapes.keys("breskelt"))
        assert shapes.shaped(["breskelt"], [word]) is True
    elif max(times) == 1:
        assert shapes.shaped(["breskelt"], [word]) is None


def test_a_word_with_one_letter_moved_from_its_end_is_another_word() -> None:
    (verdicts,) = LexicalDetector({"s": ("Lumbers", "Camperos")}).detect(["they slumber there, ocampers"])
    assert not any(verdict.matched for verdict in confirmed(verdicts))
