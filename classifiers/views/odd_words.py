"""Words that general traffic does not have, in the spellings that may hide a name: for the detector of names alone."""

import re
from collections.abc import Iterable, Iterator

from classifiers.names.vocabulary import is_strange
from classifiers.views.spelling import AROUND, INNER, LEET, LEET_L, SHIFTS, each_reversed, letters_apart, stretches
from classifiers.views.view import View

__all__ = ["odd_names"]

_DIGIT = re.compile(r"[0-9@$!|+€£]")
_ROT13 = 12  # of the shifts, which begin with 1
_LONGEST_WORD = 60


def odd_names(view: View) -> Iterator[View]:
    """Every stretch of odd words and every run of letters that stand apart, spelled in the ways that hide a name. All
    shifts of the alphabet are a view of their own: they are long, and must not push out the likelier spellings."""
    odd = [
        (stretch.start, stretch.end, source)
        for stretch in stretches(view.text)
        if len(source := view.text[stretch.start : stretch.end].strip(AROUND)) <= _LONGEST_WORD * stretch.odd
    ]
    spelled = [(start, end, tuple(dict.fromkeys(_variants(source)))) for start, end, source in odd]
    shifted = [
        (start, end, tuple(source.translate(table) for table in SHIFTS))
        for start, end, source in odd
        if is_strange(source)
    ]
    for rows in ([*spelled, *letters_apart(view.text)], shifted):
        if rows:
            yield _lines(view, rows)


def _lines(view: View, rows: Iterable[tuple[int, int, tuple[str, ...]]]) -> View:
    lines: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for first, last, variants in rows:
        start, end = view.source_range(first, last)
        for variant in variants:
            lines.append(variant)
            starts += [start] * (len(variant) + 1)
            ends += [end] * (len(variant) + 1)
    return View("odd words", "\n".join(lines) + "\n", starts, ends, names_alone=True)


def _variants(source: str) -> Iterator[str]:
    yield source[::-1]
    if " " in source:
        yield each_reversed(source)
    yield source.translate(SHIFTS[_ROT13])
    bare = INNER.sub("", source)
    if bare != source:
        yield bare
        yield " ".join(INNER.sub("", token) for token in source.split())
    if _DIGIT.search(source):
        yield source.translate(LEET)
        yield source.translate(LEET_L)
    if source.lower().endswith("ay"):
        yield from _pig_latin(source)


def _pig_latin(source: str) -> Iterator[str]:
    """The first consonants of each word stand behind it, before 'ay'."""
    for moved in (1, 2):
        yield " ".join(
            word[-2 - moved : -2] + word[: -2 - moved] if word.lower().endswith("ay") else word
            for word in source.split()
        )
