"""ECO's prompt classifier (arXiv 2406.07933, section 3.1): a head on sentence embeddings, one for each scope."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from classifiers.types import Span, Verdict

if TYPE_CHECKING:  # a head is read without the encoder, which loads torch
    from classifiers.encoder.sentence import Encoder, TokenWindow

__all__ = ["Head", "PromptClassifier"]

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


@dataclass(frozen=True, slots=True)
class Head:
    """RBF support-vector machine: `vectors` [n, hidden], `weights` [n], `bias`, `gamma`, and its threshold.

    score(x) = sum_i weights_i exp(-gamma |x - vectors_i|^2) + bias; a text is in scope if score > threshold.
    """

    vectors: Array
    weights: Array
    bias: float
    gamma: float
    threshold: float

    def score(self, embeddings: Array) -> Array:
        """Scores [windows] of embeddings [windows, hidden]."""
        return np.asarray(self._kernel(embeddings) @ self.weights + self.bias, dtype=np.float32)

    def gradient(self, embedding: Array) -> Array:
        """Gradient [hidden] of the score at one embedding [hidden]."""
        weighted = self._kernel(embedding[None])[0] * self.weights
        return np.asarray(2 * self.gamma * (weighted @ (self.vectors - embedding)), dtype=np.float32)

    def save(self, path: Path) -> None:
        """One safetensors file."""
        scalars = np.array([self.bias, self.gamma, self.threshold], dtype=np.float64)
        save_file({"vectors": self.vectors, "weights": self.weights, "bias_gamma_threshold": scalars}, path)

    @classmethod
    def load(cls, path: Path) -> "Head":
        """Raises ValueError if the file's tensors are not a head's."""
        try:
            tensors = load_file(path)
            bias, gamma, threshold = (float(value) for value in tensors["bias_gamma_threshold"])
            head = cls(tensors["vectors"], tensors["weights"], bias, gamma, threshold)
        except (KeyError, ValueError, SafetensorError) as error:
            raise ValueError(f"{path.name} holds no classifier head: {error}") from error
        if head.vectors.ndim != 2 or head.weights.shape != head.vectors.shape[:1]:
            raise ValueError(f"{path.name} holds a classifier head of inconsistent shapes")
        if not np.isfinite([bias, gamma, threshold]).all():
            raise ValueError(f"{path.name} holds a threshold that is not a number")
        return head

    def _kernel(self, embeddings: Array) -> Array:
        squared = (embeddings**2).sum(1)[:, None] + (self.vectors**2).sum(1)[None] - 2 * embeddings @ self.vectors.T
        return np.asarray(np.exp(-self.gamma * np.maximum(squared, 0)), dtype=np.float32)


class PromptClassifier:
    """All scopes' heads over one encoder: a text is encoded once, whatever the number of scopes."""

    name = "classifier"

    def __init__(self, encoder: "Encoder", heads: Mapping[str, Head]) -> None:
        for scope, head in heads.items():
            if head.vectors.shape[1] != encoder.hidden:
                raise ValueError(
                    f"the classifier of scope {scope!r} was trained on embeddings of {head.vectors.shape[1]} "
                    f"dimensions and this encoder gives {encoder.hidden}: train the pack again with this encoder"
                )
        self._encoder = encoder
        self._heads = dict(heads)

    def updated(self, added: Mapping[str, Head], removed: Collection[str]) -> "PromptClassifier":
        """See `classifiers.types.ScopedDetector`."""
        kept = {scope: head for scope, head in self._heads.items() if scope not in removed}
        return PromptClassifier(self._encoder, kept | dict(added))

    def detect(self, texts: Sequence[str]) -> list[list[Verdict]]:
        """The highest score of any window decides. The spans of a match are the salient words."""
        if not self._heads:
            return [[] for _ in texts]
        return [
            [self._verdict(scope, head, text, windows) for scope, head in self._heads.items() if len(windows)]
            for text, windows in zip(texts, self._encoder.encode(texts), strict=True)
        ]

    def _verdict(self, scope: str, head: Head, text: str, windows: Array) -> Verdict:
        score = float(head.score(windows).max())
        matched = not score <= head.threshold  # a NaN is a match
        spans = _salient(head, text, self._encoder.windows(text)) if matched else ()
        return Verdict(scope, self.name, score, head.threshold, matched, spans)


def _salient(head: Head, text: str, windows: "Sequence[TokenWindow]") -> tuple[Span, ...]:
    """The words whose token embeddings push the score up most, first order, in the windows above the threshold."""
    spans: set[Span] = set()
    for window in windows:
        if head.score(window.embedding[None])[0] > head.threshold:
            spans.update(_blamed_words(text, window, window.tokens @ head.gradient(window.embedding)))
    return tuple(sorted(spans))


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
