"""The protocol of every detector: texts in, verdicts out."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

__all__ = ["ClauseDetector", "Detector", "ScopedDetector", "Span", "Verdict"]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Half-open range of characters of one message; offsets count in the text as the client sent it."""

    message: int
    start_char: int
    end_char: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one detector says of one text and one scope. `matched`: the text is inside the scope. `weight`, in (0, 1],
    is how sure the detector is of that; the plan gives it to an adapter."""

    scope: str
    detector: str
    score: float
    threshold: float
    matched: bool
    spans: tuple[Span, ...] = ()
    weight: float = 1.0


class Detector(Protocol):
    """Tells whether a text is inside a forget scope. An object is read-only once it is made, and thread-safe.

    Example: a detector that flags texts in capitals.
        >>> class Capitals:
        ...     name = "capitals"
        ...     def detect(self, texts):
        ...         return [[Verdict("oz", self.name, 1.0, 0.5, True)] if text.isupper() else [] for text in texts]
        >>> [[verdict.scope for verdict in verdicts] for verdicts in Capitals().detect(["WHO IS OZ?", "Hello"])]
        [['oz'], []]
    """

    @property
    def name(self) -> str:
        """Short name for audit lines and metrics."""

    def detect(self, texts: Sequence[str]) -> list[list[Verdict]]:
        """For each text, the verdicts on it. Every `Span.message` is 0. A scope that is far off may have no verdict."""


class ScopedDetector(Detector, Protocol):
    """A detector of many scopes, made of what was learned of each."""

    def updated(self, added: Mapping[str, Any], removed: Collection[str]) -> Self:
        """The detector with further scopes and without others; it shares what did not change. A scope in `added` that
        is there already is replaced. Raises ValueError for numbers that it cannot take."""


@runtime_checkable
class ClauseDetector(ScopedDetector, Protocol):
    """A detector that may read the clauses of a text, too. A text of many clauses has as many chances to match."""

    def threshold_among(self, scope: str, clauses: int) -> float:
        """What one of so many clauses must pass, so that a text is flagged no more often than one of a single
        clause."""
