"""Bytes in wider bases, and in base64 whose letters stand apart."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

from classifiers.names.vocabulary import is_known
from classifiers.views.bits import BASE32_VALUES, BASE64_VALUES, HEX_VALUES, bits
from classifiers.views.reading import Decoder, characters_of

__all__ = ["APART", "BASE85", "UTF_7", "UUENCODED", "bytes_of_85"]

_Characters = Iterator[tuple[str, int, int]]
_DIGITS = "0123456789"
_CAPITALS, _SMALL = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
_BLOCK, _BYTES = 5, 4  # of base 85: so many signs hold so many bytes
_ALPHABETS_85 = {
    "ascii85": "".join(map(chr, range(33, 118))),
    "base85 of git": _DIGITS + _CAPITALS + _SMALL + "!#$%&()*+-;<=>?@^_`{|}~",
    "z85": _DIGITS + _SMALL + _CAPITALS + ".-:+=^!/*?&<>()[]{}@%$#",
}
# A sign among letters.
_SIGNED = r"(?=\S{0,24}[^\w\s\-/.:,])(?=\S{0,24}[A-Z])(?=\S{0,24}[a-z0-9])"
_TEXT_SHARE = 0.7  # of what is said are letters and spaces: by chance fewer are
_PLAIN_BASE64 = {letter: value for letter, value in BASE64_VALUES.items() if letter not in "-_"}


def _base85(alphabet: str) -> Callable[[str], _Characters]:
    values = {sign: value for value, sign in enumerate(alphabet)}

    def read(run: str) -> _Characters:
        said = list(characters_of(_bytes85(run, values)))
        text = sum(letter.isalpha() or letter == " " for letter, _, _ in said)
        return iter(said if text >= _TEXT_SHARE * len(said) else ())

    return read


def bytes_of_85(name: str) -> Callable[[str], Iterator[tuple[int, int, int]]]:
    """The reader of the bytes of one of the alphabets of base 85, by its name."""
    values = {sign: value for value, sign in enumerate(_ALPHABETS_85[name])}
    return lambda run: _bytes85(run, values)


def _bytes85(run: str, values: dict[str, int]) -> Iterator[tuple[int, int, int]]:
    """The last block may be short: one byte less than it has signs."""
    last = next(reversed(values))
    start = len(run) - len(run.removeprefix("<~"))
    end = len(run.removesuffix("~>"))
    while start < end:
        block = run[start : min(start + _BLOCK, end)]
        if any(sign not in values for sign in block):
            return
        number = 0
        for sign in block.ljust(_BLOCK, last):
            number = number * 85 + values[sign]
        if number >= 1 << 32:
            return
        said = number.to_bytes(_BYTES, "big")[: len(block) - 1]
        for place, value in enumerate(said, 1):
            yield value, start + place - 1, start + (place if place < len(said) else len(block))
        start += _BLOCK


def _uuencoded(run: str) -> _Characters:
    """One line: the first sign says how many bytes it holds. Spaces at its end may be lost."""
    count = ord(run[0]) - 32 & 63
    least, most = -(-count * 8 // 6), -(-count // 3) * 4
    if not count or not least <= len(run) - 1 <= most:
        return iter(())
    found = islice(bits(run[1:], _UU_VALUES, 6), count)
    return characters_of((value, start + 1, end + 1) for value, start, end in found)


_GROUP = re.compile("[A-Za-z0-9+/]+")
_UU_VALUES = {chr(32 + value): value for value in range(64)} | {"`": 0}


def _utf_7(run: str) -> _Characters:
    return ((said, start + 1, end + 1) for said, start, end in characters_of(bits(run[1:], _PLAIN_BASE64, 6)))


def _apart(values: Mapping[str, int], width: int) -> Callable[[str], _Characters]:
    def read(run: str) -> _Characters:
        """Small words in front may be as wide as the groups: they are none."""
        groups = iter(_GROUP.finditer(run))
        first = next((one.start() for one in groups if not _is_in_small_letters(one.group())), len(run))
        found = characters_of(bits(run[first:], values, width))
        return ((said, start + first, end + first) for said, start, end in found)

    return read


def _is_in_small_letters(group: str) -> bool:
    return len(group) > 1 and group[1:].islower() and is_known(group.lower())


def _groups(letters: str) -> re.Pattern[str]:
    """Groups of one width with one gap between them; an odd one must be near the beginning, or words would do."""
    gap = r"(?P<{}>[ .,;:_|\n-]{{1,2}})"
    single = rf"{letters}{gap.format('one')}{letters}(?:(?P=one){letters}){{8,}}"
    odd = r"(?=[A-Za-z0-9+/ .,;:_|\n-]{0,24}(?:[a-z][A-Z]|[A-Z]{2}[a-z]|[A-Za-z]\d))"
    wider = "|".join(
        rf"{letters}{{{width}}}{gap.format(f'by{width}')}(?:{letters}{{{width}}}(?P=by{width})){{2,}}{letters}{{1,{width}}}"
        for width in (2, 3, 5, 6, 8)
    )
    return re.compile(rf"(?<![A-Za-z0-9+/=])(?:{single}|{odd}(?:{wider}))=?(?:[ .,;:_|\n-]?=){{0,2}}(?![A-Za-z0-9])")


BASE85 = tuple(
    Decoder(name, re.compile(rf"(?<![^\s\"'`(]){_SIGNED}(?:<~)?[!-~]{{8,}}"), _base85(alphabet))
    for name, alphabet in _ALPHABETS_85.items()
)
"""Base 85 in its three usual alphabets."""
UUENCODED = Decoder("uuencoded", re.compile(r"(?<![^\s\"'])[!-M][!-`]{8,60}(?![^\s\"',.?])"), _uuencoded)
UTF_7 = Decoder("UTF-7", re.compile(r"(?<![A-Za-z0-9+/])\+[A-Za-z0-9+/]{10,}-?"), _utf_7)
APART: Iterable[Decoder] = tuple(
    Decoder(f"{name} apart", _groups(letters), _apart(values, width))
    for name, letters, values, width in (
        ("base64", "[A-Za-z0-9+/]", _PLAIN_BASE64, 6),
        ("base32", "[A-Z2-7]", BASE32_VALUES, 5),
        ("hex", "[0-9A-Fa-f]", HEX_VALUES, 4),
    )
)
"""Codes whose signs stand apart, or in groups of one width."""
