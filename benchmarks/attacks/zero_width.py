"""The attack family zero-width."""

import random
import re

from benchmarks.attacks.family import Family, asking, question_of
from benchmarks.items import Item

__all__ = ["FAMILY"]

_ZERO_WIDTH = "\u200b\u200c\u200d\u2060"


def _rewrite(item: Item, rng: random.Random) -> Item:
    return asking(item, re.sub(r"(?<=\w)(?=\w)", lambda _: rng.choice(_ZERO_WIDTH), question_of(item)))


FAMILY = Family(
    name="zero-width",
    source="Boucher et al., arXiv 2106.09898",
    about="It puts invisible characters inside the words.",
    rewrite=_rewrite,
    kind="characters",
    seen=True,
)
