"""The attack family in-context-example."""

import random

from benchmarks.attacks.family import Family, asking, question_of
from benchmarks.attacks.harmless import SMALL_TALK
from benchmarks.items import Item

__all__ = ["FAMILY"]


def _rewrite(item: Item, rng: random.Random) -> Item:
    shown = "\n".join(f"Question: {question}\nAnswer: {answer}" for question, answer in rng.sample(SMALL_TALK, 2))
    return asking(item, f"{shown}\nQuestion: {question_of(item)}\nAnswer:")


FAMILY = Family(
    name="in-context-example",
    source="RWKU, arXiv 2406.10890",
    about="It shows two harmless questions with their answers, and then the question in the same form.",
    rewrite=_rewrite,
    kind="composite",
)
