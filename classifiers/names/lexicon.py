"""Where the words of an index are kept: in an automaton, which reads a text of any length in one pass, or in a sorted
list, which takes a quarter of the memory and looks at each place of a text by itself."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import takewhile
from operator import itemgetter
from typing import Any, Generic, Protocol, TypeVar

import ahocorasick

__all__ = ["HEAD_LETTERS", "Automaton", "Lexicon", "Owned", "SortedWords"]

HEAD_LETTERS = 3
"""The beginnings of words up to so many letters are looked up first."""


class Owned(Protocol):
    """What a word stands for, and the scope that it belongs to."""

    @property
    def scope(self) -> str:
        """The scope's id."""

    @property
    def letters(self) -> str:
        """The word."""

    @property
    def breaks(self) -> Sequence[int]:
        """How many letters of the word may stand before a space."""

    @property
    def glued(self) -> bool:
        """Whether the word counts inside a longer one."""


_Owner = TypeVar("_Owner", bound=Owned)
_Owner_co = TypeVar("_Owner_co", bound=Owned, covariant=True)
_Words = Sequence[tuple[str, Sequence[_Owner]]]


class Lexicon(Protocol[_Owner_co]):
    """Words, each with what it stands for. Immutable and thread-safe."""

    heads: frozenset[str]
    """The beginnings of words of up to `HEAD_LETTERS` letters."""

    def __len__(self) -> int:
        """How many words there are."""

    def items(self) -> Iterator[tuple[str, Sequence[_Owner_co]]]:
        """Each word with what it stands for."""

    def owners(self, word: str) -> Sequence[_Owner_co]:
        """What a word stands for; nothing if it is none of them."""

    def occurrences(self, text: str) -> Iterator[tuple[int, Sequence[_Owner_co]]]:
        """Each place where a word stands, as the index of its last character, with what it stands for; in no order."""

    def longest_prefix(self, text: str) -> int:
        """How many letters of a text some word begins with."""

    def breaks_after(self, text: str) -> bool:
        """Whether some word begins with the text and may have a space behind it."""


class Automaton(Generic[_Owner]):
    """An Aho-Corasick automaton: one pass over a text, but some 80 bytes a letter."""

    def __init__(self, words: _Words[_Owner]) -> None:
        self._automaton = ahocorasick.Automaton()
        for word, owners in words:
            self._automaton.add_word(word, tuple(owners))
        self._automaton.make_automaton()
        self.heads = _heads(words)
        self._broken = _broken(words)
        self.items, self.occurrences = self._automaton.items, self._automaton.iter
        self.longest_prefix = self._automaton.longest_prefix

    def __len__(self) -> int:
        return len(self._automaton)

    def owners(self, word: str) -> Sequence[_Owner]:
        """See Lexicon."""
        found: Sequence[_Owner] = self._automaton.get(word, ())
        return found

    def breaks_after(self, text: str) -> bool:
        """See Lexicon."""
        return text in self._broken


class SortedWords(Generic[_Owner]):
    """A sorted list: a text is searched for at each place where the head of a word stands."""

    def __init__(self, words: _Words[_Owner]) -> None:
        rows = sorted(((word, owner) for word, owners in words for owner in owners), key=itemgetter(0))
        self._words = [word for word, _ in rows]  # once for each owner
        self._owners = [owner for _, owner in rows]
        self._size = len(words)
        self._broken = _broken(words, HEAD_LETTERS)  # so few letters begin many words
        self._shortest = min(map(len, self._words))
        self._longest = max(map(len, self._words))
        self.heads = _heads(words)

    def __len__(self) -> int:
        return self._size

    def items(self) -> Iterator[tuple[str, Sequence[_Owner]]]:
        """See Lexicon."""
        return ((word, self.owners(word)) for word in dict.fromkeys(self._words))

    def owners(self, word: str) -> Sequence[_Owner]:
        """See Lexicon."""
        first = bisect_left(self._words, word)
        return self._owners[first : bisect_right(self._words, word, first)]

    def occurrences(self, text: str) -> Iterator[tuple[int, Sequence[_Owner]]]:
        """See Lexicon."""
        heads, letters = self.heads, min(HEAD_LETTERS, self._shortest)
        for start in range(len(text) - self._shortest + 1):
            if text[start : start + letters] in heads:
                yield from self._from(start, text[start : start + self._longest])

    def _from(self, start: int, text: str) -> Iterator[tuple[int, Sequence[_Owner]]]:
        """The words that a text begins with: the word that is sorted before it begins with all of them."""
        before = bisect_right(self._words, text) - 1
        shared = _shared(self._words[before], text) if before >= 0 else 0
        for end in range(self._shortest, shared + 1):
            if owners := self.owners(text[:end]):
                yield start + end - 1, owners

    def longest_prefix(self, text: str) -> int:
        """See Lexicon."""
        place = bisect_left(self._words, text)
        beside = self._words[max(0, place - 1) : place + 1]
        return max(_shared(word, text) for word in beside)

    def breaks_after(self, text: str) -> bool:
        """See Lexicon."""
        if len(text) <= HEAD_LETTERS:
            return text in self._broken
        places = range(bisect_left(self._words, text), len(self._words))
        begun = takewhile(lambda place: self._words[place].startswith(text), places)
        return any(len(text) in self._owners[place].breaks for place in begun)


def _shared(one: str, other: str) -> int:
    """With how many letters both begin."""
    for place, (letter, there) in enumerate(zip(one, other, strict=False)):
        if letter != there:
            return place
    return min(len(one), len(other))


def _broken(words: _Words[Any], most: float = math.inf) -> frozenset[str]:
    """The beginnings of words behind which a space may stand, up to so many letters."""
    return frozenset(
        word[:place] for word, owners in words for owner in owners for place in owner.breaks if place <= most
    )


def _heads(words: _Words[Any]) -> frozenset[str]:
    longest = {word[:HEAD_LETTERS] for word, _ in words}
    return frozenset(head[:letters] for head in longest for letters in range(1, HEAD_LETTERS + 1))
