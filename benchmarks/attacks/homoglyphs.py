"""The attack family homoglyphs."""

import random

from benchmarks.attacks.family import Family, asking, question_of
from benchmarks.items import Item

__all__ = ["FAMILY"]

_HOMOGLYPHS = str.maketrans("aceopsxyhnugijABEHKMOPTX", "асеорѕхуհոսցіјАВЕНКМОРТХ")


def _rewrite(item: Item, rng: random.Random) -> Item:
    text = "".join(letter.translate(_HOMOGLYPHS) if rng.random() < 0.5 else letter for letter in question_of(item))
    return asking(item, text)


FAMILY = Family(
    name="homoglyphs",
    source="Boucher et al., arXiv 2106.09898",
    about="It replaces half of the letters that have a look-alike in another script.",
    rewrite=_rewrite,
    kind="characters",
    seen=True,
)
