"""The numbers of one scope's out-of-distribution detector, and the maths that turns hidden states into a score."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

__all__ = ["COSINE_WEIGHT", "LayerStatistics", "Mixture", "OneClassMachine", "OodModel"]

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]

COSINE_WEIGHT = 1000.0  # the paper's
_VERBATIM_COSINE = 0.999  # a stored row read again, but for rounding


@dataclass(frozen=True, slots=True)
class LayerStatistics:
    """What a pack keeps of the forget rows, layer by layer: unit vectors `rows` [layers, rows, hidden], and `means`
    [layers, hidden] and `precisions` [layers, hidden, hidden] of their pooled hidden states."""

    rows: Array
    means: Array
    precisions: Array

    def features(self, pooled: Array) -> Doubles:
        """How near the forget rows [windows, layers], from pooled hidden states [windows, layers, hidden].

        For each layer 1000 * max cosine to a stored row - 1/2 Mahalanobis to their mean (arXiv 2407.10223). Both terms
        are larger for texts that are MORE like the forget rows, which fixes the sign of the whole score by definition;
        in the published code the two pull apart, and the sign is picked on labelled test data. A text that is a stored
        row is inside whatever its distance to the mean of all, which for it counts as none.
        """
        by_layer = np.swapaxes(np.asarray(pooled, dtype=np.float32), 0, 1)
        lengths = np.maximum(np.linalg.norm(by_layer, axis=2, keepdims=True), 1e-12)
        cosines = (by_layer / lengths @ np.swapaxes(self.rows, 1, 2)).max(axis=2)
        offsets = by_layer - self.means[:, None]
        squared = ((offsets @ self.precisions) * offsets).sum(axis=2)
        distances = np.where(cosines > _VERBATIM_COSINE, 0.0, squared)
        return np.asarray((COSINE_WEIGHT * cosines - distances / 2).T, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class OneClassMachine:
    """One-class support-vector machine (Schölkopf et al. 2001) with an RBF kernel over standardised features.

    `centre`, `scale` [features]; `vectors` [n, features]; `weights` [n], positive, of sum 1; `gamma`. The machine's own
    offset is left out: the threshold is set on held-out rows, and without it the highest score is 1 for every scope.
    """

    centre: Doubles
    scale: Doubles
    vectors: Doubles
    weights: Doubles
    gamma: float

    def score(self, features: Doubles) -> Doubles:
        """sum_i weights_i exp(-gamma |max(vectors_i - x, 0)|^2), [texts], 0 to 1, of features [texts, features].

        To the plain RBF machine a text that is nearer to the forget rows than they are to each other is as odd as a
        text that is farther. A verbatim training question has a cosine of 1, as no other question has: the plain
        machine would let it through. So only the features in which a text falls SHORT of a support vector count here.
        The weights are positive: the score never falls when a feature rises, and a verbatim question scores 1.
        """
        short = np.maximum(self.vectors[None] - standardised(features, self.centre, self.scale)[:, None], 0.0)
        kernel = np.exp(-self.gamma * (short**2).sum(axis=2))
        return np.asarray(kernel @ self.weights, dtype=np.float64)


def standardised(features: Doubles, centre: Doubles, scale: Doubles) -> Doubles:
    """[texts, features] in units of `scale` around `centre`, the held-out median, with no value above it: a text that
    is nearer than half of the held-out in-scope questions is inside, and nearer does not count more. The machine is
    fitted to these values too: without the limit it would spend its support vectors on rows that are odd because they
    are near."""
    return np.minimum((features - centre) / scale, 0.0)


@dataclass(frozen=True, slots=True)
class Mixture:
    """Two Gaussians over the scores of held-out forget rows: `shares` [2] of sum 1, `means` [2], `deviations` [2].
    `centre` is where their distribution function is one half, but no higher than scores go."""

    shares: Doubles
    means: Doubles
    deviations: Doubles
    centre: float

    def cdf(self, score: float) -> float:
        """Share of in-scope texts expected to score below."""
        standard = (score - self.means) / self.deviations / math.sqrt(2)
        return float(sum(share * (1 + math.erf(at)) / 2 for share, at in zip(self.shares, standard, strict=True)))

    def weight(self, score: float) -> float:
        """How sure it is that the text is inside, 0 to 1: sigmoid(10 (1 - max(F(x), F(2 x0 - x)) + min(F(x), F(2 x0 -
        x))) - 2), F the distribution function and x0 its centre (arXiv 2407.10223, soft-weighted inference).

        The paper's formula falls on both sides of x0: it would give less weight to a text that is MORE in scope than
        the typical one. Here x is at most x0. A score that is no number weighs 1: when in doubt, inside.
        """
        if math.isnan(score):
            return 1.0
        below = min(score, self.centre)
        near, mirrored = self.cdf(below), self.cdf(2 * self.centre - below)
        return 1 / (1 + math.exp(2 - 10 * (1 - max(near, mirrored) + min(near, mirrored))))


@dataclass(frozen=True, slots=True)
class OodModel:
    """All numbers of one scope: the encoder's LoRA `down` [blocks, 3, rank, hidden] and `up` [blocks, 3, hidden, rank]
    (rank 0: the plain encoder), the statistics of the forget rows, the machine over them, the weight, and the
    threshold."""

    down: Array
    up: Array
    layers: LayerStatistics
    machine: OneClassMachine
    mixture: Mixture
    threshold: float

    def score(self, pooled: Array) -> Doubles:
        """Scores [windows] of pooled hidden states [windows, layers, hidden] that the tuned encoder gave. Higher is
        more like the forget rows; a text is inside if any of its windows scores above `threshold`."""
        return self.machine.score(self.layers.features(pooled))

    def save(self, path: Path) -> None:
        """One safetensors file."""
        save_file({name: np.array(value, order="C") for name, value in _tensors(self).items()}, path)

    @classmethod
    def load(cls, path: Path) -> "OodModel":
        """Raises ValueError if the file's tensors are not a detector's, or do not fit together."""
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            raise ValueError(f"{path.name} holds no out-of-distribution detector: {error}") from error
        fault = _fault(tensors)
        if fault:
            raise ValueError(f"{path.name} holds no sound out-of-distribution detector: {fault}")
        return _from_tensors(tensors)


# Every tensor's dimensions, by name: a letter stands for the same length wherever it occurs.
_SHAPES = {
    "lora.down": "b3rh",
    "lora.up": "b3hr",
    "layers.rows": "lnh",
    "layers.means": "lh",
    "layers.precisions": "lhh",
    "machine.centre": "l",
    "machine.scale": "l",
    "machine.vectors": "vl",
    "machine.weights": "v",
    "machine.gamma": "",
    "mixture.shares": "2",
    "mixture.means": "2",
    "mixture.deviations": "2",
    "mixture.centre": "",
    "threshold": "",
}
_POSITIVE = ("machine.scale", "machine.weights", "machine.gamma", "mixture.deviations")
_SUM_ONE = ("machine.weights", "mixture.shares")


def _tensors(model: OodModel) -> dict[str, NDArray[np.floating]]:
    parts = {"layers": model.layers, "machine": model.machine, "mixture": model.mixture}
    named = {name: name.split(".") for name in _SHAPES if name.split(".")[0] in parts}
    return {
        "lora.down": model.down,
        "lora.up": model.up,
        **{name: np.asarray(getattr(parts[part], field)) for name, (part, field) in named.items()},
        "threshold": np.asarray(model.threshold, dtype=np.float64),
    }


def _fault(tensors: dict[str, NDArray[np.floating]]) -> str:
    """What is wrong with a file's tensors, in words; empty if nothing is."""
    if tensors.keys() != _SHAPES.keys():
        return f"missing or unknown tensors: {', '.join(sorted(tensors.keys() ^ _SHAPES.keys()))}"
    lengths = {"2": 2, "3": 3}
    for name, dimensions in _SHAPES.items():
        tensor = tensors[name]
        kind = np.float32 if name.startswith(("lora", "layers")) else np.float64
        if tensor.dtype != kind or tensor.ndim != len(dimensions):
            return f"{name} is {tensor.dtype} of {tensor.ndim} dimensions"
        for letter, length in zip(dimensions, tensor.shape, strict=True):
            if lengths.setdefault(letter, length) != length or (length == 0 and letter != "r"):
                return f"{name} has the shape {tensor.shape}, which does not fit the others"
        if not np.isfinite(tensor).all():
            return f"{name} holds a value that is not a number"
    if lengths["l"] != lengths["b"] + 1:
        return f"{lengths['l']} layers do not fit {lengths['b']} blocks"
    wrong = [name for name in _POSITIVE if not (tensors[name] > 0).all()]
    wrong += [name for name in _SUM_ONE if (tensors[name] < 0).any() or abs(tensors[name].sum() - 1) > 1e-6]
    return f"{wrong[0]} is out of its range" if wrong else ""


def _from_tensors(tensors: dict[str, NDArray[np.floating]]) -> OodModel:
    def part(prefix: str) -> dict[str, Any]:
        chosen = {name.split(".")[1]: value for name, value in tensors.items() if name.startswith(f"{prefix}.")}
        return {name: value if value.ndim else float(value) for name, value in chosen.items()}

    return OodModel(
        down=tensors["lora.down"].astype(np.float32, copy=False),
        up=tensors["lora.up"].astype(np.float32, copy=False),
        layers=LayerStatistics(**part("layers")),
        machine=OneClassMachine(**part("machine")),
        mixture=Mixture(**part("mixture")),
        threshold=float(tensors["threshold"]),
    )
