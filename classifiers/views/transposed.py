"""Letters in another order by a rule: rail fences, columns, odd places before even ones, halves swapped."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from classifiers.names.vocabulary import common_pairs, known_share, parted
from classifiers.views.spelling import stretches
from classifiers.views.view import Decoded, Edit, View, rewritten

__all__ = ["transposed"]

_LEAST, _LONGEST = 16, 1_200  # characters of a run
_ODD, _LONG_WORD = 3, 14  # odd words of a stretch that is worth a look; letters of one that is
_MOST = 40  # runs of a text
_KNOWN_BEFORE, _KNOWN_SHARE = 0.6, 0.75
_SAMPLE = 160  # characters that decide
_LINE = re.compile(r"[^\n:\"“”`]+")
_RAILS, _WIDTHS = (2, 3, 4, 5), (2, 3, 4, 5, 6, 7, 8)


def transposed(view: View) -> View | None:
    """The view with runs of odd words whose letters are English in the order of some rule; None if there are none."""
    edits: list[Edit] = []
    for start, end in _runs(view.text):
        if (not edits or edits[-1].end <= start) and (edit := _read(view.text, start, end)):
            edits.append(edit)
    return rewritten(view, "transposed", edits) if edits else None


def _runs(text: str) -> Iterator[tuple[int, int]]:
    """Odd words in a row, the whole line first: words of it may be common by chance."""
    lines: list[tuple[int, int]] = []
    count = 0
    for stretch in stretches(text):
        if stretch.odd < _ODD and stretch.end - stretch.start < _LONG_WORD:
            continue
        count += 1
        if count > _MOST:
            return
        if not lines:
            lines = [line.span() for line in _LINE.finditer(text)]
        while lines and lines[0][1] <= stretch.start:
            lines.pop(0)
        whole = _stripped(text, *lines[0]) if lines else (stretch.start, stretch.end)
        for start, end in dict.fromkeys((whole, (stretch.start, stretch.end))):
            if _LEAST <= end - start <= _LONGEST:
                yield start, end


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    line = text[start:end]
    return start + len(line) - len(line.lstrip()), end - len(line) + len(line.rstrip())


def _read(text: str, start: int, end: int) -> Edit | None:
    source = text[start:end]
    if known_share(source[:_SAMPLE]) >= _KNOWN_BEFORE:
        return None
    best: tuple[float, int] = (0.0, 0)
    said = ""
    variants = [source] if " " not in source else [source, source.replace(" ", "")]
    for variant in variants:
        for order in _orders(len(variant)):
            read = _words("".join(variant[place] for place in order[:_SAMPLE]))
            score = (round(known_share(read), 2), common_pairs(read))
            if score > best:
                best, said = score, "".join(variant[place] for place in order)
    if best[0] < _KNOWN_SHARE or best[1] < 1 or len(said) < _LEAST:
        return None
    words = _words(said)
    return Edit(start, Decoded(words, (0,) * len(words), end - start))


def _words(letters: str) -> str:
    """Parted into words, if hardly a space does that."""
    if letters.count(" ") * 12 > len(letters):
        return letters
    return " ".join(word for part in letters.lower().split() for word in parted(part))


@lru_cache(maxsize=64)
def _orders(length: int) -> tuple[tuple[int, ...], ...]:
    """For each rule, where in what was written each character of what is meant stands."""
    found = []
    for written in _written(length):
        meant = [0] * length
        for place, source in enumerate(written):
            meant[source] = place
        found += [tuple(meant), tuple(written)]
    return tuple(dict.fromkeys(found))


def _written(length: int) -> Iterator[Sequence[int]]:
    """For each rule, the characters of what is meant in the order in which they are written."""
    for rails in _RAILS:
        yield sorted(range(length), key=_rail(rails))
    for width in _WIDTHS:
        yield [place for column in range(width) for place in range(column, length, width)]
    yield [*range(length // 2, length), *range(length // 2)]
    yield [*range(1, length, 2), *range(0, length, 2)]
    yield [place + 1 if place % 2 == 0 and place + 1 < length else place - place % 2 for place in range(length)]


def _rail(rails: int) -> Callable[[int], int]:
    """On which rail a character stands, in a zigzag."""
    period = 2 * (rails - 1)
    return lambda place: min(place % period, period - place % period)
