"""Plain English prose is read in a short way: most of what a model writes holds no name and no odd letter.

In prose a word stands between spaces or punctuation; it has a capital at its beginning alone, or is all capitals, or a
number. What this module says of prose is what `classifiers.names.beginnings` says of it; it says nothing (None) of any
other text, nor of one where a whole name may stand. It is exact, because in prose

- there is one way to read the text: no markup, escape or look-alike that what follows may yet turn into something else;
- every boundary inside a word is weak. So a name begins with a word, or it counts inside longer words (`glued`), and
  then its first letters tell;
- a word from which no name could go on when it was read last is done with: more letters behind it make no name of it,
  and the spaces that did not fit stay where they are. So only what was not `settled` is read again.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from typing import NamedTuple, TypeVar

from classifiers.names.index import GLUED_LETTERS, Owned, WordIndex

_Entry = TypeVar("_Entry", bound=Owned)

__all__ = ["Prose", "open_word", "prose_of"]

# All signs but those that begin markup or escapes, or stand in codes.
_SIGNS = "‘’“”–—…•"
_APART = rf"[^A-Za-z0-9|+%&<>\\=/_\x80-\U0010ffff]|[{_SIGNS}]"
_WORD = "[0-9]{1,8}+|[A-Z]?+[a-z]{0,19}+(?![A-Z])"
_PROSE = re.compile(rf"(?:(?:{_WORD}|(?P<capitals>[A-Z]{{2,5}}+))(?:{_APART})++)*+(?:{_WORD})")
_LATIN = re.compile(rf"[\x00-\x7f{_SIGNS}]*+")
_LETTERS = re.compile("[A-Za-z0-9]+")
_LETTER = re.compile("[A-Za-z0-9]")
_LOWER = {code: chr(code).lower() if chr(code).isalnum() else " " for code in range(128)} | dict.fromkeys(
    map(ord, _SIGNS), " "
)


class Prose(NamedTuple):
    """The end of a text from the separator at `start` on, as its words in lower case. `trails_off`: something stands
    behind the last of them."""

    source: str
    start: int
    words: list[str]
    trails_off: bool

    @property
    def spans(self) -> Iterator[tuple[int, int]]:
        """The half-open range of each word in the source."""
        return (word.span() for word in _LETTERS.finditer(self.source, self.start))

    def holds_all_from(self, place: int) -> bool:
        """Whether no word stands between this place in the source and the prose."""
        return not _LETTER.search(self.source, place, self.start)

    def place(self, number: int) -> int:
        """Where in the source a word begins; its length for the number behind the last word."""
        if number == len(self.words):
            return len(self.source)
        return next(islice(self.spans, number, None))[0]


def prose_of(text: str, settled: int) -> Prose | None:
    """The end of a text as prose; None if it is anything else.

    Args:
        text: which may go on.
        settled: no name can begin before this place any more, unless one that counts inside longer words begins in the
            word that goes on there: so this word is read from its beginning.
    """
    if not (text.isascii() or _LATIN.fullmatch(text)):
        return None
    start = max(text.rfind(" ", 0, settled + 1), text.rfind("\n", 0, settled + 1), 0)
    found = _PROSE.fullmatch(text, start)
    if not found or (found["capitals"] and not _LETTER.search(text, found.end("capitals"))):
        return None  # the last of some capitals may be the first of the next word
    return Prose(text, start, text[start:].translate(_LOWER).split(), not text[-1:].isalnum())


def open_word(index: WordIndex[_Entry], prose: Prose) -> int | None:
    """The number of the first word from which on the text may be the beginning of a name of the index, if it goes on;
    how many words there are if it is from none. None if a name may be whole already: the letters around it decide."""
    words = prose.words
    heads, size = index.heads, index.head_letters
    letters = "".join(words)
    found = len(words)
    start = 0
    for number, word in enumerate(words):
        if len(word) > GLUED_LETTERS and index.glues_inside(word):
            return None
        if letters[start : start + size] in heads:
            begun = index.begun(letters[start:])
            if begun is None:
                return None
            if begun and found == len(words) and _breaks_fit(index, words[number:], letters[start:], prose.trails_off):
                found = number
        start += len(word)
    return found


def _breaks_fit(index: WordIndex[_Entry], words: Sequence[str], letters: str, trails_off: bool) -> bool:
    """Whether names that begin with the letters may have spaces where the words have them."""
    gaps = list(accumulate(map(len, words)))
    return all(index.breaks_after(letters[:gap]) for gap in (gaps if trails_off else gaps[:-1]))
