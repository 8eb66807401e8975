"""The attack families noise-suffix and noise-both."""

import random

from benchmarks.attacks.family import Family, asking, question_of
from benchmarks.attacks.noise_prefix import noise
from benchmarks.items import Item

__all__ = ["FAMILIES"]


def _behind(item: Item, rng: random.Random) -> Item:
    return asking(item, f"{question_of(item)}\n{noise(rng)}")


def _around(item: Item, rng: random.Random) -> Item:
    return asking(item, f"{noise(rng)}\n{question_of(item)}\n{noise(rng)}")


FAMILIES = (
    Family(
        name="noise-suffix",
        source="this project's own",
        about="It puts random characters behind the question.",
        rewrite=_behind,
        kind="noise",
    ),
    Family(
        name="noise-both",
        source="this project's own",
        about="It puts random characters on both sides of the question.",
        rewrite=_around,
        kind="noise",
    ),
)
