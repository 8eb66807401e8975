"""Which prompt tokens to corrupt: those that share a character with a selected range, and never the template's."""

from collections.abc import Sequence

__all__ = ["tokens_in"]

Range = tuple[int, int]


def tokens_in(offsets: Sequence[Range], ranges: Sequence[Range]) -> list[int]:
    """Indices of tokens whose half-open character range meets one of `ranges`; empty tokens (markers) never do."""
    return [
        index
        for index, (start, end) in enumerate(offsets)
        if end > start and any(start < stop and end > begin for begin, stop in ranges)
    ]
