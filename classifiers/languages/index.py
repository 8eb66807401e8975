"""Heads of many scopes scored together: those with the same centres share arrays and one search.

A head measures a score in deviations of the language's out-of-scope prompts, so what it says rises with the score of
the machine beneath. A text can have a verdict only if the latter lies above the lowest boundary of any language. To
this limit the bound of `classifiers.svm.index` is proven: an embedding is centred once for all scopes, one product
finds the scopes that may lie above their limit, and their scores are exact. Heads with a contrast, those of broad
scopes, share arrays as well, but each is scored: the bound would leave none out.
"""

import hashlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from classifiers.languages.contrast import NEAREST
from classifiers.languages.model import Measure, MultilingualHead, centred, has_contrast, nearest_place
from classifiers.names.aliases import LEANING
from classifiers.svm.index import Block, is_sound, merged
from classifiers.svm.model import Head

__all__ = ["LanguageIndex"]

Array = NDArray[np.float32]
_BATCH = 256  # heads read at a time: only so many hold vectors of their own


@dataclass(frozen=True, slots=True)
class _Group:
    """Heads of the same `centres`, by language and group of languages: those of `blocks` have no contrast, those of
    `broad` have one. `measures` are by scope, and `contrasts` too."""

    centres: Mapping[str, Array]
    blocks: tuple[Block, ...] = ()
    broad: tuple[Block, ...] = ()
    measures: Mapping[str, Measure] = field(default_factory=dict)
    contrasts: Mapping[str, float] = field(default_factory=dict)

    def without(self, gone: Collection[str]) -> "_Group":
        if not self.measures.keys() & set(gone):
            return self
        left = {scope: measure for scope, measure in self.measures.items() if scope not in gone}
        blocks, broad = (tuple(one.without(gone) for one in many) for many in (self.blocks, self.broad))
        contrasts = {scope: weight for scope, weight in self.contrasts.items() if scope not in gone}
        return replace(self, blocks=blocks, broad=broad, measures=left, contrasts=contrasts)

    def with_more(self, heads: Mapping[str, MultilingualHead]) -> "_Group":
        measures = {scope: head.measure for scope, head in heads.items()}
        contrasts = {scope: one.contrast for scope, one in heads.items() if one.contrast}
        narrow = {scope: _limited(one) for scope, one in heads.items() if not one.contrast}
        broad = {scope: _limited(heads[scope]) for scope in contrasts}
        return replace(
            self,
            blocks=merged([*self.blocks, Block.of(narrow)]) if narrow else self.blocks,
            broad=merged([*self.broad, Block.of(broad)]) if broad else self.broad,
            measures={**self.measures, **measures},
            contrasts={**self.contrasts, **contrasts},
        )

    def scores(self, embeddings: Array, language: str) -> Iterator[tuple[str, float]]:
        """(scope, score) at embeddings [windows, hidden] of one language, of all scopes above their limit at one."""
        place = nearest_place(language, self.centres)
        moved = centred(embeddings, self.centres[place])
        for block in self.blocks:
            for _, number, score in zip(*block.search(moved), strict=True):
                scope = block.scopes[number]
                yield scope, float(self.measures[scope].measured(score, place))
        for block in self.broad:
            numbers = np.flatnonzero(block.alive)
            scopes = [block.scopes[number] for number in numbers]
            weights = np.array([self.contrasts[scope] for scope in scopes])
            added = weights * block.contrasts(moved, numbers, NEAREST) if has_contrast(place) else 0.0
            scores = block.scores(moved, numbers) + added
            for scope, of_scope in zip(scopes, scores.T, strict=True):
                yield scope, float(self.measures[scope].measured(of_scope.max(), place))


class LanguageIndex:
    """The heads of all scopes. Immutable and thread-safe; `updated` makes another one. Heads that no bound is proven
    for, such as one with a number that is none, are scored one by one."""

    def __init__(self) -> None:
        self._groups: Mapping[str, _Group] = {}
        self._plain: Mapping[str, MultilingualHead] = {}

    def updated(self, added: Mapping[str, MultilingualHead], removed: Iterable[str]) -> "LanguageIndex":
        """An index without some scopes and with others, which take the place of those of the same ids. `added` is read
        once, in order, and not kept."""
        gone = {*removed, *added}
        groups = {key: group.without(gone) for key, group in self._groups.items()}
        plain = {scope: head for scope, head in self._plain.items() if scope not in gone}
        items = iter(added.items())
        while batch := dict(itertools.islice(items, _BATCH)):
            sound = {scope: one for scope, one in batch.items() if is_sound(_limited(one))}
            plain |= {scope: one for scope, one in batch.items() if scope not in sound}
            for key, heads in _by_centres(sound).items():
                group = groups.get(key) or _Group(_centres(next(iter(heads.values()))))
                groups[key] = group.with_more(heads)
        other = LanguageIndex()
        other._groups = {key: group for key, group in groups.items() if group.measures}
        other._plain = plain
        return other

    def __len__(self) -> int:
        return sum(len(group.measures) for group in self._groups.values()) + len(self._plain)

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes whose heads these are."""
        return (*(scope for group in self._groups.values() for scope in group.measures), *self._plain)

    def measure(self, scope: str) -> Measure:
        """How the scores of a scope are measured. Raises KeyError if there is no such scope."""
        found = (group.measures[scope] for group in self._groups.values() if scope in group.measures)
        return next(found, None) or self._plain[scope].measure

    def scores(self, embeddings: Array, language: str) -> dict[str, float]:
        """The highest score at any of the embeddings [windows, hidden] of one language, by scope; only of scopes that
        may have a verdict. NaN if one is."""
        found: dict[str, float] = {}
        for group in self._groups.values():
            for scope, score in group.scores(embeddings, language):
                found[scope] = float(np.maximum(score, found.get(scope, -np.inf)))  # a NaN stays
        return found | {scope: float(head.score(embeddings, language).max()) for scope, head in self._plain.items()}

    @property
    def nbytes(self) -> int:
        """The memory of the shared arrays."""
        groups = self._groups.values()
        blocks = sum(block.nbytes for group in groups for block in (*group.blocks, *group.broad))
        return blocks + sum(centre.nbytes for group in groups for centre in group.centres.values())


def _limited(one: MultilingualHead) -> Head:
    """The head beneath, with the limit up to which a text needs no verdict; with a contrast there is none."""
    return replace(one.head, threshold=LEANING if one.contrast else one.measure.limit)


def _by_centres(heads: Mapping[str, MultilingualHead]) -> dict[str, dict[str, MultilingualHead]]:
    found: dict[str, dict[str, MultilingualHead]] = {}
    for scope, one in heads.items():
        digest = hashlib.sha256()
        for name, centre in sorted(_centres(one).items()):
            digest.update(name.encode() + centre.tobytes())
        found.setdefault(digest.hexdigest(), {})[scope] = one
    return found


def _centres(one: MultilingualHead) -> Mapping[str, Array]:
    return {name: place.centre for name, place in one.places.items()}
