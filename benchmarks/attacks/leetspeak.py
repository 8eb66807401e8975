"""The attack family leetspeak."""

import random

from benchmarks.attacks.family import Family, asking, question_of
from benchmarks.items import Item

__all__ = ["FAMILY", "LEET"]

LEET = str.maketrans("aeiostAEIOST", "431057431057")


def _rewrite(item: Item, rng: random.Random) -> Item:
    text = "".join(letter.translate(LEET) if rng.random() < 2 / 3 else letter for letter in question_of(item))
    return asking(item, text)


FAMILY = Family(
    name="leetspeak",
    source="Wei et al., arXiv 2307.02483",
    about="It replaces letters by the digits that resemble them, two times in three.",
    rewrite=_rewrite,
    kind="characters",
    seen=True,
)
