"""Decoders: what was encoded is read, each character with its place, and a longer run says no less."""

import base64
import html
import re
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.views.decoders import BASE64, CODES, DECODERS, ESCAPES, HIDDEN
from classifiers.views.reading import Decoder

LETTERS = "abcdefghijklmnopqrstuvwxyz"
MORSE = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.."
).split()
NAMED: dict[str, Decoder] = {decoder.name: decoder for decoder in (*CODES, ESCAPES, *HIDDEN)}


def bits(text: str) -> str:
    return "".join(f"{byte:08b}" for byte in text.encode())


def selectors(text: str) -> str:
    return "".join(chr(0xFE00 + byte if byte < 16 else 0xE0100 + byte - 16) for byte in text.encode())


ENCODERS: dict[str, tuple[str, Callable[[str], str]]] = {
    "base64": ("base64", lambda text: base64.b64encode(text.encode()).decode()),
    "url-safe base64 without padding": (
        "base64",
        lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    ),
    "base32": ("base32", lambda text: base64.b32encode(text.encode()).decode()),
    "hex": ("hex", lambda text: text.encode().hex()),
    "hex with spaces": ("hex", lambda text: text.encode().hex(" ")),
    "hex of C": ("hex", lambda text: " ".join(f"0x{byte:02x}" for byte in text.encode())),
    "escaped bytes": ("escapes", lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode())),
    "binary": ("binary", lambda text: " ".join(f"{byte:08b}" for byte in text.encode())),
    "binary without gaps": ("binary", bits),
    "percent": ("escapes", lambda text: "".join(f"%{byte:02x}" for byte in text.encode())),
    "numbers of HTML": ("escapes", lambda text: "".join(f"&#{ord(letter)};" for letter in text)),
    "hexadecimal numbers of HTML": ("escapes", lambda text: "".join(f"&#x{ord(letter):x};" for letter in text)),
    "escapes of JSON": ("escapes", lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text)),
    "code points": ("escapes", lambda text: " ".join(f"U+{ord(letter):04X}" for letter in text)),
    "octal": ("escapes", lambda text: "".join(f"\\{byte:03o}" for byte in text.encode())),
    "quoted-printable": ("quoted-printable", lambda text: "".join(f"={byte:02X}" for byte in text.encode())),
    "decimal": ("decimal codes", lambda text: " ".join(str(byte) for byte in text.encode())),
    "numbered letters": ("numbered letters", lambda text: "-".join(str(LETTERS.index(c) + 1) for c in text)),
    "morse": ("morse", lambda text: " ".join(MORSE[LETTERS.index(c)] for c in text)),
    "tags": ("tags", lambda text: "".join(chr(0xE0000 + ord(c)) for c in text)),
    "variation selectors": ("variation selectors", selectors),
    "zero width": ("zero width", lambda text: bits(text).replace("0", "\u200b").replace("1", "\u200c")),
}
words = st.text(LETTERS, min_size=6, max_size=40)


@pytest.mark.parametrize("way", ENCODERS)
@given(text=words)
def test_what_is_encoded_is_found_and_read(way: str, text: str) -> None:
    name, encode = ENCODERS[way]
    encoded = encode(text)
    found = [NAMED[name].decode(run.group()) for run in NAMED[name].pattern.finditer(f" {encoded} ")]
    # by chance base64 has neither digits nor capitals in odd places, and then it looks like a word
    if name == "base64" and not re.search(r"[a-z][A-Z]|[A-Z]{2}[a-z]|\d", encoded):
        return
    if name in ("base32",) and not (encoded.isupper()):
        return
    assert [decoded.text for decoded in found if decoded] == [text]


@pytest.mark.parametrize("way", ENCODERS)
@given(text=words, data=st.data())
def test_a_longer_run_begins_with_what_its_beginning_says(way: str, text: str, data: st.DataObject) -> None:
    name, encode = ENCODERS[way]
    run = encode(text)
    cut = data.draw(st.integers(0, len(run)))
    whole, part = NAMED[name].decode(run), NAMED[name].decode(run[:cut])
    if part and whole:
        # the last sign of a cut run may be a part of another one, as '1' of '12' is
        last = next(iter(range(len(part.text)))) if len(part.text) == 1 else len(part.text) - 1
        assert whole.text[:last] == part.text[:last]
        assert list(whole.starts[:last]) == list(part.starts[:last])


@given(st.text(max_size=60))
def test_any_text_is_read_in_order_and_inside_the_run(text: str) -> None:
    for decoder in DECODERS:
        for run in decoder.pattern.finditer(text):
            decoded = decoder.decode(run.group())
            if decoded:
                assert len(decoded.text) == len(decoded.starts) == len(decoded.ends)
                assert 0 < decoded.length <= len(run.group())
                pairs = list(zip(decoded.starts, decoded.ends, strict=True))
                assert all(0 <= start < end <= decoded.length for start, end in pairs)
                assert pairs == sorted(pairs)


@given(st.sampled_from([*range(1, 9), *range(0x80, 0xC2), *range(0xF5, 0x100)]), st.binary(min_size=11, max_size=60))
def test_bytes_that_are_no_text_are_not_read(first: int, rest: bytes) -> None:
    """No text in UTF-8 begins with such a byte. Zeros are left out, as UTF-16 has them."""
    assert BASE64.decode(base64.b64encode(bytes((first,)) + rest).decode()) is None


def test_named_entities_and_mixed_escapes_are_read_where_they_stand() -> None:
    text = quote("Émile & Zoë") + html.escape("<b>")
    found = [ESCAPES.decode(run.group()) for run in ESCAPES.pattern.finditer(text)]
    assert [decoded.text for decoded in found if decoded] == ["É", " & ", "ë<", ">"]
