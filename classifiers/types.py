"""What every detector speaks: texts in, verdicts out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Detector", "Span", "Verdict"]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Half-open range of characters of one message; offsets count in the text as the client sent it."""

    message: int
    start_char: int
    end_char: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """One detector on one text for one scope. `matched` means the text is inside the scope; `weight` is how surely
    inside, 0 to 1, for plans that have a strength."""

    scope: str
    detector: str
    score: float
    threshold: float
    matched: bool
    spans: tuple[Span, ...] = ()
    weight: float = 1.0


class Detector(Protocol):
    """Is a text inside a forget scope? Implementations are read-only after construction and thread-safe."""

    @property
    def name(self) -> str:
        """Short name for audit lines and metrics."""

    def detect(self, texts: Sequence[str]) -> list[list[Verdict]]:
        """For each text the verdicts on it, every `Span.message` being 0. Scopes that are far off may be absent."""
