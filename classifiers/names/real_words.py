"""Words that people write, common names among them: who writes such a word may mean it, and no name of a scope.

The shipped prompts (`classifiers.names.vocabulary`) lack many of them. The package pyspellchecker has 160,000 with how
often each stands in a large corpus; its data file alone is read here. A hash of each word is kept and not the word.
"""

import gzip
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from classifiers.names.vocabulary import is_known

__all__ = ["is_common", "is_real", "load", "neighbours"]

_ROW = re.compile(rb'"([a-z]+)": (\d+)')
_RARE = 50  # how often two thirds of the list's words stand there
_LONGEST = 32
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@lru_cache(maxsize=1)
def load() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The sorted hashes of all words of the list, and of those that are not rare. It takes a tenth of a second."""
    packed = (resources.files("spellchecker") / "resources" / "en.json.gz").read_bytes()
    rows = [(hash(row[1].decode()), int(row[2])) for row in _ROW.finditer(gzip.decompress(packed))]
    every = np.array([word for word, _ in rows], np.int64)
    return np.sort(every), np.sort(every[[count > _RARE for _, count in rows]])


def is_real(word: str) -> bool:
    """Whether people write a word in small letters, alone or in the plural."""
    return len(word) <= _LONGEST and _frequency(word) > 0


def is_common(word: str) -> bool:
    """Whether a word is real and not rare."""
    return len(word) <= _LONGEST and _frequency(word) > 1


@lru_cache(maxsize=65536)
def _frequency(word: str) -> int:
    """2 of a common word, 1 of a rare one, 0 of none."""
    if is_known(word):
        return 2
    every, common = load()
    forms = [word, word[:-1]] if word[-1:] == "s" else [word]
    return 2 if _held(common, forms).any() else int(_held(every, forms).any())


@lru_cache(maxsize=4096)
def neighbours(word: str) -> frozenset[str]:
    """The common words that one letter more, less or another, or two that change places, make of a word."""
    parts = [(word[:place], word[place:]) for place in range(len(word) + 1)]
    found = {before + after[1:] for before, after in parts if after}
    found |= {before + after[1] + after[0] + after[2:] for before, after in parts if len(after) > 1}
    found |= {before + letter + after[1:] for before, after in parts if after for letter in _LETTERS}
    found |= {before + letter + after for before, after in parts for letter in _LETTERS}
    _, common = load()
    words = [*found]
    return frozenset(words[place] for place in np.flatnonzero(_held(common, words)))


def _held(hashes: NDArray[np.int64], words: Sequence[str]) -> NDArray[np.bool_]:
    wanted = np.fromiter(map(hash, words), np.int64, len(words))
    found: NDArray[np.bool_] = hashes[np.minimum(np.searchsorted(hashes, wanted), len(hashes) - 1)] == wanted
    return found
