"""Words that general traffic does not have, in the spellings that may hide a name: for the detector of names alone."""

import re
from collections.abc import Iterator

from classifiers.names.vocabulary import is_strange
from classifiers.views.spelling import AROUND, INNER, LEET, LEET_L, SHIFTS, each_reversed, letters_apart, stretches
from classifiers.views.view import View

__all__ = ["odd_names"]

_DIGIT = re.compile(r"[0-9@$!|+€£]")
_ROT13 = 12  # of the shifts, which begin with 1
_LONGEST_WORD = 60


def odd_names(view: View) -> View | None:
    """Every stretch of odd words and every run of letters that stand apart, spelled in the ways that hide a name; None
    if there are none."""
    lines: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for first, last, variants in _odd(view.text):
        start, end = view.source_range(first, last)
        for variant in variants:
            lines.append(variant)
            starts += [start] * (len(variant) + 1)
            ends += [end] * (len(variant) + 1)
    if not lines:
        return None
    return View("odd words", "\n".join(lines) + "\n", starts, ends, names_alone=True)


def _odd(text: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    for stretch in stretches(text):
        source = text[stretch.start : stretch.end].strip(AROUND)
        if len(source) <= _LONGEST_WORD * stretch.odd:
            yield stretch.start, stretch.end, tuple(dict.fromkeys(_variants(source)))
    yield from letters_apart(text)


def _variants(source: str) -> Iterator[str]:
    yield source[::-1]
    if " " in source:
        yield each_reversed(source)
    yield from (source.translate(table) for table in (SHIFTS if is_strange(source) else SHIFTS[_ROT13 : _ROT13 + 1]))
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
