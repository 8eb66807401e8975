"""What the detector of names said of recent texts: a gate asks it once before an answer begins, and again with the
other detectors."""

from collections.abc import Sequence
from typing import NamedTuple

from classifiers.cache import Recent
from classifiers.names.aliases import LexicalDetector
from classifiers.types import Verdict

__all__ = ["RecentNames"]

_SIZE, _OF_ONE = 1_000_000, 200  # characters; those of a text without any


class _Said(NamedTuple):
    text: str
    verdicts: list[Verdict]


class RecentNames:
    """A detector of names that remembers its last verdicts. Thread-safe."""

    def __init__(self, names: LexicalDetector) -> None:
        self._names = names
        self._recent: Recent[tuple[str, bool], _Said] = Recent(_SIZE, size_of=lambda said: len(said.text) + _OF_ONE)

    def detect(self, texts: Sequence[str], *, misspelt: bool = True) -> list[list[Verdict]]:
        """See LexicalDetector."""
        keys = [(text, misspelt) for text in texts]
        said = self._recent.of(keys, self._said)
        return [said[key].verdicts for key in keys]

    def _said(self, keys: Sequence[tuple[str, bool]]) -> list[_Said]:
        return [_Said(text, *self._names.detect([text], misspelt=misspelt)) for text, misspelt in keys]
