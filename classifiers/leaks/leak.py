"""What an answer gives away, and where."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Leak", "LeakKind"]

LeakKind = Literal["name", "fact", "passage", "failure"]


@dataclass(frozen=True, slots=True)
class Leak:
    """The first character of an answer that must not be sent, and what stands there."""

    scope: str
    kind: LeakKind
    start: int
