"""Which prompt tokens to corrupt: those that share a character with a selected range, and never the template's."""

import hashlib
from collections.abc import Sequence

__all__ = ["message_seed", "tokens_in"]

Range = tuple[int, int]


def tokens_in(offsets: Sequence[Range], ranges: Sequence[Range]) -> list[int]:
    """Indices of tokens whose half-open character range meets one of `ranges`; empty tokens (markers) never do."""
    return [
        index
        for index, (start, end) in enumerate(offsets)
        if end > start and any(start < stop and end > begin for begin, stop in ranges)
    ]


def message_seed(scope: str, text: str) -> int:
    """The same message meets the same noise in every request and every turn, so answers do not flicker."""
    return int.from_bytes(hashlib.sha256(f"{scope}\0{text}".encode()).digest()[:6], "big")
