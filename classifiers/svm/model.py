"""One scope's classifier (ECO, arXiv 2406.07933, section 3.1): radial basis functions around a few embeddings."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

__all__ = ["Head", "kernel", "quantised", "squares_of"]

Array = NDArray[np.float32]
Codes = NDArray[np.int8]

_RARE = math.log(1_000)  # of the default false-positive rate


@dataclass(frozen=True, slots=True)
class Head:
    """`vectors` [n, hidden], `weights` [n], `bias`, `gamma`, and the scope's threshold.

    score(x) = sum_i weights_i exp(-gamma |x - points_i|^2) + bias; a text is in scope if score > threshold. The points
    are the vectors, or, where `scales` [n] are given, 8-bit vectors times their scales: a quarter of the memory, and
    exact, because a head is fitted, calibrated and measured with the points that it ships.

    `parts` are words of the scope's names (`classifiers.names.parts`). A text that holds one of them scores higher, by
    `bonus`: 'What did Ron say?' is no name of the scope, but little more is needed.
    """

    vectors: Array | Codes
    weights: Array
    bias: float
    gamma: float
    threshold: float
    scales: Array | None = None
    parts: tuple[str, ...] = ()
    bonus: float = 0.0
    squares: Array | None = None
    """|points_i|^2 [n] of a head that scores many texts; they are no part of a file."""

    @property
    def points(self) -> Array:
        """[n, hidden] in float32."""
        if self.scales is None:
            return np.asarray(self.vectors, dtype=np.float32)
        return np.asarray(self.vectors * self.scales[:, None], dtype=np.float32)

    def threshold_among(self, texts: int) -> float:
        """The threshold that so many texts together pass as rarely as one passes `threshold`.

        Scores of texts outside a scope fall off exponentially above the score of one that is far off, the bias. A
        threshold t that one text in a thousand passes is ln(1000) such steps above it; for one in a thousand n it takes
        ln(n) steps more (Bonferroni). On shipped prompts the steps between the 90th, 97th and 99.9th percentile agree.
        """
        step = max(0.0, self.threshold - self.bias) / _RARE
        return self.threshold + step * math.log(max(1, texts))

    def score(self, embeddings: Array) -> Array:
        """Scores [windows] of embeddings [windows, hidden]."""
        near = kernel(embeddings, self.points, self.gamma, self.squares)
        return np.asarray(near @ self.weights + self.bias, dtype=np.float32)

    def gradient(self, embedding: Array) -> Array:
        """Gradient [hidden] of the score at one embedding [hidden]."""
        points = self.points
        weighted = kernel(embedding[None], points, self.gamma)[0] * self.weights
        return np.asarray(2 * self.gamma * (weighted @ (points - embedding)), dtype=np.float32)

    def save(self, path: Path) -> None:
        """One safetensors file."""
        scalars = np.array([self.bias, self.gamma, self.threshold], dtype=np.float64)
        tensors: dict[str, NDArray[Any]] = {
            "vectors": self.vectors,
            "weights": self.weights,
            "bias_gamma_threshold": scalars,
        }
        if self.scales is not None:
            tensors["scales"] = self.scales
        if self.parts:
            tensors["bonus"] = np.array([self.bonus], dtype=np.float64)
            tensors["parts"] = np.frombuffer(" ".join(self.parts).encode(), dtype=np.uint8)
        save_file(tensors, path)

    @classmethod
    def load(cls, path: Path) -> "Head":
        """Raises ValueError if the file's tensors are not a head's."""
        try:
            tensors = load_file(path)
            bias, gamma, threshold = (float(value) for value in tensors["bias_gamma_threshold"])
            scales, (parts, bonus) = tensors.get("scales"), _parts(tensors)
            head = cls(tensors["vectors"], tensors["weights"], bias, gamma, threshold, scales, parts, bonus)
        except (KeyError, ValueError, SafetensorError) as error:
            raise ValueError(f"{path.name} holds no classifier head: {error}") from error
        shapes = {head.weights.shape, head.vectors.shape[:1]} | (
            {head.scales.shape} if head.scales is not None else set()
        )
        if head.vectors.ndim != 2 or len(shapes) != 1:
            raise ValueError(f"{path.name} holds a classifier head of inconsistent shapes")
        if (head.vectors.dtype == np.int8) != (head.scales is not None):
            raise ValueError(
                f"{path.name} holds a classifier head whose 8-bit vectors and scales do not belong together"
            )
        if not np.isfinite([bias, gamma, threshold, bonus]).all():
            raise ValueError(f"{path.name} holds a threshold that is not a number")
        return head


def _parts(tensors: dict[str, NDArray[Any]]) -> tuple[tuple[str, ...], float]:
    """The parts of names and their bonus; older files have none."""
    if "parts" not in tensors:
        return (), 0.0
    (bonus,) = (float(value) for value in tensors["bonus"])
    return tuple(tensors["parts"].tobytes().decode().split()), bonus


def kernel(embeddings: Array, points: Array, gamma: float, squares: Array | None = None) -> Array:
    """exp(-gamma |x - p|^2), [windows, n].

    Args:
        embeddings: x [windows, hidden].
        points: p [n, hidden].
        gamma: how quickly a point's share falls.
        squares: |p|^2 [n], if it is known.
    """
    if squares is None:
        squares = squares_of(points)
    squared = (embeddings**2).sum(1)[:, None] + squares[None] - 2 * embeddings @ points.T
    return np.asarray(np.exp(-gamma * np.maximum(squared, 0)), dtype=np.float32)


def squares_of(points: Array) -> Array:
    """|p|^2 [n] of points p [n, hidden]."""
    return np.asarray((points**2).sum(1))


def quantised(vectors: Array) -> tuple[Codes, Array]:
    """8-bit vectors [n, hidden] and scales [n]: their product is each vector, to half a scale in every dimension."""
    largest = np.abs(vectors).max(axis=1, initial=0.0)
    scales = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.rint(vectors / scales[:, None]).astype(np.int8), scales
