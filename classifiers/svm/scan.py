"""Which of many points lie inside their scope's radius of an embedding: see `classifiers.svm.index` for the bound."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from classifiers.svm.model import quantised
from classifiers.svm.points import Points
from classifiers.svm.products import products

__all__ = ["MARGIN", "Rounded", "Scan"]

Array = NDArray[np.float32]
Codes = NDArray[np.int8]
Integers = NDArray[np.integer]

MARGIN = 1e-4  # of squared distances between embeddings of length 1, far above what float32 rounds
_SHADOWED = 8_192  # so many points fit a cache as they are
_DIMENSIONS = 127  # and one for the rest
_SAMPLE = 8192


class Rounded(NamedTuple):
    """Embeddings as 8-bit `codes` [windows, hidden] times `steps` [windows]. `errors` are the lengths of what rounding
    left over; the squared lengths differ from 1 by less than `surplus`; not every embedding may be `finite`."""

    embeddings: Array
    codes: Codes
    steps: Array
    errors: Array
    surplus: Array
    finite: NDArray[np.bool_]

    @classmethod
    def of(cls, embeddings: Array) -> "Rounded":
        lengths = np.einsum("ij,ij->i", embeddings, embeddings)
        finite = np.isfinite(lengths)
        sound = np.where(finite[:, None], embeddings, np.float32(0))
        codes, steps = quantised(sound)
        errors = np.linalg.norm(sound - codes * steps[:, None], axis=1)
        return cls(sound, codes, steps, errors, np.abs(lengths - 1) + MARGIN * lengths, finite)


@dataclass(frozen=True, slots=True)
class _Codes:
    """8-bit vectors c [n, dimensions]; x . c must reach `needs` [n] for an x of length 1. `widest` is the largest |c|,
    `finest` what a surplus of 1 in |x|^2 takes off the needs at most."""

    codes: Codes
    needs: Array
    widest: float
    finest: float

    def reached(self, rounded: Rounded, dots: Array, window: int, chosen: Integers | None = None) -> Integers:
        """The points, of the chosen ones or of all, that may reach their need at one window, whose codes have these
        products with theirs."""
        slack = rounded.errors[window] * self.widest + rounded.surplus[window] * self.finest
        needs = self.needs if chosen is None else self.needs[chosen]
        found = np.flatnonzero(dots * rounded.steps[window] >= needs - np.float32(slack))
        return found if chosen is None else chosen[found]


@dataclass(frozen=True, slots=True)
class Scan:
    """Many points. A shadow of 128 numbers a point is read first: with U an orthonormal basis of 127 dimensions,

        x . p <= (U x) . (U p) + |x - U'U x| |p - U'U p| = x* . p*,    x* = (U x, |x - U'U x|)

    by Cauchy and Schwarz, and x* . p* is bounded as x . p is: the shadows are rounded to 8 bits, p* = s c + e, and
    x* . p* <= s (x* . c) + |x*| |e|.
    """

    whole: _Codes
    shadow: _Codes | None
    basis: Array

    @classmethod
    def of(cls, points: Points, needs: NDArray[np.float64], others: Points) -> "Scan":
        """`needs` [n]: what x . p must reach for an x of length 1. `others` are like the texts that will be searched:
        they, too, choose the basis."""
        lengths = np.sqrt(points.squares)
        whole = _Codes(
            points.codes,
            np.asarray(needs / points.scales, dtype=np.float32),
            float((lengths / points.scales).max()),
            float(0.5 / points.scales.min()),
        )
        if len(points.codes) <= _SHADOWED or points.codes.shape[1] <= _DIMENSIONS:
            return cls(whole, None, np.zeros((0, points.codes.shape[1]), dtype=np.float32))
        basis = _basis(points, others)
        return cls(whole, _shadow(points, needs, basis), basis)

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """All arrays but the points' own."""
        return (self.whole.needs, self.basis, *((self.shadow.codes, self.shadow.needs) if self.shadow else ()))

    def near(self, rounded: Rounded) -> list[Integers]:
        """For each window the points that may lie inside their radius."""
        if self.shadow is None:
            dots = products(torch.from_numpy(self.whole.codes), torch.from_numpy(rounded.codes))
            return [self.whole.reached(rounded, of_window, window) for window, of_window in enumerate(dots)]
        flat = Rounded.of(_projected(rounded.embeddings, self.basis))._replace(surplus=rounded.surplus)
        dots = products(torch.from_numpy(self.shadow.codes), torch.from_numpy(flat.codes))
        return [
            self._left(rounded, window, self.shadow.reached(flat, of_window, window))
            for window, of_window in enumerate(dots)
        ]

    def _left(self, rounded: Rounded, window: int, chosen: Integers) -> Integers:
        """Those of the chosen points that the whole vectors leave."""
        if not len(chosen):
            return chosen
        codes = torch.from_numpy(self.whole.codes).index_select(0, torch.from_numpy(chosen))
        dots = products(codes, torch.from_numpy(rounded.codes[window : window + 1]))[0]
        return self.whole.reached(rounded, dots, window, chosen)


def _shadow(points: Points, needs: NDArray[np.float64], basis: Array) -> _Codes:
    parts = []
    for start in range(0, len(points.codes), _SAMPLE):  # in parts: float32 takes four times the memory
        numbers = np.arange(start, min(start + _SAMPLE, len(points.codes)))
        shadows = _projected(points.take(numbers).vectors, basis)
        codes, scales = quantised(shadows)
        rests = np.linalg.norm(shadows - codes * scales[:, None], axis=1)
        parts.append((codes, scales, rests, np.linalg.norm(codes.astype(np.float32), axis=1)))
    codes, scales, rests, lengths = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _Codes(
        codes,
        np.asarray((needs - rests * (1 + MARGIN)) / scales, dtype=np.float32),
        float(lengths.max()),
        float((0.5 + rests.max()) / scales.min()),
    )


def _projected(vectors: Array, basis: Array) -> Array:
    """[n, dimensions + 1]: coordinates in the basis, and the length of what lies outside it, rounded up."""
    inside = vectors @ basis.T
    rest = np.einsum("ij,ij->i", vectors, vectors) - np.einsum("ij,ij->i", inside, inside)
    # a small rest of two large numbers is known to about 1e-7 only
    return np.column_stack([inside, np.sqrt(np.maximum(rest, 0) + 1e-6)]).astype(np.float32)


def _basis(points: Points, others: Points) -> Array:
    """The directions [dimensions, hidden] in which the points and the others lie most."""
    moments = np.zeros((points.codes.shape[1],) * 2)
    for group in (points, others):
        count = len(group.codes)
        if count:
            vectors = group.take(np.arange(0, count, max(1, count // _SAMPLE))).vectors.astype(np.float64)
            moments += vectors.T @ vectors / len(vectors)
    directions = np.linalg.eigh(moments)[1][:, ::-1][:, :_DIMENSIONS]
    return np.ascontiguousarray(directions.T, dtype=np.float32)
