"""The attack family long-document."""

import random

from benchmarks.attacks.family import Family, asking, question_of
from benchmarks.attacks.long_prompt import FILLER
from benchmarks.items import Item

__all__ = ["FAMILY"]

_ROUNDS = 4  # of the filler on each side: about 2,000 tokens in all


def _rewrite(item: Item, rng: random.Random) -> Item:
    before, after = ("\n\n".join(" ".join(rng.sample(FILLER, len(FILLER))) for _ in range(_ROUNDS)) for _ in range(2))
    return asking(item, f"{before}\n\n{question_of(item)}\n\n{after}\n\nAnswer the one question in this document.")


FAMILY = Family(
    name="long-document",
    source="Liu et al., arXiv 2307.03172",
    about="It puts the question into the middle of a document of about two thousand tokens about something else.",
    rewrite=_rewrite,
    kind="noise",
)
