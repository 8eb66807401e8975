"""The detector of texts in other languages than English."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from classifiers.languages.encoder import MultilingualEncoder, windows_of
from classifiers.languages.identify import ENGLISH, LanguageIdentifier
from classifiers.languages.model import MATCH, MultilingualHead
from classifiers.names.aliases import LEANING
from classifiers.types import Verdict

__all__ = ["MultilingualClassifier"]

Array = NDArray[np.float32]


class MultilingualClassifier:
    """All scopes' heads over one multilingual encoder, for windows of texts that are not English. English ones cost the
    look at their language alone, and have no verdict.

    A match has no spans: nobody says which words gave a text away, so the whole of it, or of its clause, counts.
    Immutable and thread-safe; `updated` makes another one.
    """

    name = "multilingual"

    def __init__(self, encoder: MultilingualEncoder, heads: Mapping[str, MultilingualHead]) -> None:
        self._encoder = encoder
        self._identifier = LanguageIdentifier()
        self._heads = dict(heads)

    def updated(self, added: Mapping[str, MultilingualHead], removed: Collection[str]) -> "MultilingualClassifier":
        """See `classifiers.types.ScopedDetector`."""
        other = MultilingualClassifier(self._encoder, {})
        other._identifier = self._identifier
        other._heads = {scope: head for scope, head in self._heads.items() if scope not in removed} | dict(added)
        return other

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes whose heads these are."""
        return tuple(self._heads)

    def threshold_among(self, scope: str, clauses: int) -> float:
        """See `classifiers.types.ClauseDetector`."""
        return self._heads[scope].threshold_among(clauses)

    def detect(self, texts: Sequence[str]) -> list[list[Verdict]]:
        """Verdicts of the scopes that match, and of those whose score lies above 0: `confirmed` of
        `classifiers.names.aliases` reads them. The highest score of any window decides."""
        return [self._verdicts(self.foreign_windows(text)) for text in texts]

    def foreign_windows(self, text: str) -> list[tuple[str, str]]:
        """(window, language) of each window of a text that is not English; none if there is no head."""
        if not self._heads:
            return []
        found = ((window, self._identifier.language(window)) for window in windows_of(text))
        return [(window, language) for window, language in found if language != ENGLISH]

    def read(self, windows: Sequence[str]) -> None:
        """Reads windows, so that `detect` finds them read. Slow."""
        if windows:
            self._encoder.embeddings(windows)

    def _verdicts(self, windows: Sequence[tuple[str, str]]) -> list[Verdict]:
        if not windows:
            return []
        embeddings = self._encoder.embeddings([window for window, _ in windows])
        scores = {scope: _highest(head, embeddings, windows) for scope, head in self._heads.items()}
        return [
            Verdict(scope, self.name, score, MATCH, not score <= MATCH)  # a NaN is a match
            for scope, score in scores.items()
            if not score <= LEANING
        ]


def _highest(head: MultilingualHead, embeddings: Array, windows: Sequence[tuple[str, str]]) -> float:
    """The highest score of a head at embeddings [windows, hidden]; NaN if one is."""
    languages = [language for _, language in windows]
    scores = [
        head.score(embeddings[[index for index, one in enumerate(languages) if one == language]], language).max()
        for language in dict.fromkeys(languages)
    ]
    return float(np.max(scores))
