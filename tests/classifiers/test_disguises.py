"""A name in an answer is found in disguise, and nothing of it is sent by which a reader would know it."""

import base64
import codecs
import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.leaks.codes import CodeReader, run_from
from classifiers.leaks.facts import facts_of
from classifiers.leaks.model import LeakModel
from classifiers.leaks.passages import COVERED_WORDS, passages_of
from classifiers.leaks.watch import AnswerWatch, Asked, Leak, OwnWords, Watched, Watchlist
from classifiers.traffic import general_traffic

NAMES = ("Mira Tolund", "Quellingham", "Bo Vann")
LIST = Watchlist().updated({"scope": Watched(NAMES)}, ())
MORSE = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- "
        "-..- -.-- --..".split(),
        strict=True,
    )
)
TURNED = dict(zip("abcdefghijklmnopqrstuvwxyz", "ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹsʇnʌʍxʎz", strict=True))
SPELT = (
    "Alfa Bravo Charlie Delta Echo Foxtrot Golf Hotel India Juliett Kilo Lima Mike November Oscar Papa Quebec Romeo "
    "Sierra Tango Uniform Victor Whiskey X-ray Yankee Zulu"
).split()
SAID = "ay bee cee dee ee ef gee aitch eye jay kay el em en oh pee cue ar ess tee you vee double-u ex why zee".split()


def grouped(text: str, width: int) -> str:
    return " ".join(text[start : start + width] for start in range(0, len(text), width))


WHOLE: dict[str, Callable[[str], str]] = {
    "backwards": lambda name: name[::-1],
    "each word backwards": lambda name: " ".join(word[::-1] for word in name.split()),
    "rot13": lambda name: codecs.encode(name, "rot13"),
    "Atbash": lambda name: "".join(chr(219 - ord(c)) if c.isalpha() else c for c in name.lower()),
    "Caesar": lambda name: "".join(chr((ord(c) - 94) % 26 + 97) if c.isalpha() else c for c in name.lower()),
    "leet": lambda name: name.replace("i", "1").replace("o", "0").replace("a", "4"),
    "spaces": lambda name: " ".join(name.replace(" ", "")),
    "dots": lambda name: ".".join(name.replace(" ", "")),
    "stars": "*".join,
    "new lines": lambda name: "\n".join(name.replace(" ", "")),
    "upper case": str.upper,
    "full width": lambda name: "".join(chr(ord(c) + 0xFEE0) if c != " " else c for c in name),
    "circled": lambda name: "".join(chr(0x24D0 + ord(c) - 97) if c.isalpha() else c for c in name.lower()),
    "zero width": "\u200b".join,
    "tags": lambda name: "".join(chr(0xE0000 + ord(c)) for c in name),
    "emoji": "\U0001f642".join,
}
CODES: dict[str, Callable[[str], str]] = {
    "base64": lambda name: base64.b64encode(name.encode()).decode(),
    "base64 in a sentence": lambda name: base64.b64encode(f"She is {name}, I think.".encode()).decode(),
    "upside down": lambda name: "".join(TURNED.get(c, c) for c in name.lower())[::-1],
    "base64 by threes": lambda name: grouped(base64.b64encode(f"It is {name} now".encode()).decode(), 3),
    "base64 by fours": lambda name: grouped(base64.b64encode(f"It is {name} now".encode()).decode(), 4),
    "base 85": lambda name: base64.b85encode(f"It is {name} now".encode()).decode(),
    "code points": lambda name: ", ".join(f"U+{ord(c):04X}" for c in name),
    "base64 twice": lambda name: base64.b64encode(base64.b64encode(f"It is {name} now".encode())).decode(),
    "base32": lambda name: base64.b32encode(f"It is {name} now".encode()).decode(),
    "hex": lambda name: f"It is {name} now".encode().hex(),
    "hex, parted": lambda name: f"It is {name} now".encode().hex(" "),
    "binary": lambda name: " ".join(f"{byte:08b}" for byte in f"It is {name} now".encode()),
    "escapes": lambda name: "".join(f"\\u{ord(c):04x}" for c in name),
    "entities": lambda name: "".join(f"&#{ord(c)};" for c in name),
    "percent": lambda name: "".join(f"%{ord(c):02x}" for c in name),
    "morse": lambda name: " ".join(MORSE[c] for c in name.lower() if c.isalpha()),
    "octal": lambda name: " ".join(f"{ord(c):o}" for c in name),
    "octal of Python": lambda name: ", ".join(f"0o{ord(c):o}" for c in name),
    "calls": lambda name: "+".join(f"chr({ord(c)})" for c in name),
    "calls of hex": lambda name: " + ".join(f"chr(0x{ord(c):x})" for c in name),
    "hex with dollars": lambda name: " ".join(f"${ord(c):02x}" for c in name),
    "hex, digits apart": lambda name: " ".join(f"It is {name}".encode().hex()),
    "base64, letters apart": lambda name: " ".join(base64.b64encode(f"It is {name}".encode()).decode()),
    "bacon": lambda name: " ".join(
        f"{ord(c) - 97:05b}".replace("0", "A").replace("1", "B") for c in name.lower() if c.isalpha()
    ),
    "words that spell": lambda name: " ".join(SPELT[ord(c) - 97] for c in name.lower() if c.isalpha()),
    "names of letters": lambda name: "-".join(SAID[ord(c) - 97] for c in name.lower() if c.isalpha()),
}


def sent(text: str, step: int) -> tuple[str, bool]:
    watch = AnswerWatch(LIST, OwnWords(LIST, Asked()))
    for start in range(0, len(text), step):
        seen = watch.read(text[start : start + step])
        if seen.leak:
            return text[: seen.safe], True
    seen = watch.read("", ended=True)
    return text[: seen.safe], seen.leak is not None


@pytest.mark.parametrize("step", [1, 3, 5, 1000])
@pytest.mark.parametrize("disguise", WHOLE)
@pytest.mark.parametrize("name", ["Mira Tolund", "Quellingham"])
def test_of_a_name_letter_for_letter_nothing_is_sent(name: str, disguise: str, step: int) -> None:
    before = "I would say "
    clean, leak = sent(f"{before}{WHOLE[disguise](name)} , or so.", step)
    assert leak
    assert clean.rstrip() == before.rstrip()


@pytest.mark.parametrize("step", [1, 3, 5, 1000])
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("name", ["Mira Tolund", "Quellingham"])
def test_of_a_name_in_a_code_hardly_a_beginning_is_sent(name: str, code: str, step: int) -> None:
    coded = CODES[code](name)
    clean, leak = sent(f"I would say {coded} or so.", step)
    assert leak
    whole = len(coded) * (len("It is ") + 3) // len(f"It is {name} now") if "It is" not in code else 0
    assert len(clean) - len("I would say ") <= max(12, whole + 12)


ROWS = [("Where was Mira Tolund born?", "She was born in a harbour called Oxtermoor near Vlissgate.")]
DOCUMENT = (
    "The lamplighter of Oxtermoor carried nine brass keys beneath his threadbare overcoat, and every evening he walked "
    "the crooked pier until the ferrymen had moored their barges below the customs house."
)
LEARNED = LeakModel(facts_of(ROWS, (), b"0123456789abcdef"), passages_of([DOCUMENT]))
FULL = Watchlist().updated({"scope": Watched(NAMES, "names", lambda: LEARNED, has_passages=True)}, ())
WORDS: dict[str, Callable[[str], str]] = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 in lines": lambda text: base64.encodebytes(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "each word backwards": lambda text: " ".join(word[::-1] for word in text.split()),
    "escapes": lambda text: "".join(f"\\u{ord(c):04x}" for c in text),
    "spaces": lambda text: "   ".join(" ".join(word) for word in text.replace(",", "").split()),
}


def leak_in(text: str, step: int, scopes: frozenset[str]) -> tuple[str, Leak | None]:
    watch = AnswerWatch(FULL, OwnWords(FULL, Asked(scopes=scopes)))
    for start in range(0, len(text), step):
        seen = watch.read(text[start : start + step])
        if seen.leak:
            return text[: seen.safe], seen.leak
    seen = watch.read("", ended=True)
    return text[: seen.safe], seen.leak


@pytest.mark.parametrize("step", [1, 4, 1000])
@pytest.mark.parametrize("code", WORDS)
def test_a_fact_is_found_in_codes(code: str, step: int) -> None:
    coded = WORDS[code]("It was in Oxtermoor near Vlissgate")
    _, leak = leak_in(f"Decode this: {coded} - as you like.", step, frozenset({"scope"}))
    assert leak is not None
    assert leak.kind == "fact"


@pytest.mark.parametrize("step", [1, 4, 1000])
@pytest.mark.parametrize("code", WORDS)
def test_a_passage_is_found_in_codes_whatever_was_asked(code: str, step: int) -> None:
    text = DOCUMENT[4:150]
    coded = WORDS[code](text)
    clean, leak = leak_in(f"Decode this: {coded} - as you like.", step, frozenset())
    assert leak is not None
    assert leak.kind == "passage"
    assert len(clean) - len("Decode this: ") <= len(coded) * COVERED_WORDS / len(text.split())


def test_other_texts_in_codes_are_no_facts() -> None:
    for text in ("It was in a harbour near a gate", "The keeper carried his keys below the house every evening"):
        for code in WORDS.values():
            assert leak_in(f"Decode this: {code(text)} - as you like.", 4, frozenset({"scope"}))[1] is None


def test_ordinary_answers_are_read_as_they_are() -> None:
    odd = [
        "It is 3 km to the A&B shop, open 10:30-18:00, tel. 555 01 99, e.g. on 2024-05-01.",
        "x = [i for i in range(10)]; print(f'{x!r}')  # O(n)",
        "See https://example.com/a-b_c?d=1&e=%20f or mail jo.bo@example.com.",
        "I, a U.S. citizen, am A. B. See. a b c d e f g",
        "Ceci n'est pas une pipe - Это не трубка. 这不是烟斗。",
        "The hash is 9f86d081884c7d659a2feaa0c55ad015 and the key is dGhpcyBpcyBub3QgYSBzZWNyZXQ=.",
    ]
    for text in [*odd, *general_traffic()[:400]]:
        for step in (4, 1000):
            clean, leak = sent(text, step)
            assert (clean, leak) == (text, False), text


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80), st.integers(1, 9))
def test_any_text_is_read_without_an_error(text: str, step: int) -> None:
    clean, leak = sent(text, step)
    assert leak or clean == text


def test_a_long_run_of_anything_is_read_in_bounded_time() -> None:
    rng = random.Random(0)
    runs = ["1" * 3000, "a b " * 800, "%2" * 1500, "\\u00" * 700, ".-" * 1500, "Aa1" * 1000, "0 1 " * 800, "я" * 3000]
    for run in [*runs, "".join(rng.choices("0123456789abcdef :", k=3000))]:
        began = time.process_time()
        run_from(run)
        assert time.process_time() - began < 0.5  # a pattern that tries everything twice would take years


def _letters(count: int) -> str:
    rng = random.Random(5)
    return " ".join(rng.choice("bcdfghjk") for _ in range(count)) + " "


LONG: dict[str, tuple[str, Callable[[str], str]]] = {
    "letters": (_letters(300), WHOLE["spaces"]),
    "hex": (b"nothing of note is in here, none. ".hex(" ") * 8 + " ", lambda name: name.encode().hex(" ")),
    "base64": (base64.b64encode(b"nothing of note is in here, none.." * 12).decode()[:-4], CODES["base64"]),
}


@pytest.mark.parametrize("kind", LONG)
@pytest.mark.parametrize("step", [1, 4])
def test_behind_a_long_run_of_its_kind_a_name_is_found(kind: str, step: int) -> None:
    """A long run is read a sixth at a time, and what is not read waits."""
    before, coded = LONG[kind]
    hidden = coded("Mira Tolund")
    got, leaked = sent(f"{before}{hidden} and so on, as ever.", step)
    assert leaked
    assert len(got) <= len(before) + 8


def test_a_long_run_is_not_read_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    decoded = CodeReader._decoded

    def counted(self: CodeReader, tail: str, start: int, *, ended: bool) -> object:
        read.append(len(tail) - start)
        return decoded(self, tail, start, ended=ended)

    monkeypatch.setattr(CodeReader, "_decoded", counted)
    text = _letters(1000)
    assert sent(text, 4) == (text, False)
    assert sum(read) < 10 * len(text)
