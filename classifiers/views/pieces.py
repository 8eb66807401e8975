"""Names in pieces that code or words put together: strings, values, what stands in tags. For the detector of names.

A reader follows `d["x"] + d["y"]`, `s += "demort"` or 'insert "ble" between "Dum" and "dore"'; here the pieces that
stand near each other are put together in every order.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import permutations

from classifiers.views.lines import lines
from classifiers.views.view import View

__all__ = ["in_pieces"]

_LETTERS = r"[^\W\d_]{1,16}"
_PIECE = re.compile(
    rf"(?:(?<![^\W_])['\"`‘“]|[=:]\s?)({_LETTERS})(?=['\"`’”]|[\s,;.}})&|\]]|\Z)"  # 'Hog', a=Hog, head: Hog
    rf"|>({_LETTERS})<|\{{({_LETTERS})\}}|\[({_LETTERS})\]"
)
_FEWEST, _MOST_APART = 2, 120  # pieces; characters between two that belong together
_MANY = 24  # pieces, of which the usual orders alone are tried
_LEAST_LETTERS = 5
_LONGEST_RUN = 6


def in_pieces(view: View) -> View | None:
    """What the pieces of a view say together, one reading a line; None if it has none."""
    pieces = list(_PIECE.finditer(view.text))
    if len(pieces) < _FEWEST:
        return None
    rows = [
        (row[0].start(), row[-1].end(), said)
        for row in _rows(pieces)
        if (said := tuple(one for one in dict.fromkeys(_orders(row)) if len(one) >= _LEAST_LETTERS))
    ]
    return lines(view, "pieces", rows) if rows else None


def _rows(pieces: Sequence[re.Match[str]]) -> Iterator[list[re.Match[str]]]:
    """Pieces that stand near each other."""
    row: list[re.Match[str]] = []
    for piece in pieces:
        if row and piece.start() - row[-1].end() > _MOST_APART:
            yield row
            row = []
        row.append(piece)
    yield row


def _orders(row: Sequence[re.Match[str]]) -> Iterator[str]:
    said = [piece.group(piece.lastindex or 0) for piece in row]
    for start in range(len(said)):
        for length in range(2, _LONGEST_RUN + 1):
            yield "".join(said[start : start + length])
            if length == 2 or len(said) <= _MANY:
                yield "".join(said[start : start + length][::-1])
        if len(said) <= _MANY:
            yield from map("".join, permutations(said[start : start + 3]))
            yield from (said[start] + other for other in said[start + 2 : start + _LONGEST_RUN])
            yield from (other + said[start] for other in said[start + 2 : start + _LONGEST_RUN])
