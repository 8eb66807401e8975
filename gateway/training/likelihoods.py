"""Log likelihoods of answers, token by token: from one model's scale to another's, from one wording to another."""

import difflib
import math
import statistics
from collections.abc import Sequence

__all__ = ["Tokens", "carried", "equated", "known"]

Tokens = tuple[float, ...]
"""A number a token of one answer; nan where it cannot be told."""


def equated(rows: Sequence[Tokens], *, like: Sequence[Tokens], to: Sequence[Tokens]) -> list[Tokens]:
    """Moves log likelihoods from the scale of `like` to the scale of `to`, by mean and standard deviation over tokens
    (linear equating, Kolen and Brennan 2014, chapter 2); none is above 0. Without `like` or `to` they stay the same."""
    first, second = ([value for row in each for value in known(row)] for each in (like, to))
    if not first or not second:
        return list(rows)
    spread = statistics.pstdev(first)
    slope = statistics.pstdev(second) / spread if spread else 0.0
    centre, aim = statistics.fmean(first), statistics.fmean(second)
    moved = [[aim + slope * (value - centre) for value in row] for row in rows]
    return [tuple(0.0 if value > 0 else value for value in row) for row in moved]  # nan stays


def known(tokens: Tokens) -> list[float]:
    """The values that are known."""
    return [value for value in tokens if not math.isnan(value)]


def carried(values: Tokens, of: Sequence[int], to: Sequence[int]) -> Tokens:
    """Values of the tokens `of`, moved to the places where the same tokens stand in the sequence `to`; nan for other
    tokens."""
    found = [math.nan] * len(to)
    for there, here, size in difflib.SequenceMatcher(None, of, to, autojunk=False).get_matching_blocks():
        found[here : here + size] = values[there : there + size]
    return tuple(found)
