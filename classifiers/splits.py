"""The one split of a scope's rows: those for the training, and those for the figures."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["HELD_OUT_SHARE", "Part", "Split", "split_rows"]

HELD_OUT_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Part:
    """The prompts of one kind of row. A training may choose, fit and calibrate on `train`, and only measure on
    `held_out`. `every` holds both in the order of the file, for the last fit after all figures are measured."""

    every: tuple[str, ...]
    train: tuple[str, ...]
    held_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """A scope's forget and retain prompts, each in two parts. A training makes it once and gives it to the gate, to the
    detector and to the method, so that none of them learns from rows on which another is measured."""

    forget: Part
    retain: Part


def split_rows(forget: Sequence[str], retain: Sequence[str], *, seed: int, share: float = HELD_OUT_SHARE) -> Split:
    """Holds some rows out, by a shuffle that repeats for a seed.

    Of two or more rows at least one is held out, and at least one is left to train on; a single row is not held out.
    Raises ValueError for fewer than two forget rows, or for a prompt that is there twice: it would be on both sides.

    Args:
        forget: prompts inside the scope.
        retain: prompts near the scope, but outside. May be empty.
        seed: of the shuffle.
        share: how much of each kind is held out, between 0 and 1.
    """
    if len(forget) < 2:
        raise ValueError(f"at least two forget rows are needed, one to learn from and one to measure on: {len(forget)}")
    return Split(_part(forget, seed, share), _part(retain, seed, share))


def _part(rows: Sequence[str], seed: int, share: float) -> Part:
    if len(set(rows)) < len(rows):
        raise ValueError("a prompt stands twice among the rows; take one of the two out")
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    held = min(max(1, round(share * len(rows))), len(rows) - 1) if rows else 0
    return Part(tuple(rows), tuple(shuffled[held:]), tuple(shuffled[:held]))
