"""How decoders read: characters or bytes, each with its place, up to the first that is no text."""

import codecs
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from classifiers.views.view import Decoded

__all__ = ["Decoder", "characters_of"]

Placed = Iterable[tuple[str, int]]
_SPACES = frozenset("\n\t\r")
_UNSEEN = ("Cf", "Zs")  # a soft hyphen, a joiner, a space that does not break: they stand inside words, too
_LEAST_LETTERS = 3
_PADDING = "=\n "


@dataclass(frozen=True, slots=True)
class Decoder:
    """One way to write text in other characters.

    `pattern` finds where a run may stand. `read` gives the characters of a run, each with the place where the part of
    the run begins that holds it, and the length of that part. `sure`: any such run is meant to be read, so that one
    character is enough.

    A decoder is stable: what it says of a longer run begins with what it says of the run. So it can read a stream.

    Example:
        >>> from classifiers.views.decoders import BASE64
        >>> BASE64.decode("SGVsbG8h").text
        'Hello!'
    """

    name: str
    pattern: re.Pattern[str]
    read: Callable[[str], Iterable[tuple[str, int, int]]]
    sure: bool = False

    def decode(self, run: str) -> Decoded | None:
        """What the run says, up to the first character that is no text; None if that is not worth reading."""
        text: list[str] = []
        starts: list[int] = []
        length = letters = 0
        for character, start, end in self.read(run):
            if not _is_text(character):
                break
            text.append(character)
            starts.append(start)
            length = end
            letters += character.isalpha()
        if not text or (letters < _LEAST_LETTERS and not self.sure):
            return None
        if not run[length:].strip(_PADDING):
            length = len(run)
        return Decoded("".join(text), tuple(starts), length)


def characters_of(placed: Iterable[tuple[int, int, int]]) -> Iterator[tuple[str, int, int]]:
    """The characters of UTF-8 bytes (value, start, end); ends at a byte that is not UTF-8. Bytes of 0 are left out: so
    Latin letters in UTF-16 and UTF-32 are read, too."""
    reader = codecs.getincrementaldecoder("utf-8")()
    first = None
    for value, start, end in placed:
        if value == 0:
            continue
        first = start if first is None else first
        try:
            character = reader.decode(bytes((value,)))
        except UnicodeDecodeError:
            return
        if character:
            yield character, first, end
            first = None


@lru_cache(maxsize=65536)
def _is_text(character: str) -> bool:
    return character in _SPACES or character.isprintable() or unicodedata.category(character) in _UNSEEN
