"""One scope's head for texts that are not English, and where each language lies."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from classifiers.languages.contrast import contrasted
from classifiers.languages.groups import LANGUAGES, OTHER, group_of
from classifiers.svm.model import Head

__all__ = ["MATCH", "Measure", "MultilingualHead", "Place", "centred", "has_contrast", "nearest_place"]

Array = NDArray[np.float32]
MATCH = 1.0
"""The score above which a text is inside the scope, in every language."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a language lies: the mean [hidden] of its out-of-scope embeddings, and how the head scores such prompts:
    half of them below `middle`, with the standard deviation `spread`."""

    centre: Array
    middle: float
    spread: float


@dataclass(frozen=True, slots=True)
class Measure:
    """How the scores of a head are measured: `bands` (middle, spread) of each place, and the rest as in
    `MultilingualHead`."""

    bands: Mapping[str, tuple[float, float]]
    leaning: float
    matching: float
    tail: float

    @property
    def limit(self) -> float:
        """The head's score up to which a text lies below the boundary in every language."""
        return min(middle + self.leaning * spread for middle, spread in self.bands.values())

    def measured(self, score: Array | float, place: str) -> Array:
        """Scores of the head at a place: 0 at the boundary, `MATCH` at the threshold."""
        middle, spread = self.bands[place]
        deviations = (score - middle) / spread
        return np.asarray((deviations - self.leaning) / (self.matching - self.leaning), dtype=np.float32)

    def threshold_among(self, texts: int) -> float:
        """The threshold that so many texts together pass as rarely as one passes `MATCH`: beyond the boundary the share
        of out-of-scope prompts is taken to fall off exponentially (see `Head.threshold_among`)."""
        return MATCH + float(np.log(max(1, texts)) / -np.log(self.tail))


@dataclass(frozen=True, slots=True)
class MultilingualHead:
    """`head` scores an embedding that is centred by its language, and `contrast` times the contrast of its points is
    added (`classifiers.languages.contrast`): a support-vector machine gains by it, a head of few points does not. In
    each language the score of an out-of-scope prompt is then measured in standard deviations: `leaning` of them are the
    boundary from which a doubtful name has a second sign, and `matching` of them are the threshold. `tail` is the share
    of out-of-scope prompts above the threshold to that above the boundary. `places` has each shipped language, each
    group and `OTHER`."""

    head: Head
    places: Mapping[str, Place]
    leaning: float
    matching: float
    tail: float
    contrast: float = 0.0

    @property
    def measure(self) -> Measure:
        """How scores are measured."""
        bands = {name: (place.middle, place.spread) for name, place in self.places.items()}
        return Measure(bands, self.leaning, self.matching, self.tail)

    def place(self, language: str) -> Place:
        """See `nearest_place`. The place of a group is the most careful one of it (see
        `classifiers.languages.training`)."""
        return self.places[nearest_place(language, self.places)]

    def score(self, embeddings: Array, language: str) -> Array:
        """Scores [windows] of embeddings [windows, hidden]: 0 at the boundary, `MATCH` at the threshold."""
        place = nearest_place(language, self.places)
        moved = centred(embeddings, self.places[place].centre)
        weight = self.contrast if has_contrast(place) else 0.0
        return self.measure.measured(contrasted(self.head, weight, moved), place)

    def threshold_among(self, texts: int) -> float:
        """See `Measure`."""
        return self.measure.threshold_among(texts)

    def save(self, path: Path) -> None:
        """One safetensors file."""
        if self.head.scales is None:
            raise ValueError("a head in 8 bits is needed")
        names = list(self.places)
        places = list(self.places.values())
        tensors = {
            "vectors": self.head.vectors,
            "scales": self.head.scales,
            "weights": self.head.weights,
            "bias_gamma": np.array([self.head.bias, self.head.gamma], dtype=np.float64),
            "centres": np.stack([place.centre for place in places]),
            "middle_spread": np.array([(place.middle, place.spread) for place in places], dtype=np.float64),
            "leaning_matching_tail": np.array([self.leaning, self.matching, self.tail], dtype=np.float64),
            "contrast": np.array([self.contrast], dtype=np.float64),
        }
        save_file(tensors, path, metadata={"places": " ".join(names)})

    @classmethod
    def load(cls, path: Path) -> "MultilingualHead":
        """Raises ValueError if the file's tensors are not such a head's."""
        try:
            with safe_open(path, framework="numpy") as file:
                names = (file.metadata() or {})["places"].split()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
            bias, gamma = (float(value) for value in tensors["bias_gamma"])
            leaning, matching, tail = (float(value) for value in tensors["leaning_matching_tail"])
            (weight,) = (float(value) for value in tensors.get("contrast", (0.0,)))  # older files have none
            head = Head(tensors["vectors"], tensors["weights"], bias, gamma, 0.0, tensors["scales"])
            rows = zip(names, tensors["centres"], tensors["middle_spread"], strict=True)
            places = {name: Place(centre, float(pair[0]), float(pair[1])) for name, centre, pair in rows}
        except (KeyError, ValueError, IndexError, SafetensorError) as error:
            raise ValueError(f"{path.name} holds no head for other languages: {error}") from error
        _check(path, head, places, np.array([bias, gamma, leaning, matching, tail, weight]))
        return cls(head, places, leaning, matching, tail, weight)


def nearest_place(language: str, places: Collection[str]) -> str:
    """The language itself, if it has a place; else its group; else all languages."""
    return next((name for name in (language, group_of(language)) if name in places), OTHER)


def has_contrast(place: str) -> bool:
    """Whether contrasts count at a place: not at that of a group, whose centre is not the language's own. What stands
    off the centre is off to one side, and would count as a contrast."""
    return place in LANGUAGES


def centred(embeddings: Array, centre: Array) -> Array:
    """[rows, hidden] without what all texts of a language share, L2-normalised."""
    moved = embeddings - centre
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.asarray(moved / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def _check(path: Path, head: Head, places: Mapping[str, Place], scalars: NDArray[np.float64]) -> None:
    _, _, leaning, matching, tail, _ = scalars
    numbers = [*scalars, *(number for place in places.values() for number in (place.middle, place.spread))]
    if head.vectors.ndim != 2 or head.weights.shape != head.vectors.shape[:1] or OTHER not in places:
        raise ValueError(f"{path.name} holds a head for other languages of inconsistent shapes")
    if not np.isfinite(numbers).all() or any(place.spread <= 0 for place in places.values()):
        raise ValueError(f"{path.name} holds a place that is not a number")
    if matching <= leaning or not 0 < tail < 1:
        raise ValueError(f"{path.name} holds a threshold below its boundary")
