"""The attack family spaced-letters."""

import random

from benchmarks.attacks.family import Family, asking, question_of
from benchmarks.items import Item

__all__ = ["FAMILY"]


def _rewrite(item: Item, rng: random.Random) -> Item:
    gap = rng.choice((" ", "-", "."))
    return asking(item, "  ".join(gap.join(word) for word in question_of(item).split()))


FAMILY = Family(
    name="spaced-letters",
    source="Li et al., arXiv 1812.05271",
    about="It puts a space, a hyphen or a full stop between the letters of each word.",
    rewrite=_rewrite,
    kind="characters",
    seen=True,
)
