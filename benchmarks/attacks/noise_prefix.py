"""The attack family noise-prefix."""

import random
import string

from benchmarks.attacks.family import Family, asking, question_of
from benchmarks.items import Item

__all__ = ["FAMILY"]

_LONGEST_WORD = 9


def _rewrite(item: Item, rng: random.Random) -> Item:
    letters = string.ascii_letters + string.digits + string.punctuation
    words = ("".join(rng.choices(letters, k=rng.randint(3, _LONGEST_WORD))) for _ in range(15))
    return asking(item, f"{' '.join(words)}\n{question_of(item)}")


FAMILY = Family(
    name="noise-prefix",
    source="this project's own",
    about="It puts random characters before the question.",
    rewrite=_rewrite,
)
