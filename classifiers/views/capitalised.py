"""Capitalised words that may say a name otherwise, for the detector of names: two whose first sounds changed places
(Parry Hotter), and rows of which the first letters count (Heinrich Anton Richard: H, A, R)."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from classifiers.views.lines import lines
from classifiers.views.view import View

__all__ = ["capitalised_names"]

_WORD = re.compile(r"(?<![^\W_])[A-ZÀ-Þ][^\W\d_]{1,24}(?![^\W_])")
_ONSET = re.compile("[^aeiouy]+", re.IGNORECASE)
_GAP = re.compile(r"[\s,;.:/|_–—&+()\"'>-]{1,4}")
_FEWEST, _MOST = 5, 48  # words of a row
_CUT = 2  # words in front of such a row or behind it that belong to the sentence


def capitalised_names(view: View) -> View | None:
    """What its capitalised words may say, one reading a line; None without two of them side by side."""
    rows = [
        (row[0].start(), row[-1].end(), said)
        for row in _rows(view.text)
        if len(row) > 1 and (said := (*_exchanged(row), *_initials(row)))
    ]
    return lines(view, "capitalised names", rows) if rows else None


def _rows(text: str) -> Iterator[Sequence[re.Match[str]]]:
    row: list[re.Match[str]] = []
    for word in _WORD.finditer(text):
        if row and (len(row) == _MOST or not _GAP.fullmatch(text, row[-1].end(), word.start())):
            yield row
            row = []
        row.append(word)
    yield row


def _exchanged(row: Sequence[re.Match[str]]) -> Iterator[str]:
    for one, other in pairwise(row):
        first, second = _ONSET.match(one.group()), _ONSET.match(other.group())
        if first and second and other.start() == one.end() + 1:
            yield f"{second.group()}{one.group()[first.end() :]} {first.group()}{other.group()[second.end() :]}"


def _initials(row: Sequence[re.Match[str]]) -> Iterator[str]:
    letters = "".join(word.group()[0] for word in row)
    for first in range(_CUT + 1):
        for last in range(_CUT + 1):
            if len(said := letters[first : len(letters) - last]) >= _FEWEST:
                yield said
