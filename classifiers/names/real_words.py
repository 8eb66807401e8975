"""Words that people write, common names among them: who writes such a word may mean it, and no name of a scope.

The shipped prompts (`classifiers.names.vocabulary`) lack many of them. The package pyspellchecker has 160,000 with how
often each stands in a large corpus; its data file alone is read here. A hash of each word is kept and not the word.
"""

import gzip
import re
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

from classifiers.names.vocabulary import is_known

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["has_neighbour", "is_real", "load"]

_ROW = re.compile(rb'"([a-z]+)": (\d+)')
_RARE = 50  # how often two thirds of the list's words stand there
_LONGEST = 32
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@lru_cache(maxsize=1)
def load() -> tuple["NDArray[np.int64]", "NDArray[np.int64]"]:
    """The sorted hashes of all words of the list, and of those that are not rare. It takes a tenth of a second."""
    import numpy as np

    packed = (resources.files("spellchecker") / "resources" / "en.json.gz").read_bytes()
    rows = [(hash(row[1].decode()), int(row[2])) for row in _ROW.finditer(gzip.decompress(packed))]
    every = np.array([word for word, _ in rows], np.int64)
    return np.sort(every), np.sort(every[[count > _RARE for _, count in rows]])


def is_real(word: str) -> bool:
    """Whether people write a word in small letters, alone or in the plural."""
    return len(word) <= _LONGEST and _is_real(word)


@lru_cache(maxsize=65536)
def _is_real(word: str) -> bool:
    if is_known(word):
        return True
    every, _ = load()
    return _holds(every, [word, word[:-1]] if word[-1:] == "s" else [word])


@lru_cache(maxsize=4096)
def has_neighbour(word: str, besides: str) -> bool:
    """Whether one letter more, less or another, or two that change places, make a word of this one that is not rare,
    and is not `besides`: then that may be meant."""
    parts = [(word[:place], word[place:]) for place in range(len(word) + 1)]
    found = {before + after[1:] for before, after in parts if after}
    found |= {before + after[1] + after[0] + after[2:] for before, after in parts if len(after) > 1}
    found |= {before + letter + after[1:] for before, after in parts if after for letter in _LETTERS}
    found |= {before + letter + after for before, after in parts for letter in _LETTERS}
    _, common = load()
    return _holds(common, [*(found - {besides})])


def _holds(hashes: "NDArray[np.int64]", words: list[str]) -> bool:
    import numpy as np

    wanted = np.fromiter(map(hash, words), np.int64, len(words))
    places = np.minimum(np.searchsorted(hashes, wanted), len(hashes) - 1)
    return bool((hashes[places] == wanted).any())
