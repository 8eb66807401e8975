"""Where the end of a text may be the beginning of a name: exactly so much of a stream must wait for what follows."""

import re
from collections.abc import Iterator
from typing import TypeVar

from classifiers.names.boundaries import Boundary, Letters, beginning_fits, is_loose
from classifiers.names.index import GLUED_LETTERS, Owned, WordIndex
from classifiers.names.text import MIXED_SCRIPTS

_Entry = TypeVar("_Entry", bound=Owned)

__all__ = ["is_open", "open_from"]

# letters of an ending (see boundaries): of any script, of a Latin name, of a short one
_LONGEST_TAIL, _LATIN_TAIL, _SHORT_TAIL = 16, 3, 1
_INFLECTED = 6  # letters
# The beginning of what `normalise` takes for a space or for nothing, or of an escape that other views read.
_UNFINISHED = re.compile(r"(?:%[0-7]?|&[#0-9A-Za-z]{0,6}|</?[a-z]{0,6}\s*/?|\\[ux]?[0-9A-Fa-f]{0,4})\Z")
_LAST_RUN = re.compile(r"(?<![^\s\d!-/:-@\[-`{-~])[^\s\d!-/:-@\[-`{-~]+\Z")
_ASCII_LETTER = re.compile("[A-Za-z]")


def open_from(index: WordIndex[_Entry], letters: Letters) -> int:
    """The first character of a text that may belong to a name of the index if the text goes on; its length if none
    does. A name that a character behind it decides is still open, see `is_open`."""
    text = letters.source
    readings = [letters, *map(Letters, _other_readings(text))]
    return min(_open_from(index, reading, len(text)) for reading in readings)


def is_open(letters: Letters, end: int) -> bool:
    """Whether the word that ends before the letter `end`, or goes on there, is not at its end yet."""
    last = len(letters.text)
    if last - end > _LONGEST_TAIL or any(letters.edge(place) >= Boundary.SOFT for place in range(end, last)):
        return False
    return not letters.trails_off


def _other_readings(text: str) -> Iterator[str]:
    """What the following characters may yet turn the text into."""
    if unfinished := _UNFINISHED.search(text):
        yield text[: unfinished.start()]
    if text.isascii():
        return
    run = _LAST_RUN.search(text)
    if run and not _ASCII_LETTER.search(run.group()) and run.group() != run.group().translate(MIXED_SCRIPTS):
        yield text[: run.start()] + run.group().translate(MIXED_SCRIPTS)


def _open_from(index: WordIndex[_Entry], letters: Letters, otherwise: int) -> int:
    begun = set(index.beginnings(letters.text))
    begun |= {
        end + 1 - len(entry.letters)
        for end, entry in index.occurrences(letters.text)
        if _ending_may_fit(letters, end + 1, len(entry.letters)) and is_open(letters, end + 1)
    }
    for start in sorted(begun):
        if _may_begin(index, letters, start) and _spaces_fit(index, letters, start):
            return letters.source_range(start, start + 1)[0]
    return otherwise


def _ending_may_fit(letters: Letters, end: int, length: int) -> bool:
    """Whether the letters behind a name of some length are so few as those of an ending."""
    if letters.script(end - 1) != "LATIN":
        return True
    return len(letters.text) - end <= (_LATIN_TAIL if length >= _INFLECTED else _SHORT_TAIL)


def _may_begin(index: WordIndex[_Entry], letters: Letters, start: int) -> bool:
    """Whether a name may begin at a letter."""
    last = len(letters.text)
    edge = letters.edge(start)
    if edge >= Boundary.SOFT:
        return True
    if edge == Boundary.INSIDE:
        return False
    script = letters.script(start)
    if is_loose(script) or script == "HANGUL":
        return True
    if start == last - 1 and letters.source[letters.source_range(start, last)[0]].isupper():
        return True  # a hump, if a lower-case letter follows
    prefix = letters.prefix(start)
    if prefix is not None and beginning_fits(script, prefix):
        return True
    return last - start >= GLUED_LETTERS and index.glues(letters.text[start:]) and not any(_gaps(letters, start))


def _spaces_fit(index: WordIndex[_Entry], letters: Letters, start: int) -> bool:
    """Whether some word that begins like the letters from `start` on may have spaces where the text has them."""
    script = letters.script(start)
    if is_loose(script) or script == "HANGUL":
        return True
    return all(index.breaks_after(letters.text[start:gap]) for gap in _gaps(letters, start))


def _gaps(letters: Letters, start: int) -> Iterator[int]:
    """The letters from `start` on before which the text has a space; the end counts as one."""
    last, places = len(letters.text), letters.places
    yield from (place for place in range(start + 1, last) if places[place] - places[place - 1] > 1)
    if letters.trails_off:
        yield last
