"""Letters in cells, for the detector of names: one in each row of a table, value of a JSON object, tag or list item.

What stands between two of them holds no letters, or the same ones each time: `</td><td>`, `", "letter": "`.
"""

import re
from collections.abc import Iterator, Sequence

from classifiers.views.lines import lines
from classifiers.views.view import View

__all__ = ["in_cells"]

_ALONE = re.compile(r"(?<![^\W_])[^\W\d_](?![^\W_'’])")
_LETTERS = re.compile(r"[^\W\d_]+")
_SIGN = re.compile(r"[^\w\s]|\n|_")
_MOST_APART, _FEWEST, _MOST = 60, 5, 64  # characters between two letters; letters of a row
_NAME_SHARE = 0.4
_MOST_CUT = 2  # letters in front of a name or behind it that belong to something else


def in_cells(view: View) -> View | None:
    """The letters of each row of cells together; None if there is no row."""
    rows = [
        (row[0].start(), row[-1].end(), tuple(_said("".join(letter.group() for letter in row))))
        for row in _rows(view.text)
        if len(row) >= _FEWEST
    ]
    return lines(view, "cells", rows) if rows else None


def _rows(text: str) -> Iterator[Sequence[re.Match[str]]]:
    row: list[re.Match[str]] = []
    between: tuple[str, ...] | None = None  # the words between the cells of the row
    for letter in _ALONE.finditer(text):
        gap = text[row[-1].end() : letter.start()] if row else ""
        words = tuple(_LETTERS.findall(gap))
        fits = 0 < len(gap) <= _MOST_APART and _SIGN.search(gap) is not None
        if row and fits and len(row) < _MOST and (between is None or _repeats(words, between)):
            between = words if between is None else between
        else:
            yield row
            row, between = [], None
        row.append(letter)
    yield row


def _repeats(words: tuple[str, ...], between: tuple[str, ...]) -> bool:
    """Whether these are the words between two cells; with an empty cell among them, twice."""
    return words in (between, between * 2)


def _said(letters: str) -> Iterator[str]:
    if letters.count(letters[0]) >= _NAME_SHARE * len(letters):  # of a list: x[0] = 'H', x[1] = 'a'
        letters = letters.replace(letters[0], "")
    for first in range(_MOST_CUT + 1):
        for last in range(_MOST_CUT + 1):
            if len(said := letters[first : len(letters) - last]) >= _FEWEST:
                yield said
