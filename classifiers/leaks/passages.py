"""Passages of forget documents: runs of words that an answer must not repeat, whether or not it names the scope.

A passage is the `PASSAGE_WORDS` words behind an anchor. An anchor is a word that ordinary text hardly ever holds, so
that ordinary text is not delayed; any `COVERED_WORDS` words of a document have one. (Selected fingerprints of n-grams:
Schleimer, Wilkerson and Aiken, 'Winnowing', SIGMOD 2003.)
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from classifiers.leaks.words import FILLERS, chained, is_rare, word_hash
from classifiers.names.text import normalise

__all__ = [
    "COVERED_WORDS",
    "PASSAGE_WORDS",
    "_SALT",
    "PassageIndex",
    "PassageRuns",
    "Passages",
    "Run",
    "passages_of",
]

PASSAGE_WORDS = 7
COVERED_WORDS = 20
_SALT = b"unrecall passages 1"  # the same for all packs: one look-up serves all of them
_LONG_WORDS = 24  # a shorter text is a fact, not a document
_FALSE_BEGINNINGS = 0.03
_WORD_BITS = 64


@dataclass(frozen=True)
class Passages:
    """`anchors` [a] are the hashes of the anchor words and `ends` [p] those of the whole passages. `beginnings` [bits /
    64] has a bit for each beginning of a passage, chosen by its hash. Three of a hundred other beginnings have the same
    bit: who tries word after word on the pack cannot tell which way leads on."""

    anchors: NDArray[np.uint64]
    ends: NDArray[np.uint64]
    beginnings: NDArray[np.uint64]

    @cached_property
    def _ends(self) -> frozenset[int]:
        return frozenset(self.ends.tolist())

    def begins(self, run: int) -> bool:
        """Whether the hash of a run of words may be that of the beginning of a passage."""
        bit = run % (len(self.beginnings) * _WORD_BITS)
        return bool(int(self.beginnings[bit // _WORD_BITS]) >> (bit % _WORD_BITS) & 1)

    def ends_with(self, run: int) -> bool:
        """Whether the hash of a run is that of a passage with its anchor."""
        return run in self._ends


class PassageIndex:
    """The passages of all scopes. Immutable and thread-safe."""

    def __init__(self, scopes: Mapping[str, Passages]) -> None:
        self._scopes = {scope: found for scope, found in scopes.items() if len(found.anchors)}
        self._anchors: dict[int, tuple[str, ...]] = {}
        for scope, passages in self._scopes.items():
            for anchor in passages.anchors.tolist():
                self._anchors[anchor] = (*self._anchors.get(anchor, ()), scope)

    def __bool__(self) -> bool:
        return bool(self._scopes)

    def updated(self, added: Mapping[str, Passages], removed: Iterable[str]) -> "PassageIndex":
        """The index with further scopes and without others."""
        gone = {*removed, *added}
        if not (gone & self._scopes.keys()) and not any(len(found.anchors) for found in added.values()):
            return self
        return PassageIndex({scope: held for scope, held in self._scopes.items() if scope not in gone} | dict(added))

    def anchored(self, word: str) -> Iterator[tuple[str, Passages, int]]:
        """The scopes that have a word as an anchor, with their passages and the word's hash."""
        number = word_hash(word, _SALT)
        for scope in self._anchors.get(number, ()):
            yield scope, self._scopes[scope], number


@dataclass(frozen=True, slots=True)
class Run:
    """Words that follow an anchor in a text: the first of them begins at `start`, and `hash` is that of all."""

    scope: str
    passages: Passages
    hash: int
    start: int
    words: int = 0

    def followed(self, word: str, start: int) -> "Run":
        """The run with the next word, which begins at `start`."""
        run = chained(self.hash, word, _SALT)
        return Run(self.scope, self.passages, run, self.start if self.words else start, self.words + 1)


class PassageRuns:
    """Follows the words of one text, and says when they complete a passage."""

    def __init__(self, index: PassageIndex) -> None:
        self._index = index
        self._runs: list[Run] = []
        self.held: set[int] = set()

    @property
    def open_from(self) -> int | None:
        """Where the first run begins that may still become a passage; None if there is none."""
        return min((run.start for run in self._runs if run.words), default=None)

    @property
    def begun(self) -> bool:
        """Whether the next word may be the first of a passage, or go on with one."""
        return bool(self._runs)

    def completed(self, word: str, start: int) -> Run | None:
        """Takes the next normalised word, which begins at `start`. The run if the word completes a passage; its hash
        is then in `held`."""
        anchored = [Run(*found, start) for found in self._index.anchored(word)]
        if not self._runs:
            self._runs = anchored
            return None
        runs = [run.followed(word, start) for run in self._runs]
        whole = [run for run in runs if run.words == PASSAGE_WORDS and run.passages.ends_with(run.hash)]
        self._runs = [run for run in runs if run.words < PASSAGE_WORDS and run.passages.begins(run.hash)]
        self._runs += anchored
        self.held.update(run.hash for run in whole)
        return whole[0] if whole else None


def passages_of(texts: Iterable[str]) -> Passages:
    """The passages of documents. Texts of a few words have none: those are facts."""
    anchors: set[int] = set()
    ends: set[int] = set()
    beginnings: list[int] = []
    for text in texts:
        words = normalise(text).text.split()
        if len(words) < _LONG_WORDS:
            continue
        for place in _anchor_places(words):
            run = word_hash(words[place], _SALT)
            anchors.add(run)
            for word in words[place + 1 : place + 1 + PASSAGE_WORDS]:
                run = chained(run, word, _SALT)
                beginnings.append(run)
            ends.add(beginnings.pop())
    size = max(1, int(len(beginnings) / _FALSE_BEGINNINGS) // _WORD_BITS)
    bits = np.zeros(size, dtype=np.uint64)
    for run in beginnings:
        place = run % (size * _WORD_BITS)
        bits[place // _WORD_BITS] |= np.uint64(1 << (place % _WORD_BITS))
    return Passages(np.array(sorted(anchors), dtype=np.uint64), np.array(sorted(ends), dtype=np.uint64), bits)


def _anchor_places(words: Sequence[str]) -> Iterator[int]:
    """The rare words, and, where there are none for long, the longest of the others that is no filler."""
    last = -1
    most = COVERED_WORDS - PASSAGE_WORDS
    for place in range(len(words) - PASSAGE_WORDS):
        if is_rare(words[place]):
            last = place
            yield place
        elif place - last >= most:
            span = range(last + 1, place + 1)
            last = max(span, key=lambda one: (words[one] not in FILLERS, len(words[one])))
            yield last
