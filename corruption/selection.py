"""Which prompt tokens to corrupt: those that overlap a selected range, and never tokens of the template."""

import hashlib
from collections.abc import Sequence

__all__ = ["message_seed", "tokens_in"]

Range = tuple[int, int]


def tokens_in(offsets: Sequence[Range], ranges: Sequence[Range]) -> list[int]:
    """Indices of the tokens whose half-open character range overlaps one of `ranges`; an empty token (a marker) never
    does."""
    return [
        index
        for index, (start, end) in enumerate(offsets)
        if end > start and any(start < stop and end > begin for begin, stop in ranges)
    ]


def message_seed(scope: str, text: str) -> int:
    """A seed of the message: it gets the same noise in every request and every turn, so that answers do not flicker."""
    return int.from_bytes(hashlib.sha256(f"{scope}\0{text}".encode()).digest()[:6], "big")
