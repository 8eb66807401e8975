"""Codes that must be computed first, for the detector of names: numbers doubled, squared or moved, hexadecimal places,
bytes that were inverted or XORed with a key, Morse in digits, and alphabets that move on with every letter."""

import base64
import binascii
import math
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice

from classifiers.views.decoders import MORSE
from classifiers.views.lines import lines
from classifiers.views.spelling import stretches
from classifiers.views.view import View
from classifiers.views.wording import cues

__all__ = ["computed"]

_NUMBERS = re.compile(r"(?<!\w)(?<!\d\.)\d{1,4}(?:[\s,;/|+-]{1,3}\d{1,4}){4,}(?!\w|\.\d)")
_PLACE = "(?:1[0-9a-f]|[0-9a-f])"
_HEX_PLACES = re.compile(rf"(?<!\w)(?<!\d\.){_PLACE}(?:[\s,;/|+-]{{1,3}}{_PLACE}){{4,}}(?!\w|\.\d)", re.IGNORECASE)
_MORSE = re.compile(r"(?<!\w)(?<!\d\.)[01]{1,4}(?:[\s/|,]{1,3}[01]{1,4}){3,}(?!\w|\.\d)")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:(?:0x|\\x|~)?[0-9A-Fa-f]{2}[\s,:]{0,2}){5,}(?![0-9A-Za-z])")
_BITS = re.compile(r"(?<!\d)[01]{8}(?:[\s,]{0,2}[01]{8}){4,}(?!\d)")
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{8,}={0,2}(?![A-Za-z0-9+/=])")
_BYTE_CUES = frozenset("xor xored inve flip comp not bits byte key mask nega".split())
_SHIFT_CUES = frozenset("shif posi cipher ciph caes undo prog nth trit rota forw back move".split())
_PAIR = re.compile("[0-9A-Fa-f]{2}")
_LONGEST, _MOST_RUNS = 400, 16  # characters of a run; runs of a text
_LEAST, _LETTER_SHARE = 5, 0.9  # letters; of what bytes say
_A = ord("a")
_Said = Callable[[str], Iterator[str]]
_Values = Callable[[str], bytes]


def computed(view: View) -> View | None:
    """What the codes of a text may say, one reading a line; None if it has none."""
    rows = [(start, end, dict.fromkeys(said)) for start, end, said in _rows(view.text) if said]
    return lines(view, "computed", rows) if rows else None


def _rows(text: str) -> Iterator[tuple[int, int, list[str]]]:
    if any(character.isdigit() for character in text):
        for pattern, said in ((_NUMBERS, _of_numbers), (_HEX_PLACES, _of_hex_places), (_MORSE, _of_morse)):
            yield from _each(pattern, text, said)
    found = cues(text)
    if not _BYTE_CUES.isdisjoint(found) or "~" in text:
        for pattern, values in ((_HEX, _of_hex), (_BITS, _of_bits), (_BASE64, _of_base64)):
            yield from _masked(pattern, text, values)
    if not _SHIFT_CUES.isdisjoint(found):
        for stretch in stretches(text)[:_MOST_RUNS]:
            yield stretch.start, stretch.end, list(_moving(text[stretch.start : stretch.end][:_LONGEST]))


def _each(pattern: re.Pattern[str], text: str, said: _Said) -> Iterator[tuple[int, int, list[str]]]:
    yield from ((*run.span(), list(said(run.group()))) for run in _runs(pattern, text))


def _runs(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    return (run for run in islice(pattern.finditer(text), _MOST_RUNS) if len(run.group()) <= _LONGEST)


def _of_numbers(run: str) -> Iterator[str]:
    """Places in the alphabet that were multiplied, squared, or moved."""
    numbers = [int(one) for one in re.findall(r"\d+", run)]
    if len(numbers) < _LEAST:
        return
    if (common := math.gcd(*numbers)) > 1:
        yield from (_letters([one // by for one in numbers]) for by in range(2, common + 1) if common % by == 0)
    roots = [math.isqrt(one) for one in numbers]
    if all(root * root == one for root, one in zip(roots, numbers, strict=True)):
        yield _letters(roots)
    low, high = min(numbers), max(numbers)
    for moved in range(max(high - 26, -26), low):
        yield _letters([one - moved for one in numbers])


def _of_hex_places(run: str) -> Iterator[str]:
    if re.search("[a-f]", run, re.IGNORECASE):
        yield _letters([int(one, 16) for one in re.findall("[0-9a-f]+", run, re.IGNORECASE)])


def _letters(places: Sequence[int]) -> str:
    return "".join(chr(_A + place - 1) for place in places) if all(0 < place <= 26 for place in places) else ""


def _of_morse(run: str) -> Iterator[str]:
    groups = re.findall("[01]+", run)
    for table in (str.maketrans("01", ".-"), str.maketrans("01", "-.")):
        said = [MORSE.get(group.translate(table), "") for group in groups]
        if all(said):
            yield "".join(said)


def _masked(pattern: re.Pattern[str], text: str, values: _Values) -> Iterator[tuple[int, int, list[str]]]:
    """Bytes XORed with each key that makes letters and spaces of them, those of all runs together."""
    runs = list(_runs(pattern, text))
    read = [found for run in runs if len(found := values(run.group())) >= _LEAST]
    if read:
        said = (b" ".join(found.translate(_with_key(key)) for found in read) for key in range(1, 256))
        yield runs[0].start(), runs[-1].end(), [one.decode("ascii") for one in said if _is_words(one)]


@lru_cache(maxsize=256)
def _with_key(key: int) -> bytes:
    """What each byte is with a key, as `bytes.translate` takes it."""
    return bytes(value ^ key for value in range(256))


def _is_words(said: bytes) -> bool:
    if not said.isascii():
        return False
    text = said.decode("ascii")
    letters = sum(letter.isalpha() or letter == " " for letter in text)
    return text.isprintable() and letters >= _LETTER_SHARE * len(text)


def _of_hex(run: str) -> bytes:
    return bytes(int(pair, 16) for pair in _PAIR.findall(run.replace("0x", " ")))


def _of_bits(run: str) -> bytes:
    digits = "".join(re.findall("[01]", run))
    return bytes(int(digits[place : place + 8], 2) for place in range(0, len(digits) - 7, 8))


def _of_base64(run: str) -> bytes:
    if run.isalpha() and (run.islower() or run.istitle()):
        return b""  # a word
    try:
        return base64.b64decode(run + "=" * (-len(run) % 4))
    except binascii.Error:
        return b""


def _moving(text: str) -> Iterator[str]:
    """Shifts that grow by one with each letter, or begin anew with each word."""
    for forward in (1, -1):
        for anew in (False, True):
            yield from (_moved(text, forward, first, anew=anew, steps=range(26)) for first in (0, 1))
            yield from (_moved(text, forward, first, anew=anew, steps=(1, 2, 3)) for first in range(3))


def _moved(text: str, forward: int, first: int, *, anew: bool, steps: Sequence[int]) -> str:
    said: list[str] = []
    place = 0
    for letter in text.lower():
        if "a" <= letter <= "z":
            said.append(chr(_A + (ord(letter) - _A - forward * steps[(first + place) % len(steps)]) % 26))
            place += 1
        else:
            said.append(letter)
            place = 0 if anew and letter == " " else place
    return "".join(said)
