"""Where the words of many owners occur in a text, in one pass, and without building everything anew for one change."""

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Self, TypeVar

from classifiers.names.lexicon import HEAD_LETTERS, Automaton, Lexicon, Owned, SortedWords

__all__ = ["GLUED_LETTERS", "Owned", "PrefixIndex", "WordIndex"]

GLUED_LETTERS = 4
"""Inside a longer word a name is expected from so many of its letters on: any word may end in one or two of them."""
_FRESH_WORDS = 1024  # of the part that takes the changes: each change builds it anew
_WASTE = 0.5  # share of a part's scopes that may be gone before it is built anew


_Entry = TypeVar("_Entry", bound=Owned)


@dataclass(frozen=True, slots=True)
class _Part(Generic[_Entry]):
    """Some words. Those of the scopes in `gone` count no more. `glued` are the first `GLUED_LETTERS` of those that
    count inside a longer word, `longest` and `shortest` are the lengths of the longest word and of the shortest."""

    words: Lexicon[_Entry]
    scopes: frozenset[str]
    glued: frozenset[str]
    longest: int
    shortest: int
    gone: frozenset[str] = frozenset()

    @property
    def wasted(self) -> bool:
        return len(self.gone) > _WASTE * len(self.scopes)

    def without(self, scopes: Collection[str]) -> "_Part[_Entry]":
        """The part with these scopes masked, too."""
        gone = self.scopes.intersection(scopes)
        return self if gone <= self.gone else replace(self, gone=self.gone | gone)

    def left(self) -> Iterator[tuple[str, list[_Entry]]]:
        """The words that still count."""
        for word, owners in self.words.items():
            if found := [owner for owner in owners if owner.scope not in self.gone]:
                yield word, found


class WordIndex(Generic[_Entry]):
    """Aho-Corasick automata (Aho & Corasick 1975) over the words of all scopes. Immutable and thread-safe.

    An automaton cannot be changed once it is built, and a large one is not built in a moment. So there are several: a
    change builds a small one anew, and what is gone from the others is only masked. A small one that is full is merged
    with its neighbour, up to a size that is still built in a few milliseconds.

    Example:
        >>> @dataclass(frozen=True)
        ... class Name:
        ...     scope: str
        ...     letters: str = "toto"
        ...     breaks: tuple[int, ...] = ()
        ...     glued: bool = False
        >>> index = WordIndex().updated({"oz": [("toto", Name("oz"))]}, ())
        >>> [(last, name.scope) for last, name in index.occurrences("totoandtoto")]
        [(3, 'oz'), (10, 'oz')]
        >>> list(index.updated({}, ["oz"]).occurrences("toto"))
        []
    """

    _kept_in: ClassVar[type[Automaton[Any] | SortedWords[Any]]] = Automaton
    _part_words: ClassVar[int] = 8192  # built within some 5 ms, in which nothing else of Python runs

    def __init__(self, parts: Sequence[_Part[_Entry]] = ()) -> None:
        self._parts = tuple(parts)
        self._glued = frozenset[str]().union(*(part.glued for part in parts))
        self.heads = frozenset[str]().union(*(part.words.heads for part in parts))
        """A text that goes on may hold a word from a place on only if its next `head_letters` letters, or as many as
        there are, stand here."""
        self.head_letters = min((HEAD_LETTERS, *(part.shortest for part in parts)))

    def updated(self, added: Mapping[str, Iterable[tuple[str, _Entry]]], removed: Collection[str]) -> Self:
        """The index with the words of further scopes, each with its owner, and without those of others.

        A scope in `added` that is there already is replaced. Shares the automata that did not change.
        """
        changed = added.keys() | set(removed)
        kept: list[_Part[_Entry]] = []
        fresh: dict[str, list[_Entry]] = {}
        for part in self._parts:
            masked = part.without(changed)
            if masked.wasted or len(masked.words) < _FRESH_WORDS:
                _pour(masked.left(), fresh)
            else:
                kept.append(masked)
        _pour(((word, [owner]) for words in added.values() for word, owner in words), fresh)
        if len(fresh) >= _FRESH_WORDS and kept and len(kept[-1].words) + len(fresh) <= self._part_words:
            _pour(kept.pop().left(), fresh)
        return type(self)([*kept, *self._parted(fresh)])

    def _parted(self, words: Mapping[str, Sequence[_Entry]]) -> Iterator[_Part[_Entry]]:
        """As many parts as the words need."""
        every = iter(words.items())
        while some := list(itertools.islice(every, self._part_words)):
            yield _part(self._kept_in(some), some)

    def __bool__(self) -> bool:
        """Whether there is any word."""
        return bool(self._parts)

    def owners(self, word: str) -> Iterator[_Entry]:
        """What a whole word stands for."""
        for part in self._parts:
            for owner in part.words.owners(word):
                if owner.scope not in part.gone:
                    yield owner

    def occurrences(self, text: str) -> Iterator[tuple[int, _Entry]]:
        """Each place where a word stands, as the index of its last character, with what the word stands for; in no
        order."""
        for part in self._parts:
            gone = part.gone
            for last, owners in part.words.occurrences(text):
                for owner in owners:
                    if owner.scope not in gone:
                        yield last, owner

    def beginnings(self, text: str) -> Iterator[int]:
        """Each place from which the rest of the text is the beginning of some word, or the word. A word of a scope that
        is gone may count for a while."""
        for part in self._parts:
            heads, longest_prefix = part.words.heads, part.words.longest_prefix
            for start in range(max(0, len(text) - part.longest), len(text)):
                if text[start : start + HEAD_LETTERS] in heads and longest_prefix(text[start:]) == len(text) - start:
                    yield start

    def begun(self, text: str) -> bool | None:
        """Whether the text is the beginning of some word; None if it begins with a whole word, or is one. A word of a
        scope that is gone may count for a while."""
        begins = False
        for part in self._parts:
            shared = part.words.longest_prefix(text)
            if any(part.words.owners(text[:end]) for end in range(part.shortest, shared + 1)):
                return None
            begins = begins or shared == len(text)
        return begins

    def goes_on(self, text: str) -> bool:
        """Whether some word begins with the text. A word of a scope that is gone may count for a while."""
        return any(part.words.longest_prefix(text) == len(text) for part in self._parts)

    def glues_inside(self, word: str) -> bool:
        """Whether some word that counts inside a longer one may begin inside this one."""
        glued = self._glued
        ends = range(GLUED_LETTERS + 1, len(word) + 1)
        return bool(glued) and not glued.isdisjoint([word[end - GLUED_LETTERS : end] for end in ends])

    def glues(self, text: str) -> bool:
        """Whether some word that counts inside a longer one begins with the first letters of the text."""
        return any(text[:GLUED_LETTERS] in part.glued for part in self._parts)

    def breaks_after(self, text: str) -> bool:
        """Whether some word begins with the text and may have a space behind it."""
        return any(part.words.breaks_after(text) for part in self._parts)


class PrefixIndex(WordIndex[_Entry]):
    """The same of words that are many and seldom there: in sorted lists, which take less memory."""

    _kept_in = SortedWords
    _part_words = 65_536


def _pour(words: Iterable[tuple[str, Sequence[_Entry]]], into: dict[str, list[_Entry]]) -> None:
    for word, owners in words:
        into.setdefault(word, []).extend(owners)


def _part(kept: Lexicon[_Entry], words: Sequence[tuple[str, Sequence[_Entry]]]) -> _Part[_Entry]:
    scopes = frozenset(owner.scope for _, owners in words for owner in owners)
    lengths = [len(word) for word, _ in words]
    glued = frozenset(word[:GLUED_LETTERS] for word, owners in words if any(owner.glued for owner in owners))
    return _Part(kept, scopes, glued, max(lengths), min(lengths))
