"""All scopes' classifiers scored together: a proven bound leaves out the scopes that cannot match.

A head's score is f(x) = b + sum_i w_i exp(-g |x - p_i|^2). Only scores above a limit t matter: the threshold, or 0 if
the threshold is higher, because a score above 0, the machine's own boundary, confirms a doubtful name
(`classifiers.names.aliases.confirmed`).
Leave out the terms with w_i <= 0, which can only lower f:

    f(x) <= b + sum_{w_i > 0} w_i exp(-g |x - p_i|^2)                                                (1)
         <= b + W exp(-g min_{w_i > 0} |x - p_i|^2),    W = sum_{w_i > 0} w_i                        (2)

because exp(-g d^2) falls with d. So f(x) > t >= b needs a point with |x - p_i|^2 < r^2 = ln(W / (t - b)) / g: the
scope's own radius. The search for such points over all scopes is one product of 8-bit integers. The points are 8-bit
vectors themselves, p = s c, and the embedding is rounded: x = a q + e. By Cauchy and Schwarz

    x . p = a s (q . c) + e . p <= a s (q . c) + |e| |p|                                             (3)
    |x - p|^2 >= |x|^2 + |p|^2 - 2 (a s (q . c) + |e| |p|)                                           (4)

where q . c is an integer and exact. Three steps, each on what the one before has left: points inside their scope's
radius by (4), of which a shorter product leaves out most (see `classifiers.svm.scan`); scopes whose sum (1) exceeds t;
the exact score in float32, background and all. A margin covers what float32 rounds. So no scope with f(x) > t is ever
left out, and every score that is given is exact.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifiers.names.aliases import LEANING
from classifiers.svm.model import Head
from classifiers.svm.points import Points, ragged
from classifiers.svm.scan import MARGIN, Rounded, Scan

__all__ = ["Block", "Found", "is_sound", "limit_of", "merged", "prunes"]

Array = NDArray[np.float32]
Integers = NDArray[np.integer]

_WIDEST = 1.8  # squared radius, a cosine of .1: unrelated texts lie outside it
_WINDOWS = 64  # searched at a time: it bounds the memory of a long text
_SCOPES = 256  # scored at a time
_GROWTH = 8  # a block with more than an eighth of the scopes of the one before it is merged into that


class Found(NamedTuple):
    """Scopes that a search found: which window of the embeddings, which scope of the block, and the score. A scope may
    be found by several windows."""

    windows: Integers
    scopes: Integers
    scores: Array


def limit_of(head: Head) -> float:
    """The score up to which a text needs no verdict of this head."""
    return min(head.threshold, LEANING)


def is_sound(head: Head) -> bool:
    """Whether the bound holds for this head: its points are 8-bit, all its numbers are finite, and a text that is far
    off is below the limit."""
    return (
        head.scales is not None
        and bool(np.isfinite(head.weights).all() and np.isfinite(head.scales).all())
        and bool((head.scales > 0).all() and (head.weights > 0).any())
        and head.gamma > 0
        and bool(head.bias < limit_of(head))
    )


def prunes(head: Head) -> bool:
    """Whether the bound leaves this head out of most texts: it holds, and a text outside a narrow radius around the
    points is below the limit. A broad scope's machine has a radius that holds nearly every text: to search it would be
    wasted."""
    if not is_sound(head):
        return False
    weight = float(head.weights[head.weights > 0].sum())
    return bool(np.log(weight / (limit_of(head) - head.bias)) / head.gamma < _WIDEST)


@dataclass(frozen=True, slots=True)
class _Terms:
    """Terms of many scopes' sums: the point and the weight of each. Scope n has the terms from `starts[n]` to
    `starts[n + 1]`."""

    points: Integers
    weights: Array
    starts: Integers

    def of(self, scopes: Integers) -> tuple[Integers, Integers]:
        """(the numbers of these scopes' terms, for each of them which of `scopes` it belongs to)."""
        return ragged(self.starts[scopes], self.starts[scopes + 1])

    def take(self, scopes: Integers) -> "_Terms":
        """The terms of these scopes alone."""
        numbers, groups = self.of(scopes)
        starts = np.append(0, np.cumsum(np.bincount(groups, minlength=len(scopes))))
        return _Terms(self.points[numbers], self.weights[numbers], starts)

    @property
    def owners(self) -> Integers:
        """The scope of each term."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))


@dataclass(frozen=True, slots=True)
class _Sums:
    """Terms with the points that they are around."""

    terms: _Terms
    points: Points

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """All arrays."""
        terms, points = self.terms, self.points
        return terms.points, terms.weights, terms.starts, points.codes, points.scales, points.squares

    @classmethod
    def of(cls, heads: Sequence[Head], chosen: Sequence[NDArray[np.bool_]]) -> "_Sums":
        """The chosen terms of heads with 8-bit vectors."""
        pairs = list(zip(heads, chosen, strict=True))
        codes = np.concatenate([head.vectors[own] for head, own in pairs])
        scales = np.concatenate([head.scales[own] for head, own in pairs if head.scales is not None])
        weights = np.concatenate([head.weights[own] for head, own in pairs])
        starts = np.cumsum([0, *(int(own.sum()) for own in chosen)])
        return cls(_Terms(np.arange(len(codes), dtype=np.int32), weights, starts), Points.of(codes, scales))

    @classmethod
    def joined(cls, parts: "Sequence[_Sums]") -> "_Sums":
        offsets = np.cumsum([0, *(len(part.points.codes) for part in parts)])
        terms = _Terms(
            np.concatenate([part.terms.points + offset for part, offset in zip(parts, offsets, strict=False)]),
            np.concatenate([part.terms.weights for part in parts]),
            np.append(0, np.cumsum(np.concatenate([np.diff(part.terms.starts) for part in parts]))),
        )
        return cls(terms, Points.joined([part.points for part in parts]))

    def take(self, scopes: Integers) -> "_Sums":
        """The terms of these scopes, and the points that they use."""
        terms = self.terms.take(scopes)
        used, numbers = np.unique(terms.points, return_inverse=True)
        return _Sums(replace(terms, points=numbers.astype(np.int32)), self.points.take(used))

    def shared(self) -> "_Sums":
        """The same terms around each point once."""
        points, numbers = self.points.unique()
        return _Sums(replace(self.terms, points=numbers[self.terms.points].astype(np.int32)), points)

    def at(self, embedding: Array, scopes: Integers, gamma: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sums [scopes] at one embedding [hidden]: sum_i w_i exp(-gamma |x - p_i|^2)."""
        numbers, groups = self.terms.of(scopes)
        used, places = np.unique(self.terms.points[numbers], return_inverse=True)
        squared = self.points.distances(used, embedding)[places]
        return _summed(squared, self.terms.weights[numbers], groups, gamma)

    def nearest(self, embedding: Array, scopes: Integers, count: int) -> Array:
        """[scopes]: the mean cosine of one embedding [hidden] of length 1 with the `count` nearest points of each; NaN
        of a scope without any."""
        numbers, groups = self.terms.of(scopes)
        used, places = np.unique(self.terms.points[numbers], return_inverse=True)
        cosines = self.points.cosines(used, embedding)[places]
        ends = np.searchsorted(groups, np.arange(len(scopes) + 1))
        own = [cosines[first:last] for first, last in pairwise(ends)]
        return np.array([np.sort(one)[-count:].mean() if len(one) else np.nan for one in own], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Block:
    """Heads of many scopes in common arrays. Nothing changes once it is made; `without` and `joined` make new ones.

    `inside` are the terms with positive weights, in the order of their points; `outside` are all others, and there a
    vector stands once, however many scopes use it. `scalars` [3, scopes] are bias, gamma and threshold. A scope that is
    not `alive` was removed. `owners` are the scopes of the points inside.
    """

    scopes: tuple[str, ...]
    numbers: Mapping[str, int]
    alive: NDArray[np.bool_]
    scalars: NDArray[np.float64]
    inside: _Sums
    outside: _Sums
    owners: Integers
    scan: Scan

    @classmethod
    def of(cls, heads: Mapping[str, Head]) -> "Block":
        """A block of heads of which `is_sound` is true."""
        kept = list(heads.values())
        scalars = np.array([(head.bias, head.gamma, head.threshold) for head in kept], dtype=np.float64).T
        inside = _Sums.of(kept, [head.weights > 0 for head in kept])
        return cls._made(tuple(heads), scalars, inside, _Sums.of(kept, [head.weights <= 0 for head in kept]))

    @classmethod
    def joined(cls, blocks: "Sequence[Block]") -> "Block":
        """One block of all scopes that are alive in these."""
        left = [np.flatnonzero(block.alive) for block in blocks]
        pairs = list(zip(blocks, left, strict=True))
        return cls._made(
            tuple(block.scopes[scope] for block, scopes in pairs for scope in scopes),
            np.concatenate([block.scalars[:, scopes] for block, scopes in pairs], axis=1),
            _Sums.joined([block.inside.take(scopes) for block, scopes in pairs]),
            _Sums.joined([block.outside.take(scopes) for block, scopes in pairs]),
        )

    @classmethod
    def _made(cls, scopes: tuple[str, ...], scalars: NDArray[np.float64], inside: _Sums, outside: _Sums) -> "Block":
        owners, outside = inside.terms.owners.astype(np.int32), outside.shared()
        scan = Scan.of(inside.points, _needs(scalars, inside, owners), outside.points)
        numbers = {scope: number for number, scope in enumerate(scopes)}
        alive = np.ones(len(scopes), dtype=bool)
        return cls(scopes, numbers, alive, scalars, inside, outside, owners, scan)

    @property
    def living(self) -> list[str]:
        """The scopes that were not removed."""
        return [self.scopes[number] for number in np.flatnonzero(self.alive)]

    @property
    def nbytes(self) -> int:
        """The memory of the arrays."""
        sums = [array for part in (self.inside, self.outside) for array in part.arrays]
        return sum(array.nbytes for array in (*sums, *self.scan.arrays, self.owners, self.scalars, self.alive))

    def without(self, removed: Collection[str]) -> "Block":
        """The same arrays, and these scopes are not alive."""
        alive = self.alive.copy()
        alive[[self.numbers[scope] for scope in removed if scope in self.numbers]] = False
        return replace(self, alive=alive)

    def head(self, scope: int) -> Head:
        """One scope's head, with its positive terms first."""
        parts = [
            (sums.points, *sums.terms.of(np.array([scope]))[:1], sums.terms) for sums in (self.inside, self.outside)
        ]
        own = Points.joined([points.take(terms.points[numbers]) for points, numbers, terms in parts])
        weights = np.concatenate([terms.weights[numbers] for _, numbers, terms in parts])
        bias, gamma, threshold = (float(value) for value in self.scalars[:, scope])
        return Head(own.codes, weights, bias, gamma, threshold, own.scales)

    def search(self, embeddings: Array) -> Found:
        """Every scope that scores above its limit at one of the embeddings [windows, hidden], with the score there.

        A window with a value that is not a number finds all scopes, with a score that is not a number.
        """
        found = [
            part
            for start in range(0, len(embeddings), _WINDOWS)
            for part in self._searched(embeddings[start : start + _WINDOWS], start)
        ]
        empty = Found(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))
        return Found(*(np.concatenate(column) for column in zip(empty, *found, strict=True)))

    def scores(self, embeddings: Array, scopes: Integers) -> Array:
        """The scores of some scopes, by their numbers, at embeddings [windows, hidden]: [windows, scopes]."""
        bias, gamma, _ = self.scalars[:, scopes]
        sums = (bias + self.inside.at(x, scopes, gamma) + self.outside.at(x, scopes, gamma) for x in embeddings)
        return np.stack([of_window.astype(np.float32) for of_window in sums])

    def contrasts(self, embeddings: Array, scopes: Integers, count: int) -> Array:
        """How much nearer the `count` nearest points inside some scopes, by their numbers, are to embeddings [windows,
        hidden] of length 1 than the nearest outside, by their mean cosines: [windows, scopes]; 0 of a scope that lacks
        a side."""
        pairs = ((self.inside.nearest(x, scopes, count), self.outside.nearest(x, scopes, count)) for x in embeddings)
        return np.stack([np.nan_to_num(inside - outside) for inside, outside in pairs])

    def limits(self, scopes: Integers) -> NDArray[np.float64]:
        """The limit of each of some scopes, as `limit_of` says."""
        return np.asarray(np.minimum(self.scalars[2, scopes], LEANING), dtype=np.float64)

    def _searched(self, embeddings: Array, first: int) -> Iterator[Found]:
        rounded = Rounded.of(embeddings)
        for window, near in enumerate(self.scan.near(rounded)):
            if rounded.finite[window]:
                scopes, scores = self._verified(embeddings[window], near)
            else:
                scopes = np.flatnonzero(self.alive)
                scores = np.full(len(scopes), np.nan, dtype=np.float32)
            yield Found(np.full(len(scopes), first + window), scopes, scores)

    def _verified(self, embedding: Array, near: Integers) -> tuple[Integers, Array]:
        """(scopes above their limit, their scores) at one embedding, of those to which the points `near` belong."""
        scopes = np.unique(self.owners[near])
        scopes = scopes[self.alive[scopes]]
        found = [self._scored(embedding, scopes[start : start + _SCOPES]) for start in range(0, len(scopes), _SCOPES)]
        if not found:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        kept, scores = (np.concatenate(column) for column in zip(*found, strict=True))
        return kept, scores

    def _scored(self, embedding: Array, scopes: Integers) -> tuple[Integers, Array]:
        """(scopes above their limit, their exact scores) at one embedding. Most are below it by (1) alone."""
        bias, gamma, _ = self.scalars[:, scopes]
        limits = self.limits(scopes)
        most = bias + self.inside.at(embedding, scopes, gamma)
        left = np.flatnonzero(~(most <= limits))
        if len(left):
            most, scopes, limits = most[left], scopes[left], limits[left]
            most = most + self.outside.at(embedding, scopes, gamma[left])
        else:
            return scopes[:0], np.zeros(0, dtype=np.float32)
        scores = most.astype(np.float32)
        above = ~(scores <= limits)
        return scopes[above], scores[above]


def merged(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """The blocks, each a good deal smaller than the one before it, so that there are few of them."""
    kept = [block for block in blocks if block.alive.any()]
    while len(kept) > 1 and len(kept[-1].scopes) * _GROWTH > len(kept[-2].scopes):
        kept[-2:] = [Block.joined(kept[-2:])]
    return tuple(kept)


def _needs(scalars: NDArray[np.float64], inside: _Sums, owners: Integers) -> NDArray[np.float64]:
    """For each point p what x . p must reach for a text of length 1 to be inside the radius r of p's scope:
    (1 + |p|^2 - r^2) / 2, less the margin."""
    bias, gamma, threshold = scalars
    weights = np.bincount(owners, weights=inside.terms.weights, minlength=len(bias))
    radii = np.log(weights / (np.minimum(threshold, LEANING) - bias)) / gamma
    lengths = 1 + inside.points.squares.astype(np.float64)
    return np.asarray((lengths * (1 - MARGIN) - radii[owners]) / 2)


def _summed(squared: Array, weights: Array, groups: Integers, gamma: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each group sum_i weights_i exp(-gamma squared_i)."""
    terms = weights * np.exp(-gamma[groups] * squared)
    return np.asarray(np.bincount(groups, weights=terms, minlength=len(gamma)), dtype=np.float64)
