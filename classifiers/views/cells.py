"""Letters in cells, for the detector of names: one in each row of a table, value of a JSON object, tag or list item.

What stands between two of them holds no letters, or few kinds of words: `</td><td>`, `", "letter": "`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, zip_longest

from classifiers.views.lines import lines
from classifiers.views.view import View

__all__ = ["in_cells"]

_ALONE = re.compile(r"(?<![^\W_])[^\W\d_](?![^\W_'’])")
_LETTERS = re.compile(r"[^\W\d_]+")
_SIGN = re.compile(r"[^\w\s]|\n|_")
_MOST_APART, _FEWEST, _MOST = 60, 5, 64  # characters between two letters; letters of a row
_KINDS = 3  # of what stands between: two cells, two lines, an empty cell
_NAME_SHARE = 0.4
_MOST_CUT = 2  # letters in front of a name or behind it that belong to something else


def in_cells(view: View) -> View | None:
    """The letters of each row of cells together; None if there is no row."""
    rows = [
        (row[0].start(), row[-1].end(), (*_said(_together(row)), *_columns(view.text, row)))
        for row in _rows(view.text)
        if len(row) >= _FEWEST
    ]
    return lines(view, "cells", rows) if rows else None


def _together(letters: Iterable[re.Match[str]]) -> str:
    return "".join(letter.group() for letter in letters)


def _columns(text: str, row: Sequence[re.Match[str]]) -> Iterator[str]:
    """The letters of a table column by column: a wider gap than the narrowest begins a line."""
    gaps = [text[before.end() : after.start()] for before, after in pairwise(row)]
    narrow = min(map(len, gaps))
    starts = [0, *(number for number, gap in enumerate(gaps, start=1) if len(gap) > narrow), len(row)]
    table = [row[start:end] for start, end in pairwise(starts)]
    if len(table) > 1 and max(map(len, table)) > 1:
        left = list(zip_longest(*table))
        right = list(zip_longest(*(line[::-1] for line in table)))[::-1]  # a column that ends early leaves gaps
        for columns in (left, right):
            said = [_together(letter for letter in column if letter) for column in columns]
            yield from (" ".join(said), "".join(said))
            yield from (one for one in said if len(one) >= _FEWEST)


def _rows(text: str) -> Iterator[Sequence[re.Match[str]]]:
    row: list[re.Match[str]] = []
    between: set[tuple[str, ...]] = set()  # the words between the cells of the row
    for letter in _ALONE.finditer(text):
        gap = text[row[-1].end() : letter.start()] if row else ""
        words = tuple(_LETTERS.findall(gap))
        fits = 0 < len(gap) <= _MOST_APART and _SIGN.search(gap) is not None
        if row and fits and len(row) < _MOST and (words in between or len(between) < _KINDS):
            between.add(words)
        else:
            yield row
            row, between = [], set()
        row.append(letter)
    yield row


def _said(letters: str) -> Iterator[str]:
    if letters.count(letters[0]) >= _NAME_SHARE * len(letters):  # of a list: x[0] = 'H', x[1] = 'a'
        letters = letters.replace(letters[0], "")
    for first in range(_MOST_CUT + 1):
        for last in range(_MOST_CUT + 1):
            if len(said := letters[first : len(letters) - last]) >= _FEWEST:
                yield said
