"""The detector of texts in other languages than English."""

import unicodedata
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from classifiers.languages.encoder import MultilingualEncoder, windows_of
from classifiers.languages.identify import ENGLISH, LanguageIdentifier
from classifiers.languages.index import LanguageIndex
from classifiers.languages.model import MATCH, MultilingualHead
from classifiers.names.aliases import LEANING
from classifiers.types import Verdict

__all__ = ["MultilingualClassifier"]


class MultilingualClassifier:
    """All scopes' heads over one multilingual encoder, for windows of texts that are not English. English ones cost the
    look at their language alone, and have no verdict.

    A match has no spans: nobody says which words gave a text away, so the whole of it, or of its clause, counts.
    Immutable and thread-safe; `updated` makes another one.
    """

    name = "multilingual"

    def __init__(self, encoder: MultilingualEncoder, heads: Mapping[str, MultilingualHead]) -> None:
        """`heads` is read once, in order, and not kept."""
        self._encoder = encoder
        self._identifier = LanguageIdentifier()
        self._heads = LanguageIndex().updated(heads, ())

    def updated(self, added: Mapping[str, MultilingualHead], removed: Collection[str]) -> "MultilingualClassifier":
        """See `classifiers.types.ScopedDetector`."""
        other = MultilingualClassifier(self._encoder, {})
        other._identifier = self._identifier
        other._heads = self._heads.updated(added, removed)
        return other

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes whose heads these are."""
        return self._heads.scopes

    def threshold_among(self, scope: str, clauses: int) -> float:
        """See `classifiers.types.ClauseDetector`."""
        return self._heads.measure(scope).threshold_among(clauses)

    def detect(self, texts: Sequence[str]) -> list[list[Verdict]]:
        """Verdicts of the scopes that match, and of those whose score lies above 0: `confirmed` of
        `classifiers.names.aliases` reads them. The highest score of any window decides."""
        return [self._verdicts(self.foreign_windows(text)) for text in texts]

    def foreign_windows(self, text: str) -> list[tuple[str, str]]:
        """(window, language) of each window of a text that is not English; none if there is no head. Letters of another
        width or font are read as plain ones: they are no other language."""
        if not len(self._heads):
            return []
        plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
        found = ((window, self._identifier.language(window)) for window in windows_of(plain))
        return [(window, language) for window, language in found if language != ENGLISH]

    def read(self, windows: Sequence[str]) -> None:
        """Reads windows, so that `detect` finds them read. Slow."""
        if windows:
            self._encoder.embeddings(windows)

    def _verdicts(self, windows: Sequence[tuple[str, str]]) -> list[Verdict]:
        if not windows:
            return []
        embeddings = self._encoder.embeddings([window for window, _ in windows])
        languages = np.array([language for _, language in windows])
        scores: dict[str, float] = {}
        for language in dict.fromkeys(languages.tolist()):
            for scope, score in self._heads.scores(embeddings[languages == language], language).items():
                scores[scope] = float(np.maximum(score, scores.get(scope, -np.inf)))
        return [
            Verdict(scope, self.name, score, MATCH, not score <= MATCH)  # a NaN is a match
            for scope, score in scores.items()
            if not score <= LEANING
        ]
