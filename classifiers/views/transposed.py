"""Letters in another order by a rule: rail fences, columns, odd places before even ones, halves swapped."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from classifiers.names.vocabulary import common_pairs, known_share
from classifiers.views.lines import lines
from classifiers.views.spelling import AROUND, stretches
from classifiers.views.view import Decoded, Edit, View, rewritten
from classifiers.views.wording import cues, worded

__all__ = ["transposed", "transposed_names"]

_LEAST, _LONGEST = 16, 1_200  # characters of a run
_ODD, _LONG_WORD = 3, 16  # odd words of a stretch that is worth a look; letters of one that is
_MOST = 40  # runs of a text
_KNOWN_BEFORE, _KNOWN_SHARE, _GAIN = 0.6, 0.75, 0.25
_KNOWN_WITH_CUE = 0.3  # if the text speaks of such a rule: names are no common words
_SAMPLE = 160  # characters that decide
_VOWELS, _LETTERS, _FEWEST_VOWELS = "aeiouy", 0.85, 0.25  # shares of the characters that are no spaces
_POSSESSIVE = re.compile("['’]s?$")
_LINE = re.compile(r"[^\n:\"“”`]+")
_CUES = frozenset("rail fenc zigz zag tran colu rout scyt shuf inte odd deci decr deco".split())
_MOST_NAMES, _LEAST_NAME, _LONGEST_NAME = 6, 5, 30  # odd words; letters of one
_RAILS, _WIDTHS = (2, 3, 4, 5), (2, 3, 4, 5, 6, 7, 8)


def transposed(view: View) -> View | None:
    """The view with runs of odd words whose letters are English in the order of some rule; None if there are none."""
    edits: list[Edit] = []
    least = _KNOWN_SHARE if _CUES.isdisjoint(cues(view.text)) else _KNOWN_WITH_CUE
    for start, end in _runs(view.text):
        if (not edits or edits[-1].end <= start) and (edit := _read(view.text, start, end, least)):
            edits.append(edit)
    return rewritten(view, "transposed", edits) if edits else None


def transposed_names(view: View) -> View | None:
    """Odd words in the orders of the rules, one reading a line, if the text speaks of such a rule."""
    if _CUES.isdisjoint(cues(view.text)):
        return None
    rows = []
    for stretch in stretches(view.text)[:_MOST_NAMES]:
        for token in re.finditer(r"\S+", view.text[stretch.start : stretch.end]):
            word = _POSSESSIVE.sub("", token.group().strip(AROUND))
            if _LEAST_NAME <= len(word) <= _LONGEST_NAME:
                first = stretch.start + token.start() + token.group().index(word)
                said = ("".join(word[place] for place in order) for order in _orders(len(word)))
                rows.append((first, first + len(word), tuple(dict.fromkeys(said))))
    return lines(view, "transposed", rows[:_MOST_NAMES]) if rows else None


def _runs(text: str) -> Iterator[tuple[int, int]]:
    """Odd words in a row, the whole line first: words of it may be common by chance."""
    lines: list[tuple[int, int]] = []
    count = 0
    for stretch in stretches(text):
        source = text[stretch.start : stretch.end]
        if stretch.odd < _ODD and not (
            stretch.odd == 1 and len(source) >= _LONG_WORD and source.strip(AROUND).isalpha()
        ):
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


def _read(text: str, start: int, end: int, least: float) -> Edit | None:
    source = text[start:end]
    if not _has_letters_of_english(source[:_SAMPLE]) or known_share(source[:_SAMPLE]) >= _KNOWN_BEFORE:
        return None
    best: tuple[float, int] = (0.0, 0)
    said = ""
    for variant in (source, source.replace(" ", "")) if _in_groups(source) else (source,):
        for order in _orders(len(variant)):
            read = worded("".join(variant[place] for place in order[:_SAMPLE]))
            score = (round(known_share(read), 2), common_pairs(read))
            if score > best:
                best, said = score, "".join(variant[place] for place in order)
    if best[0] < least or best[1] < 1:
        return None
    words = worded(said)
    if known_share(words) < known_share(source) + min(_GAIN, least / 3):
        return None
    return Edit(start, Decoded(words, (0,) * len(words), end - start))


def _has_letters_of_english(source: str) -> bool:
    """Whether a text may be English in another order: hardly any digits, and as many vowels."""
    letters = [letter for letter in source.lower() if not letter.isspace()]
    vowels = sum(letter in _VOWELS for letter in letters)
    return sum(map(str.isalpha, letters)) >= _LETTERS * len(letters) and vowels / len(letters) >= _FEWEST_VOWELS


def _in_groups(source: str) -> bool:
    """Whether spaces part letters into groups of one width, as is usual of ciphers."""
    first, *others = source.split(" ")
    return bool(others) and all(len(one) == len(first) for one in others[:-1])


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
