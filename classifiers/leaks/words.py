"""The words of a text, and their hashes: a pack must not hold a forget text that somebody can read."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from classifiers.names.text import Normalised, normalise
from classifiers.traffic import general_traffic

__all__ = ["FILLERS", "ROT13", "Word", "chained", "is_rare", "spellings", "word_hash", "words_of"]

FILLERS = frozenset(
    "a an the of to in on at by for from with and or is was are were be it its his her their that this as he she they "
    "i you not no yes but also who which what when where how had has have will would can could about into than "
    "then".split()
)
_RARE = 1 / 20_000  # a share of the words of general traffic
_BYTES = 8
_REMEMBERED_LETTERS = 64  # of a word: without a bound, long ones could fill the memory
_A = "abcdefghijklmnopqrstuvwxyz"
ROT13 = str.maketrans(_A, _A[13:] + _A[:13])


class Word(NamedTuple):
    """A normalised word, and the half-open range of the source characters behind it."""

    text: str
    start: int
    end: int


def words_of(text: Normalised) -> Iterator[Word]:
    """The words of a normalised text, in order."""
    start = 1
    for piece in text.text.split():
        yield Word(piece, *text.source_range(start, start + len(piece)))
        start += len(piece) + 1


def spellings(word: str) -> tuple[str, str, str]:
    """What a normalised word may be: itself, backwards, and shifted by 13 letters."""
    return word, word[::-1], word.translate(ROT13)


def word_hash(word: str, salt: bytes) -> int:
    """64 bits of a normalised word. `salt` has at most 64 bytes; the same word is another number under another salt.

    Who holds a pack can try a list of words on it. Longer runs of words are safe from that (see `passages`).
    """
    return _remembered(word, salt) if len(word) <= _REMEMBERED_LETTERS else _number(word.encode(), salt)


@lru_cache(maxsize=65536)
def _remembered(word: str, salt: bytes) -> int:
    return _number(word.encode(), salt)


def chained(before: int, word: str, salt: bytes) -> int:
    """64 bits of a run of words: `before` is the run without its last word."""
    return _number(before.to_bytes(_BYTES, "little") + word.encode(), salt)


def is_rare(word: str) -> bool:
    """Whether general traffic hardly ever holds a normalised word."""
    counts, total = _general_counts()
    return counts[word] <= _RARE * total


def _number(data: bytes, salt: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=_BYTES, key=salt).digest(), "little")


@lru_cache(maxsize=1)
def _general_counts() -> tuple[Counter[str], int]:
    counts = Counter(word for row in general_traffic() for word in normalise(row).text.split())
    return counts, counts.total()
