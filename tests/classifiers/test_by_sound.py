"""Words of mixed scripts and of phonetic letters are read by their sounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.names.aliases import LexicalDetector
from classifiers.names.by_sound import by_sound, in_cyrillic
from classifiers.names.foreign import ForeignNames

NAMES = ("Oona Breskelt", "Vandelhorst", "Basil Kermode")
DETECTOR = LexicalDetector({"sea": NAMES})
FOREIGN = ForeignNames().updated({"sea": NAMES}, ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Oονα Bρεσκελτ", "Oona Breskelt"),
        ("Bрескелт и Vанdелhорст", "Breskelt и Vandelhorst"),
        ("Щuka Яkob", "Shuka Yakob"),
        ("ˈbæzɪl ˈkɜːməʊd", "bazil kemeud"),
        ("плюс и минус, Breskelt是谁, ägypten", None),
        ("5 μm, Δt", None),
        ("plain", None),
    ],
)
def test_letters_become_those_of_the_same_sound(text: str, said: str | None) -> None:
    respelt = by_sound(text)
    assert (respelt and respelt.text) == said


@pytest.mark.parametrize("name", ["Oονα Bρεσκελτ", "Oона Bрескелt", "Vандельхорсt", "Vανδελhορστ", "Bαζιλ Kερμοδε"])
def test_a_name_of_mixed_scripts(name: str) -> None:
    text = f"Was weiß man über {name} und das Meer?"
    (verdict,) = DETECTOR.detect([text])[0]
    assert verdict.matched
    assert [text[span.start_char : span.end_char] for span in verdict.spans] == [name]


@pytest.mark.parametrize("name", ["ˈuː.nə ˈbrɛs.kɛlt", "ˈvændəlhɔːrst", "ˈvan.dɛl.hɔrst"])
def test_a_name_in_phonetic_letters_is_heard(name: str) -> None:
    text = f"Who is /{name}/, please?"
    (verdict,) = FOREIGN.detect([text])[0]
    assert verdict.matched
    spans = [text[span.start_char : span.end_char] for span in verdict.spans]
    assert any(span.strip("ˈ/") in name for span in spans)


def test_other_words_in_phonetic_letters_are_no_names() -> None:
    text = "company is ˈkʌmpəni, water ˈwɔːtər, and bread brɛd"
    assert in_cyrillic(text) is not None
    assert FOREIGN.detect([text]) == [[]]
    assert DETECTOR.detect([text]) == [[]]


def test_answers_are_not_read_so() -> None:
    assert DETECTOR.detect(["Oονα Bρεσκελτ"], misspelt=False) == [[]]


@given(st.text("aMιρδЖя ˈæʃ.-1é\u0301ツ", max_size=20))
def test_each_letter_keeps_its_place(text: str) -> None:
    for respelt in filter(None, (by_sound(text), in_cyrillic(text))):
        assert len(respelt.text) == len(respelt.places)
        assert list(respelt.places) == sorted(respelt.places)
        same = [(letter, text[place]) for letter, place in zip(respelt.text, respelt.places, strict=True)]
        assert all(letter == source for letter, source in same if source in " -1ツ")


def test_a_long_word_takes_no_longer_than_its_letters() -> None:
    respelt = in_cyrillic("a" * 200_000 + " ə")
    assert respelt is not None
    assert respelt.text.endswith("a е")
