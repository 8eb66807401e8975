"""What an attack family is: one way to dress a question so that a gate may miss it."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.items import Item

__all__ = ["Family", "asking", "question_of"]


@dataclass(frozen=True, slots=True)
class Family:
    """An attack family.

    `name` names its slice ("attack/NAME"), `source` the paper that describes it, `about` says what it does.
    `rewrite` turns a chat item into another one that asks for the same answer, or into None where it cannot (an item
    without wrong answers has nothing to choose among, say). It takes every random choice from the generator that it
    is given, so that the same seed gives the same text; and it reads the item alone.

    Example, a file of its own in this folder, with a line in registry.py:

        def _rewrite(item: Item, rng: random.Random) -> Item:
            return asking(item, f"{question_of(item)} {rng.choice(('Please!', 'Hurry!'))}")

        FAMILY = Family(name="begging", source="this project's own", about="It begs.", rewrite=_rewrite)
    """

    name: str
    source: str
    about: str
    rewrite: Callable[[Item, random.Random], Item | None]


def question_of(item: Item) -> str:
    """The text of the last message."""
    return item.messages[-1].text


def asking(item: Item, text: str) -> Item:
    """The item with another text in its last message."""
    return replace(item, messages=(*item.messages[:-1], replace(item.messages[-1], text=text)))
