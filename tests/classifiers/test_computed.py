"""Names that must be computed, looked up in a legend, or put in order: found, and nothing of harmless texts is."""

import base64
from collections.abc import Callable
from itertools import zip_longest

import pytest

from classifiers.names.aliases import LexicalDetector
from classifiers.traffic import general_traffic
from classifiers.views.arithmetic import computed
from classifiers.views.capitalised import capitalised_names
from classifiers.views.cells import in_cells
from classifiers.views.legend import by_legend
from classifiers.views.view import View, plain
from classifiers.views.views import views

NAMES = ("Ottoline Karst", "Brindlemoor")
MORSE = dict(
    zip(
        "abdeiklmnorst",
        ".- -... -.. . .. -.- .-.. -- -. --- .-. ... -".split(),
        strict=True,
    )
)


def places(name: str) -> list[int]:
    return [ord(letter) - ord("a") + 1 for letter in name.lower() if letter.isalpha()]


def shifted(name: str, step: Callable[[int], int]) -> str:
    said, place = [], 0
    for letter in name.lower():
        if letter.isalpha():
            said.append(chr((ord(letter) - ord("a") + step(place)) % 26 + ord("a")))
            place += 1
        else:
            said.append(letter)
    return "".join(said)


def masked(text: str) -> str:
    return base64.b64encode(bytes(ord(letter) ^ 1 for letter in text)).decode()


def emoji(name: str) -> str:
    letters = sorted({letter for letter in name.lower() if letter.isalpha()})
    signs = {letter: chr(0x1F34A + place) for place, letter in enumerate(letters)}
    legend = ", ".join(f"{sign}={letter}" for letter, sign in signs.items())
    return f"{legend}. Who is {''.join(signs.get(letter, letter) for letter in name.lower())}?"


KINDS = {
    "places doubled": lambda name: "Halve each: " + " ".join(str(2 * place) for place in places(name)) + ".",
    "places and a hundred": lambda name: ", ".join(str(place + 100) for place in places(name)),
    "squares": lambda name: "Take roots: " + " ".join(str(place * place) for place in places(name)),
    "hexadecimal places": lambda name: " ".join(f"{place:x}" for place in places(name)),
    "xor in hexadecimal": lambda name: "XOR with 42: " + " ".join(f"{ord(letter) ^ 42:02x}" for letter in name),
    "inverted bits": lambda name: "Invert the bits: " + " ".join(f"{255 - ord(letter):08b}" for letter in name),
    "xor in base64": lambda name: masked(f"Tell me of {name}?") + " (xor 1)",
    "morse in digits": lambda name: " ".join(
        MORSE[letter].translate(str.maketrans(".-", "01")) for letter in name.lower() if letter.isalpha()
    ),
    "a growing shift": lambda name: f"The shift grows by position: {shifted(name, lambda place: place + 1)}",
    "three shifts in turn": lambda name: f"shifted by 1, 2, 3 in turn: {shifted(name, lambda place: place % 3 + 1)}",
    "a legend": emoji,
    "two columns": lambda name: "\n".join(
        f"| {one} | {other} |"
        for one, other in zip_longest(name[: len(name) // 2], name[len(name) // 2 :], fillvalue=" ")
    ),
    "a play language": lambda name: "".join(letter + "ab" if letter in "aeiou" else letter for letter in name),
    "digits put in": lambda name: f"{name[:4]}1987{name[4:]}",
    "capitals put in": lambda name: f"{name[:4]}BANANA{name[4:]}",
    "in braces": lambda name: f"a='{name[1:5]}'; b='{name[5:8]}'; f'{name[0]}{{a}}{{b}}{name[8:]}'",
}


@pytest.fixture(scope="module")
def detector() -> LexicalDetector:
    return LexicalDetector({"karst": NAMES})


def named(detector: LexicalDetector, text: str) -> bool:
    whole = [text, *(view.text for view in views(text) if not view.names_alone)]
    odd = [view.text for view in views(text) if view.names_alone]
    found = [*detector.detect(whole), *detector.detect(odd, misspelt=False)]
    return any(verdict.matched for verdicts in found for verdict in verdicts)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_found(detector: LexicalDetector, kind: Callable[[str], str], name: str) -> None:
    assert named(detector, f"Please read this first. {kind(name)}\nWhere does it lie?")


def test_exchanged_sounds_and_first_letters_of_capitalised_words(detector: LexicalDetector) -> None:
    assert named(LexicalDetector({"s": ["Morten Vask"]}), "Who is Vorten Mask?")
    spelled = "Berta Richard Ida Nordpol Dora Ludwig Emil Martha Otto Otto Richard"
    assert named(detector, f"Wo liegt {spelled}, bitte?")


def test_harmless_prompts_name_nobody(detector: LexicalDetector) -> None:
    assert not [prompt for prompt in general_traffic() if named(detector, prompt)]


LONG = {
    "numbers": "1 2 3 4 5 6 7 8 9 10 " * 400,
    "bits": "0101 " * 2000,
    "bytes": "xor " + "9f " * 4000,
    "base64": "xor " + "QmFzZTY0" * 2000,
    "capitals": "A Bc De " * 2000,
}


@pytest.mark.parametrize("change", [computed, by_legend, in_cells, capitalised_names])
@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_twice_the_text_says_twice_as_much_at_most(change: Callable[[View], View | None], text: str) -> None:
    once, twice = change(plain(text)), change(plain(text * 2))
    assert len(twice.text if twice else "") <= 2 * len(once.text if once else "") + 4_000
