"""Rows of numbers that stand for letters in ways that no number tells apart: places in the alphabet, keys of a phone,
squares of a table, character codes without gaps. The detector of names reads them all, the others what is English."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

from classifiers.names.vocabulary import known_share
from classifiers.views.lines import lines
from classifiers.views.view import Decoded, Edit, View, rewritten
from classifiers.views.wording import worded

__all__ = ["numbered", "numbered_names"]

_NUMBER = re.compile(r"\d{1,4}(?!\d)|\d{12,}")
_WORTH_A_LOOK = re.compile(r"\d\D{1,16}\d{1,4}\D{1,16}\d{1,4}\D{1,16}\d|\d{12}")
_LEAST_LETTERS, _KNOWN_SHARE = 16, 0.6  # of what is read as English
_SAMPLE = 240  # letters that decide that
_WIDEST_GAP, _MOST_GAPS = 16, 3
_FEWEST, _MOST_DIGITS = 4, 4  # numbers of a row; digits of one: a longer one is codes without gaps
_SAME_TEXT = 8  # texts: both ways look at one
_ROMANS = {
    numeral: place
    for place, numeral in enumerate(
        tens + units for tens in ("", "X", "XX") for units in ("", *"I II III IV V VI VII VIII IX".split())
    )
}
_ROMAN_ROW = re.compile(r"(?<![^\W_])[IVXivx]{1,5}(?:[\s,.;/|·-]{1,3}[IVXivx]{1,5}){3,}+(?![^\W_])")
_BITS_ROW = re.compile(r"(?<!\d)(?:[01]{5}(?:[\s,.;/|_-]{1,3}[01]{5}){3,}+|[01]{25,}+)(?!\d)")
_DOTS_ROW = re.compile(r"(?<![\w.])\.{1,5}(?:[\s,/|]{1,4}\.{1,5}){7,}+(?![\w.])")
_NO_PLACE = 99
_ITA2 = " e a siu drjnfcktzlwhypqobg mxv "  # Baudot's code as the Recommendation ITU-T S.1 has it; 0 says nothing
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
_KEYS = {str(key): letters for key, letters in enumerate("abc def ghi jkl mno pqrs tuv wxyz".split(), 2)}
_SQUARES = (_ALPHABET.replace("j", ""), _ALPHABET.replace("k", ""))  # Polybius's, and the tap code's
_CODES = re.compile(r"1[0-2]\d|[3-9]\d")
_OCTAL_CODES = re.compile(r"[01][0-7]{2}")


def numbered(view: View) -> View | None:
    """The view with rows of numbers as the English that they say in one of the ways; None if they say none."""
    edits = [edit for row in _said(view.text) if (edit := _in_english(*row))]
    return rewritten(view, "numbers", edits) if edits else None


def _in_english(start: int, end: int, readings: Sequence[str]) -> Edit | None:
    for said in readings:
        if len(said) >= _LEAST_LETTERS and known_share(worded(said[:_SAMPLE])) >= _KNOWN_SHARE:
            words = worded(said)
            return Edit(start, Decoded(words, (0,) * len(words), end - start))
    return None


def numbered_names(view: View) -> View | None:
    """What the rows of numbers of a view may say, one reading a line; None if it has no such row."""
    rows = _said(view.text)
    return lines(view, "numbers", rows) if rows else None


@lru_cache(maxsize=_SAME_TEXT)
def _said(text: str) -> tuple[tuple[int, int, tuple[str, ...]], ...]:
    """Each row of numbers that says something: start, end, readings."""
    others = _other_rows(text)
    if not _WORTH_A_LOOK.search(text):
        return tuple(row for row in others if any(row[2]))
    rows = ((row[0].start(), row[-1].end(), tuple(_readings(row))) for row in _rows(text))
    return tuple(row for row in (*rows, *others) if any(row[2]))


def _other_rows(text: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Roman numerals, groups of five bits, and dots to count."""
    for roman in _ROMAN_ROW.finditer(text):
        places = (_ROMANS.get(numeral.upper(), _NO_PLACE) for numeral in re.findall(r"\w+", roman.group()))
        if said := "".join(_places(map(str, places), 1)):
            yield *roman.span(), (said,)
    for bits in _BITS_ROW.finditer(text) if "0" in text else ():
        yield *bits.span(), tuple(_of_five_bits(re.sub("[^01]", "", bits.group())))
    for dots in _DOTS_ROW.finditer(text) if ".. " in text else ():
        yield *dots.span(), tuple(_counted([str(len(group)) for group in re.findall(r"\.+", dots.group())]))


def _of_five_bits(digits: str) -> Iterator[str]:
    codes = [int(digits[place : place + 5], 2) for place in range(0, len(digits) - 4, 5)]
    yield "".join(_ITA2[code] for code in codes)
    yield from ("".join(_places(map(str, codes), first)) for first in (1, 0))


def _counted(counts: Sequence[str]) -> Iterator[str]:
    """Taps on a wall: the code has no k, and a c is one there."""
    for square in _SQUARES:
        said = "".join(_squared(counts, square))
        yield from (said, said.replace("c", "k"), said.replace("cc", "ck"))


def _rows(text: str) -> Iterator[list[re.Match[str]]]:
    """Numbers that follow each other with few kinds of gaps, and long ones alone."""
    row: list[re.Match[str]] = []
    gaps: set[str] = set()
    for number in _NUMBER.finditer(text):
        if len(number.group()) > _MOST_DIGITS:
            yield [number]
            continue
        gap = text[row[-1].end() : number.start()] if row else ""
        if row and (len(gap) > _WIDEST_GAP or len(gaps | {gap}) > _MOST_GAPS):
            if len(row) >= _FEWEST:
                yield row
            row, gaps = [], set()
        elif row:
            gaps.add(gap)
        row.append(number)
    if len(row) >= _FEWEST:
        yield row


def _readings(row: Sequence[re.Match[str]]) -> Iterator[str]:
    numbers = [number.group() for number in row]
    if len(numbers) == 1:
        yield from _without_gaps(numbers[0])
        return
    wide = _wide_gaps(row)
    for letters in _WAYS:
        said = list(letters(numbers))
        if len(said) == len(numbers):
            yield "".join(" " + letter if gap else letter for letter, gap in zip(said, wide, strict=True)).strip()
        elif said:
            yield "".join(said)


def _wide_gaps(row: Sequence[re.Match[str]]) -> list[bool]:
    """In front of which numbers the gap is wider than the usual one."""
    gaps = [after.start() - before.end() for before, after in pairwise(row)]
    usual = Counter(gaps).most_common(1)[0][0]
    return [False, *(gap > usual for gap in gaps)]


def _without_gaps(digits: str) -> Iterator[str]:
    for pattern, base in ((_CODES, 10), (_OCTAL_CODES, 8)):
        codes = pattern.findall(digits)
        if sum(map(len, codes)) == len(digits):
            yield "".join(chr(int(code, base)) for code in codes)


def _places(numbers: Iterable[str], first: int) -> Iterator[str]:
    for number in numbers:
        place = int(number) - first
        if not -1 <= place < len(_ALPHABET) + 1:
            return
        yield _ALPHABET[place] if 0 <= place < len(_ALPHABET) else " "


def _keyed(numbers: Iterable[str]) -> Iterator[str]:
    """444 is the third letter on the key 4."""
    for number in numbers:
        letters = _KEYS.get(number[0], "")
        if number in ("0", "1"):
            yield " "
        elif len(set(number)) > 1 or len(number) > len(letters):
            return
        else:
            yield letters[len(number) - 1]


def _squared(numbers: Sequence[str], square: str) -> Iterator[str]:
    """Row and column of a square, in one number or in two."""
    digits = "".join(numbers)
    if len(digits) % 2 or set(digits) - set("12345") or len({len(number) for number in numbers}) > 1:
        return
    for row, column in zip(digits[::2], digits[1::2], strict=True):
        yield square[5 * int(row) + int(column) - 6]


_WAYS: Sequence[Callable[[Sequence[str]], Iterator[str]]] = (
    lambda numbers: _places(numbers, 1),
    lambda numbers: _places(numbers, 0),
    _keyed,
    *(lambda numbers, square=square: _squared(numbers, square) for square in _SQUARES),
)
