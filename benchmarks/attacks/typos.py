"""The attack family typos."""

import random
import re

from benchmarks.attacks.family import Family, asking, question_of
from benchmarks.items import Item

__all__ = ["FAMILY"]


def _rewrite(item: Item, rng: random.Random) -> Item:
    words = re.split(r"(\s+)", question_of(item))
    return asking(item, "".join(_misspelt(word, rng) if rng.random() < 2 / 3 else word for word in words))


def _misspelt(word: str, rng: random.Random) -> str:
    if len(word) < 4 or not word[1:-1].isalpha():
        return word
    place = rng.randrange(1, len(word) - 2)
    slips = (
        word[:place] + word[place + 1] + word[place] + word[place + 2 :],
        word[: place + 1] + word[place:],
        word[:place] + word[place + 1 :],
    )
    return rng.choice(slips)


FAMILY = Family(
    name="typos",
    source="Pruthi et al., arXiv 1905.11268",
    about="It misspells two of three longer words: it swaps, doubles or drops letters.",
    rewrite=_rewrite,
    kind="spelling",
    seen=True,
)
