"""The words of a text: which it has, and spaces for letters that stand without any."""

import re
from functools import lru_cache

from classifiers.names.vocabulary import parted

__all__ = ["cues", "worded", "words_of"]

_APART = re.compile(r"[\W_]+")
_CUE = 4  # letters by which a word is looked for, whatever its ending
_SAME_TEXT = 8  # texts: several views of one look at the same
_LETTERS_A_SPACE = 12  # more letters for each space: nobody wrote the spaces to part words


@lru_cache(maxsize=_SAME_TEXT)
def words_of(text: str) -> frozenset[str]:
    """The different words of a text in small letters."""
    return frozenset(_APART.split(text.lower()))


@lru_cache(maxsize=_SAME_TEXT)
def cues(text: str) -> frozenset[str]:
    """The first four letters of each word of a text, in small ones: to see at once what it does not speak of."""
    return frozenset(word[:_CUE] for word in words_of(text))


def worded(letters: str) -> str:
    """The letters in small ones, parted into the likeliest words; as they are if spaces part them.

    Example:
        >>> worded("whoisthere")
        'who is there'
    """
    if letters.count(" ") * _LETTERS_A_SPACE > len(letters):
        return letters
    return " ".join(word for part in letters.lower().split() for word in parted(part))
