"""How much nearer a text lies to what is inside a scope than to what is outside.

The multilingual encoder puts some texts near all others, whatever they are about, and a support-vector machine takes
them for the scope's. What both sides share cancels out where the nearest points of each are compared: cross-domain
similarity local scaling (Conneau et al., arXiv 1710.04087, section 2.3), with the machine's own points.
"""

import numpy as np
from numpy.typing import NDArray

from classifiers.svm.model import Head

__all__ = ["NEAREST", "contrasted"]

Array = NDArray[np.float32]
NEAREST = 8
"""Points of each side that are compared."""


def contrasted(head: Head, weight: float, embeddings: Array) -> Array:
    """Scores [windows] of a head at embeddings [windows, hidden] of length 1, and `weight` times their contrast: the
    mean cosine with the nearest points that speak for the scope, less that with the nearest that speak against it; 0 of
    a head without one of these."""
    scores = head.score(embeddings)
    return scores + weight * _contrast(head, embeddings) if weight else scores


def _contrast(head: Head, embeddings: Array) -> Array:
    points = head.points
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    cosines = np.asarray(embeddings @ (points / np.where(lengths > 0, lengths, 1)).T, dtype=np.float32)
    inside, outside = cosines[:, head.weights > 0], cosines[:, head.weights <= 0]
    if not inside.shape[1] or not outside.shape[1]:
        return np.zeros(len(embeddings), dtype=np.float32)
    return np.asarray(_nearest(inside) - _nearest(outside), dtype=np.float32)


def _nearest(cosines: Array) -> Array:
    """[windows]: the mean of the highest of cosines [windows, points]."""
    count = min(NEAREST, cosines.shape[1])
    return np.asarray(np.partition(cosines, -count, axis=1)[:, -count:].mean(axis=1))
