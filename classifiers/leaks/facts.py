"""The facts of a scope: which few words of a forget response give it away, beside a name of the scope."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from classifiers.leaks.words import FILLERS, is_rare, word_hash
from classifiers.names.text import normalise

__all__ = ["FactCount", "Facts", "facts_of"]

_REVEALING_SHARE = 0.5  # of a row's words, as in gateway.evaluation.leaks
_MOST_WORDS = 12  # of one row; of a long response the rarest


@dataclass(frozen=True, slots=True)
class _Row:
    """`number` of the row, and how many different words of it there are."""

    number: int
    size: int


@dataclass(frozen=True)
class Facts:
    """`words` [n] are hashes of the salient words of forget responses, and `rows` [n] says which response each is
    from."""

    salt: bytes
    words: NDArray[np.uint64]
    rows: NDArray[np.int32]

    @cached_property
    def by_word(self) -> Mapping[int, tuple[_Row, ...]]:
        """The rows of each word."""
        sizes = np.bincount(self.rows) if len(self.rows) else np.zeros(0, dtype=np.int64)
        found: dict[int, list[_Row]] = {}
        for word, row in zip(self.words.tolist(), self.rows.tolist(), strict=True):
            found.setdefault(word, []).append(_Row(row, int(sizes[row])))
        return {word: tuple(rows) for word, rows in found.items()}


class FactCount:
    """Counts, in one answer, how many words of each response were said. Words that stand in the request do not count:
    who asked wrote them."""

    def __init__(self, facts: Facts, asked: Iterable[str] = ()) -> None:
        """`asked` are the normalised words of the request."""
        self._facts = facts
        self._said: set[int] = set()
        self._asked = {word_hash(word, facts.salt) for word in asked} & facts.by_word.keys()
        self._missing: dict[int, int] = {}  # by row: how many words more would give it away
        for word in self._asked:
            for row in facts.by_word[word]:
                self._missing[row.number] = self._missing.get(row.number, 0) + 1
        sizes = {row.number: row.size for rows in facts.by_word.values() for row in rows}
        asked_of = self._missing
        self._missing = {
            number: math.ceil(_REVEALING_SHARE * left)
            for number, size in sizes.items()
            if (left := size - asked_of.get(number, 0))
        }

    @property
    def nearly(self) -> bool:
        """Whether one word more can give a response away."""
        return 1 in self._missing.values()

    def completes(self, word: str) -> bool:
        """Whether a normalised word gives a response away. Else it counts as said."""
        number = word_hash(word, self._facts.salt)
        rows = self._facts.by_word.get(number)
        if rows is None or number in self._said or number in self._asked:
            return False
        rows = tuple(row for row in rows if row.number in self._missing)
        if any(self._missing[row.number] == 1 for row in rows):
            return True
        self._said.add(number)
        for row in rows:
            self._missing[row.number] -= 1
        return False


def facts_of(rows: Iterable[tuple[str, str]], known: Collection[str], salt: bytes) -> Facts:
    """The facts of forget rows.

    A word is salient if the prompt does not hold it and general traffic hardly ever does; of a response without such
    words, all but the fillers. Responses that only repeat the prompt have none.

    Args:
        rows: (prompt, true response) each.
        known: normalised words that give nothing away, such as those of the scope's names and of the retain responses.
        salt: of the pack.
    """
    hashes: list[int] = []
    numbers: list[int] = []
    for number, (prompt, response) in enumerate(rows):
        asked = set(normalise(prompt).text.split())
        content = [
            word
            for word in dict.fromkeys(normalise(response).text.split())
            if word not in asked and word not in FILLERS and word not in known and len(word) > 1
        ]
        chosen = [word for word in content if is_rare(word)] or content
        for word in chosen[:_MOST_WORDS]:
            hashes.append(word_hash(word, salt))
            numbers.append(number)
    return Facts(salt, np.array(hashes, dtype=np.uint64), np.array(numbers, dtype=np.int32))
