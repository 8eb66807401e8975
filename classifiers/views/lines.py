"""Views for the detector of names alone: what parts of a text may say, one reading a line."""

from collections.abc import Iterable

from classifiers.views.view import View

__all__ = ["lines"]


def lines(view: View, name: str, rows: Iterable[tuple[int, int, Iterable[str]]]) -> View:
    """Each reading of each row (start, end, readings) on a line, at the row's place in the view."""
    found: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for first, last, readings in rows:
        start, end = view.source_range(first, last)
        for reading in readings:
            found.append(reading)
            starts += [start] * (len(reading) + 1)
            ends += [end] * (len(reading) + 1)
    return View(name, "\n".join(found) + "\n", starts, ends, names_alone=True)
