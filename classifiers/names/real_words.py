"""Words that people write, common names among them: who writes such a word may mean it, and no name of a scope.

The shipped prompts (`classifiers.names.vocabulary`) lack many of them. The package pyspellchecker has 160,000 with how
often each stands in a large corpus; its data file alone is read here. A hash of each word is kept and not the word.
"""

import gzip
import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from classifiers.names.vocabulary import is_known

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["is_common", "is_real", "load", "neighbours"]

_ROW = re.compile(rb'"([a-z]+)": (\d+)')
_RARE = math.log(50.5)  # two thirds of the words stand there 50 times
_LONGEST = 32
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class _List(NamedTuple):
    """The hashes of the words, sorted, and the logarithm of how often each stands in the corpus."""

    hashes: "NDArray[np.int64]"
    counts: "NDArray[np.float32]"

    def counts_of(self, words: Sequence[str]) -> "NDArray[np.float32]":
        """The logarithm for each word; 0 for a word that is not there."""
        import numpy as np

        wanted = np.fromiter(map(hash, words), np.int64, len(words))
        places = np.minimum(np.searchsorted(self.hashes, wanted), len(self.hashes) - 1)
        return np.where(self.hashes[places] == wanted, self.counts[places], np.float32(0))


@lru_cache(maxsize=1)
def load() -> _List:
    """The list. It takes a tenth of a second."""
    import numpy as np

    packed = (resources.files("spellchecker") / "resources" / "en.json.gz").read_bytes()
    text = gzip.decompress(packed)
    hashes = np.fromiter((hash(row[1].decode()) for row in _ROW.finditer(text)), np.int64)
    counts = np.fromiter((int(row[2]) for row in _ROW.finditer(text)), np.float32)
    order = np.argsort(hashes)
    return _List(hashes[order], np.log(counts)[order])


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
    count = float(load().counts_of([word, word[:-1]] if word[-1:] == "s" else [word]).max())
    return 2 if count > _RARE else int(count > 0)


@lru_cache(maxsize=4096)
def neighbours(word: str) -> Mapping[str, float]:
    """The common words that one letter more, less or another, or two that change places, make of a word, with the
    logarithm of how often each stands in the corpus."""
    parts = [(word[:place], word[place:]) for place in range(len(word) + 1)]
    found = {before + after[1:] for before, after in parts if after}
    found |= {before + after[1] + after[0] + after[2:] for before, after in parts if len(after) > 1}
    found |= {before + letter + after[1:] for before, after in parts if after for letter in _LETTERS}
    found |= {before + letter + after for before, after in parts for letter in _LETTERS}
    words = [*found]
    return {word: count for word, count in zip(words, load().counts_of(words).tolist(), strict=True) if count > _RARE}
