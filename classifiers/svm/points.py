"""Many 8-bit vectors in common arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Points", "ragged"]

_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, its bits well mixed

Array = NDArray[np.float32]
Codes = NDArray[np.int8]
Integers = NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Points:
    """Vectors `codes` [n, hidden] times `scales` [n]; `squares` [n] are their squared lengths."""

    codes: Codes
    scales: Array
    squares: Array

    @classmethod
    def of(cls, codes: Codes, scales: Array) -> "Points":
        lengths = np.empty(len(codes), dtype=np.float32)
        for start in range(0, len(codes), 4096):  # in parts: float32 takes four times the memory
            part = codes[start : start + 4096].astype(np.float32)
            lengths[start : start + 4096] = np.einsum("ij,ij->i", part, part)
        return cls(codes, scales, lengths * scales * scales)

    @classmethod
    def joined(cls, parts: Sequence["Points"]) -> "Points":
        return cls(
            np.concatenate([part.codes for part in parts]),
            np.concatenate([part.scales for part in parts]),
            np.concatenate([part.squares for part in parts]),
        )

    @property
    def vectors(self) -> Array:
        """[n, hidden] in float32."""
        return np.asarray(self.codes * self.scales[:, None], dtype=np.float32)

    def take(self, numbers: Integers) -> "Points":
        return Points(self.codes[numbers], self.scales[numbers], self.squares[numbers])

    def distances(self, numbers: Integers, embedding: Array) -> Array:
        """Squared distances [numbers] of these points to one embedding [hidden], in float32."""
        products = (self.codes[numbers].astype(np.float32) @ embedding) * self.scales[numbers]
        return np.asarray(np.maximum(self.squares[numbers] + embedding @ embedding - 2 * products, 0), dtype=np.float32)

    def cosines(self, numbers: Integers, embedding: Array) -> Array:
        """Cosines [numbers] of these points with one embedding [hidden] of length 1; 0 of a point of no length."""
        products = (self.codes[numbers].astype(np.float32) @ embedding) * self.scales[numbers]
        lengths = np.sqrt(self.squares[numbers])
        return np.asarray(products / np.where(lengths > 0, lengths, 1), dtype=np.float32)

    def unique(self) -> tuple["Points", Integers]:
        """(the points, each once; for each point the number of its equal there). A shipped vector of general traffic
        has the same bytes in every scope."""
        _, first, inverse = np.unique(self._keys(), return_index=True, return_inverse=True)
        twin = first[inverse]
        same = (self.codes == self.codes[twin]).all(1) & (self.scales == self.scales[twin])
        if not same.all():  # two vectors of one key: keep every point
            return self, np.arange(len(self.codes))
        return self.take(first), inverse.astype(np.int64)

    def _keys(self) -> NDArray[np.uint64]:
        """A number for each vector and scale, the same for equals."""
        padding = -self.codes.shape[1] % 8
        words = np.pad(self.codes, ((0, 0), (0, padding))).view(np.uint64)
        keys = self.scales.view(np.uint32).astype(np.uint64)
        for column in range(words.shape[1]):  # wraps around at 2^64
            keys = ((keys ^ (keys >> np.uint64(29))) + words[:, column]) * _FACTOR
        return keys


def ragged(starts: Integers, ends: Integers) -> tuple[Integers, Integers]:
    """(all numbers of the ranges from starts[i] to ends[i], one after the other; the i of each)."""
    lengths = ends - starts
    groups = np.repeat(np.arange(len(lengths)), lengths)
    begins = np.cumsum(lengths) - lengths
    return np.arange(len(groups)) + (starts - begins)[groups], groups
