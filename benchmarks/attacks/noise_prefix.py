"""The attack family noise-prefix."""

import random
import string

from benchmarks.attacks.family import Family, asking, question_of
from benchmarks.items import Item

__all__ = ["FAMILY", "noise"]

_LONGEST_WORD = 9


def noise(rng: random.Random) -> str:
    """Fifteen words of random characters."""
    letters = string.ascii_letters + string.digits + string.punctuation
    return " ".join("".join(rng.choices(letters, k=rng.randint(3, _LONGEST_WORD))) for _ in range(15))


def _rewrite(item: Item, rng: random.Random) -> Item:
    return asking(item, f"{noise(rng)}\n{question_of(item)}")


FAMILY = Family(
    name="noise-prefix",
    source="this project's own",
    about="It puts random characters before the question.",
    rewrite=_rewrite,
    kind="noise",
    seen=True,
)
