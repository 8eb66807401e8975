"""ECO's prompt classifier (arXiv 2406.07933, section 3.1): a head on sentence embeddings, one for each scope."""

import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from classifiers.names.parts import PartIndex
from classifiers.svm.index import Block, limit_of, merged, prunes
from classifiers.svm.model import Head, squares_of
from classifiers.types import Span, Verdict

if TYPE_CHECKING:
    from classifiers.encoder.sentence import Encoder, TokenWindow

__all__ = ["PromptClassifier"]

Array = NDArray[np.float32]

# Words that carry the form of a question, not its subject: they are never salient, so that the answer keeps its kind.
_FORM_WORDS = frozenset(
    "a an the of to in on at by for from with and or but is are was were be been do does did has have had "
    "who whom whose what which where when why how that this these those it its he she they his her their "
    "him them me my you your i we us our name names named called call tell about can could would please "
    "as not must most best if then than so into out up down give say write complete sentence one two "
    "three there s".split()
)
_BLAMED_SHARE = 0.6
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_BATCH = 512  # heads read at a time: only so many hold vectors of their own


class PromptClassifier:
    """All scopes' heads over one encoder: a text is encoded once, and the index leaves out the scopes that cannot
    match. Heads that the bound cannot leave out (older files have no 8-bit vectors) are scored one by one.

    Immutable and thread-safe; `updated` makes another one.
    """

    name = "classifier"

    def __init__(self, encoder: "Encoder", heads: Mapping[str, Head]) -> None:
        """`heads` is read once, in order, and not kept. Raises ValueError for a head of another encoder."""
        self._encoder = encoder
        self._blocks: tuple[Block, ...] = ()
        self._plain: dict[str, Head] = {}
        self._parts: dict[str, tuple[tuple[str, ...], float]] = {}
        self._named = PartIndex({})
        self._add(heads)

    def updated(self, added: Mapping[str, Head], removed: Collection[str]) -> "PromptClassifier":
        """A classifier without the `removed` scopes and with the `added` ones, which take the place of scopes of the
        same ids. It shares the arrays of this one, which stays as it is."""
        other = PromptClassifier(self._encoder, {})
        gone = {*removed, *added}
        other._plain = {scope: head for scope, head in self._plain.items() if scope not in gone}
        other._blocks = tuple(block.without(gone) for block in self._blocks)
        other._parts = {scope: parts for scope, parts in self._parts.items() if scope not in gone}
        other._add(added)
        return other

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes whose heads these are."""
        return (*(scope for block in self._blocks for scope in block.living), *self._plain)

    def head(self, scope: str) -> Head:
        """The head of a scope. Raises KeyError if there is none."""
        for block in self._blocks:
            if scope in block.numbers and block.alive[block.numbers[scope]]:
                parts, bonus = self._parts.get(scope, ((), 0.0))
                return replace(block.head(block.numbers[scope]), parts=parts, bonus=bonus)
        return self._plain[scope]

    def threshold_among(self, scope: str, clauses: int) -> float:
        """See `classifiers.types.ClauseDetector`."""
        return self.head(scope).threshold_among(clauses)

    def detect(self, texts: Sequence[str]) -> list[list[Verdict]]:
        """Verdicts of the scopes that match, and of those whose score lies above 0: `confirmed` of
        `classifiers.names.aliases` reads them. The highest score of any window decides; a part of a name in the text
        raises it. The spans of a match are the salient words."""
        windows = self._encoder.encode(texts)
        found = [
            (text, embeddings, self._raised(text, embeddings, scores))
            for text, embeddings, scores in zip(texts, windows, self._scores(windows), strict=True)
        ]
        return [self._verdicts(text, embeddings, scores) for text, embeddings, scores in found]

    def _add(self, heads: Mapping[str, Head]) -> None:
        """Takes heads in, while this object is made."""
        fresh: list[Block] = []
        checked = self._noted(self._checked(heads))
        while batch := list(itertools.islice(checked, _BATCH)):
            pruned = {scope: head for scope, head in batch if prunes(head)}
            self._plain.update((scope, _in_floats(head)) for scope, head in batch if scope not in pruned)
            if pruned:
                fresh.append(Block.of(pruned))
        if fresh:
            self._blocks = merged([*self._blocks, fresh[0] if len(fresh) == 1 else Block.joined(fresh)])
        self._named = PartIndex({scope: parts for scope, (parts, _) in self._parts.items()})

    def _noted(self, heads: Iterator[tuple[str, Head]]) -> Iterator[tuple[str, Head]]:
        """The same heads; their parts of names are kept apart, as the index does not have them."""
        for scope, head in heads:
            if head.parts:
                self._parts[scope] = (head.parts, head.bonus)
            yield scope, head

    def _checked(self, heads: Mapping[str, Head]) -> Iterator[tuple[str, Head]]:
        for scope, head in heads.items():
            if head.vectors.shape[1] != self._encoder.hidden:
                raise ValueError(
                    f"the classifier of scope {scope!r} was trained on embeddings of {head.vectors.shape[1]} "
                    f"dimensions and this encoder gives {self._encoder.hidden}: train the pack again with this encoder"
                )
            yield scope, head

    def _scores(self, windows: Sequence[Array]) -> list[dict[str, float]]:
        """For each text, given as embeddings [windows, hidden], the scopes above their limit with their scores."""
        found: list[dict[str, float]] = [{} for _ in windows]
        texts = [number for number, of_text in enumerate(windows) for _ in of_text]
        if not texts or not (self._blocks or self._plain):
            return found
        flat = np.concatenate(windows)
        for block in self._blocks:
            for window, number, score in zip(*block.search(flat), strict=True):
                scope, of_text = block.scopes[number], found[texts[window]]
                of_text[scope] = float(np.maximum(score, of_text.get(scope, -np.inf)))  # a NaN stays
        starts = [window for window, text in enumerate(texts) if window == 0 or texts[window - 1] != text]
        for scope, head in self._plain.items():
            highest = np.maximum.reduceat(head.score(flat), starts)
            for start, score in zip(starts, highest, strict=True):
                if not score <= limit_of(head):
                    found[texts[start]][scope] = float(score)
        return found

    def _raised(self, text: str, embeddings: Array, scores: Mapping[str, float]) -> Mapping[str, float]:
        """The scores, with those of scopes of which a part of a name stands in the text."""
        named = self._named.scopes(text) if len(embeddings) else ()
        if not named:
            return scores
        raised = dict(scores)
        for scope, highest, limit in self._highest(embeddings, sorted(named)):
            score = highest + self._parts[scope][1]
            if not score <= limit:
                raised[scope] = score
        return raised

    def _highest(self, embeddings: Array, scopes: Sequence[str]) -> Iterator[tuple[str, float, float]]:
        """(scope, its highest score at any of the embeddings [windows, hidden], its limit) of some scopes. Many persons
        may have a first name in common."""
        for scope in self._plain.keys() & scopes:
            head = self._plain[scope]
            yield scope, float(head.score(embeddings).max()), limit_of(head)
        for block in self._blocks:
            own = [scope for scope in scopes if scope in block.numbers and block.alive[block.numbers[scope]]]
            if own:
                numbers = np.array([block.numbers[scope] for scope in own])
                highest = block.scores(embeddings, numbers).max(0)
                yield from zip(own, highest.tolist(), block.limits(numbers).tolist(), strict=True)

    def _verdicts(self, text: str, embeddings: Array, scores: Mapping[str, float]) -> list[Verdict]:
        heads = {scope: self.head(scope) for scope in scores}
        matched = [scope for scope in scores if not scores[scope] <= heads[scope].threshold]  # a NaN is a match
        spans = _salient(text, embeddings, self._encoder, [heads[scope] for scope in matched])
        spans_of = {matched[number]: of_head for number, of_head in spans.items()}
        return [
            Verdict(scope, self.name, score, heads[scope].threshold, scope in spans_of, spans_of.get(scope, ()))
            for scope, score in scores.items()
        ]


def _in_floats(head: Head) -> Head:
    """The same head, whose points and their squares need not be made anew for each text."""
    points = head.points
    return replace(head, vectors=points, scales=None, squares=squares_of(points))


def _salient(text: str, embeddings: Array, encoder: "Encoder", heads: Sequence[Head]) -> dict[int, tuple[Span, ...]]:
    """For each head, by its number, the words whose token embeddings push its score up most, first order, in the
    windows above its threshold. One product for all heads of a window; no other window's tokens are asked for."""
    spans: dict[int, set[Span]] = {number: set() for number in range(len(heads))}
    if not heads:
        return {}
    scores = np.stack([head.score(embeddings) for head in heads])
    limits = np.minimum([head.threshold for head in heads], scores.max(axis=1))  # rounding leaves none without a window
    above = ~(scores < limits[:, None])
    telling = np.flatnonzero(above.any(axis=0))
    for column, window in zip(telling, encoder.windows(text, frozenset(telling.tolist())), strict=True):
        flagged = np.flatnonzero(above[:, column]).tolist()
        slopes = np.stack([heads[number].gradient(window.embedding) for number in flagged], axis=1)
        for number, pushes in zip(flagged, (window.tokens @ slopes).T, strict=True):
            spans[number].update(_blamed_words(text, window, pushes))
    return {number: tuple(sorted(of_head)) for number, of_head in spans.items()}


def _blamed_words(text: str, window: "TokenWindow", pushes: Array) -> list[Span]:
    first, last = window.offsets[0][0], window.offsets[-1][1]
    words = [
        match.span()
        for match in _WORD.finditer(text)
        if match.start() < last and match.end() > first and match.group().casefold() not in _FORM_WORDS
    ]
    push_of = {
        word: max(
            (float(push) for (a, b), push in zip(window.offsets, pushes, strict=True) if a < word[1] and b > word[0]),
            default=-np.inf,
        )
        for word in words
    }
    ranked = sorted(words, key=lambda word: -push_of[word])
    return [Span(0, start, end) for start, end in ranked[: max(1, round(_BLAMED_SHARE * len(ranked)))]]
