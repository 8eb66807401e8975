"""Fits one scope's head: few points of its own and the general traffic nearest to them; or a support-vector machine.

A support-vector machine with the same kernel keeps some 900 points of the demo's scope, half of them general traffic
far from it. Here the points are chosen first (Moody & Darken 1989; Broomhead & Lowe 1988) and the weights are then
fitted with the machine's squared hinge loss, positive around forget rows and negative elsewhere.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifiers.svm.model import Head, kernel, quantised

__all__ = ["HeadTraining", "Rows", "fit_head", "fit_machine"]

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]

_ITERATIONS = 300
_CENTRE_ITERATIONS = 15


@dataclass(frozen=True, slots=True)
class HeadTraining:
    """How many points a head has, and how its weights are fitted.

    `rows_per_centre` forget rows share a point, but there are `fewest` to `most` of these. `retain_centres` and
    `background` are the most points around retain rows and in general traffic. `penalty` is that of the squared
    weights, `gamma` says how fast a point's part falls with the squared distance. A support-vector machine has
    `machine_gamma` and the C `regularisation`.
    """

    gamma: float = 4.0
    penalty: float = 0.01
    machine_gamma: float = 2.0
    regularisation: float = 10.0
    rows_per_centre: int = 7
    fewest: int = 3
    most: int = 32
    retain_centres: int = 32
    background: int = 64


@dataclass(frozen=True, slots=True)
class Rows:
    """Embeddings [windows, hidden] of rows as they are, and of the same rows in frames."""

    plain: Array
    framed: Array

    @property
    def every(self) -> Array:
        """[windows, hidden] of both."""
        return np.concatenate([self.plain, self.framed])


def fit_head(forget: Rows, retain: Rows, traffic: Array, training: HeadTraining, *, seed: int) -> Head:
    """A head without a threshold.

    Args:
        forget: rows inside the scope, at least one.
        retain: rows near the scope, but outside; perhaps none.
        traffic: [windows, hidden] of general traffic.
        training: settings.
        seed: of the centres.
    """
    wanted = min(max(-(-len(forget.plain) // training.rows_per_centre), training.fewest), training.most)
    inside = _centres(forget.plain, wanted, seed)
    nearness = kernel(traffic, inside, training.gamma).sum(1)
    nearest = np.argsort(-nearness, kind="stable")[: training.background]
    outside = np.concatenate([_centres(retain.plain, training.retain_centres, seed), traffic[nearest]])
    codes, scales = quantised(np.concatenate([inside, outside]))

    signs = np.where(np.arange(len(codes)) < len(inside), 1.0, -1.0)
    positive, negative = forget.every, np.concatenate([retain.every, traffic])
    points = np.asarray(codes * scales[:, None], dtype=np.float32)
    features = kernel(np.concatenate([positive, negative]), points, training.gamma)
    labels = np.repeat([1.0, -1.0], [len(positive), len(negative)])
    weights, bias = _weights(features, labels, signs, training.penalty)
    kept = weights != 0
    return Head(codes[kept], weights[kept].astype(np.float32), bias, training.gamma, 0.0, scales[kept])


def fit_machine(forget: Rows, retain: Rows, traffic: Array, training: HeadTraining, *, seed: int) -> Head:
    """A support-vector machine as a head without a threshold: every row may be a point.

    Args:
        forget: rows inside the scope, at least one.
        retain: rows near the scope, but outside; perhaps none.
        traffic: [windows, hidden] of general traffic.
        training: settings, of which it takes `machine_gamma` and `regularisation`.
        seed: of the solver.
    """
    inside, outside = forget.every, np.concatenate([retain.every, traffic])
    from sklearn.svm import SVC  # with pandas, a second to load

    machine = SVC(C=training.regularisation, gamma=training.machine_gamma, class_weight="balanced", random_state=seed)
    machine.fit(np.concatenate([inside, outside]), np.repeat([1, 0], [len(inside), len(outside)]))
    codes, scales = quantised(machine.support_vectors_.astype(np.float32))
    weights = machine.dual_coef_[0].astype(np.float32)
    return Head(codes, weights, float(machine.intercept_[0]), training.machine_gamma, 0.0, scales)


def _centres(rows: Array, wanted: int, seed: int) -> Array:
    """At most `wanted` points [points, hidden] for the rows [rows, hidden]: means of clusters, or the rows."""
    if len(rows) <= wanted:
        return rows
    import faiss

    clusters = faiss.Kmeans(
        rows.shape[1], wanted, niter=_CENTRE_ITERATIONS, spherical=True, seed=seed, min_points_per_centroid=1
    )
    clusters.train(np.ascontiguousarray(rows))
    return np.asarray(clusters.centroids, dtype=np.float32)


def _weights(features: Array, labels: Doubles, signs: Doubles, penalty: float) -> tuple[Doubles, float]:
    """Weights [points] of these signs, and the bias, with the least squared hinge loss and penalty; both classes count
    the same. `features` [rows, points] and `labels` [rows], 1 or -1."""
    from scipy.optimize import minimize

    shares = np.where(labels > 0, 0.5 / (labels > 0).sum(), 0.5 / max(1, (labels < 0).sum()))
    turned = features.astype(np.float64) * labels[:, None]

    def loss(parameters: Doubles) -> tuple[float, Doubles]:
        weights, bias = parameters[:-1], parameters[-1]
        short = np.maximum(1 - turned @ weights - bias * labels, 0)
        push = -2 * shares * short
        slope = np.append(turned.T @ push + penalty * weights, labels @ push)
        return float(shares @ short**2 + penalty / 2 * weights @ weights), slope

    bounds = [(0.0, None) if sign > 0 else (None, 0.0) for sign in signs]
    start = np.zeros(len(signs) + 1)
    options = {"maxiter": _ITERATIONS}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[*bounds, (None, None)], options=options)
    return found.x[:-1], float(found.x[-1])
