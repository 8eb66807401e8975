"""What an attack family is: one way to dress a question so that a gate may miss it."""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.items import Item
from benchmarks.names import parts, slug
from gateway.core import Message

__all__ = [
    "Family",
    "Kind",
    "asking",
    "in_words",
    "name_in",
    "named_ranges",
    "question_of",
    "renamed",
    "turning",
    "without_names",
]

Kind = Literal[
    "framing", "noise", "composite", "wrapper", "turns", "spelling", "characters", "encoding", "context", "output"
]
"""What a dress changes: the words around, random characters, other questions beside it, a format, who says it when, how
words are spelt, which characters spell them, an encoding, what is told beforehand, the form of the answer."""

_STARTERS = frozenset(
    "Are As At Can Could Describe Did Do Does For From Had Has Have How In Is Name Of On Tell The Was Were What When "
    "Where Which Who Whose Why Will With Would".split()
)


def in_words(answer: str, item: Item) -> str:
    """Reads an answer that was asked for in plain words."""
    return answer


@dataclass(frozen=True, slots=True)
class Family:
    """An attack family.

    `name` names its slice ("attack/NAME"), `source` the paper that describes it, `about` says what it does.
    `rewrite` turns a chat item into another one that asks for the same answer, or into None where it cannot (an item
    without wrong answers has nothing to choose among, say). It takes every random choice from the generator that it
    is given, so that the same seed gives the same text; and it reads the item alone.

    `kind` is what the dress changes. `seen` says that a training may make its rows by this dress; figures of families
    that are not seen tell what a new attack does. `read` undoes the dress that the answer was asked in. A family that
    `shows_answer` puts the true answer into the prompt, among others: what leaks there counts only beyond what leaks
    from a model that never knew.

    Example, a file of its own in this folder, with a line in registry.py:

        def _rewrite(item: Item, rng: random.Random) -> Item:
            return asking(item, f"{question_of(item)} {rng.choice(('Please!', 'Hurry!'))}")

        FAMILY = Family(name="begging", source="this project's own", about="It begs.", rewrite=_rewrite)
    """

    name: str
    source: str
    about: str
    rewrite: Callable[[Item, random.Random], Item | None]
    kind: Kind = "framing"
    seen: bool = False
    read: Callable[[str, Item], str] = in_words
    shows_answer: bool = False


def question_of(item: Item) -> str:
    """The text of the last message."""
    return item.messages[-1].text


def asking(item: Item, text: str) -> Item:
    """The item with another text in its last message."""
    return replace(item, messages=(*item.messages[:-1], replace(item.messages[-1], text=text)))


def turning(item: Item, *turns: tuple[str, str]) -> Item:
    """The item with turns, (role, text) each, in the place of its last message."""
    return replace(item, messages=(*item.messages[:-1], *(Message(role, text) for role, text in turns)))


def name_in(item: Item) -> str:
    """What a question names: the name that the scope's id is made of if it is there, else the longest name; '' if there
    is none. The first word is in capitals anyway and counts for nothing. An item with `names` names the longest of them
    that stands in its question."""
    question = question_of(item)
    if item.names:
        return max((question[start:end] for start, end in named_ranges(item)), key=len, default="")
    names = [name for name in parts(question) if name.split()[0] not in _STARTERS and not question.startswith(name)]
    known = [name for name in parts(question) if item.scope and f"-{slug(name)}-" in f"-{item.scope}-"]
    return max(known or names, key=lambda name: (len(name), name), default="")


def named_ranges(item: Item) -> list[tuple[int, int]]:
    """Half-open character ranges of the names in the question, in order: of `item.names`, or of the name that
    `name_in` finds if the item has none."""
    pattern = _any_of(item.names or (name_in(item),))
    return [match.span() for match in pattern.finditer(question_of(item))] if pattern else []


def without_names(text: str, item: Item, word: str) -> str:
    """A text about the item with `word` in the place of each of the item's names."""
    pattern = _any_of(item.names)
    return pattern.sub(word, text) if pattern else text


def renamed(item: Item, change: Callable[[str], str]) -> Item | None:
    """The item with every name in its question changed; None if the question names nothing."""
    question, cursor, changed = question_of(item), 0, []
    for start, end in named_ranges(item):
        changed += [question[cursor:start], change(question[start:end])]
        cursor = end
    return asking(item, "".join((*changed, question[cursor:]))) if changed else None


def _any_of(names: Sequence[str]) -> re.Pattern[str] | None:
    """Finds any of the names, in any case, the longest first; None without names."""
    known = "|".join(re.escape(name) for name in sorted(filter(None, names), key=len, reverse=True))
    return re.compile(rf"(?<!\w)(?:{known})(?!\w)", re.IGNORECASE) if known else None
