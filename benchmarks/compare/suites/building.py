"""Tools of all suites: they make items of questions and texts, cut texts into rows, and draw seeded samples."""

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from benchmarks.items import Item
from gateway.core import Message
from gateway.training.scope_file import Row

__all__ = ["asking", "continuing", "cut", "dealt", "halves", "pieces", "row_of", "sampled", "validating"]

_T = TypeVar("_T")
_WORD = re.compile(r"\S+")


def asking(part: str, number: int | str, question: str, answer: str, **more: Any) -> Item:
    """A chat item of the slice `part`, in which its `number` is unique: one message of the user's."""
    return Item(f"{part}/{number:0>4}", part, (Message("user", question),), answer, **more)


def continuing(part: str, number: int, text: Row, **more: Any) -> Item:
    """A completions item: the start of a text, and its rest, which begins with the space between the two."""
    start = (Message("prompt", text.prompt),)
    return Item(f"{part}/{number:04}", part, start, f" {text.response}", endpoint="completions", **more)


def validating(inside: Iterable[Item], outside: Iterable[Item], scope: str) -> tuple[Item, ...]:
    """The items of a validation: `inside` become the slice "forget" of the rehearsed `scope`, `outside` the slice
    "retain"."""
    return (
        *(replace(item, id=f"validation/{item.id}", slice="forget", scope=scope) for item in inside),
        *(replace(item, id=f"validation/{item.id}", slice="retain", scope=None) for item in outside),
    )


def row_of(item: Item) -> Row:
    """The question of an item and its answer, for teaching or for a forget request."""
    return Row(prompt=item.prompt, response=item.answer)


def cut(text: str, words: int) -> Row:
    """The first `words` words of a text, and the rest. Raises ValueError if either has none."""
    starts = [match.start() for match in _WORD.finditer(text)]
    if not 0 < words < len(starts):
        raise ValueError(f"a text of {len(starts)} words cannot be cut after {words}")
    return Row(prompt=text[: starts[words]], response=text[starts[words] :])


def halves(text: str) -> Row:
    """The first half of a text's words, and the second."""
    return cut(text, len(_WORD.findall(text)) // 2)


def pieces(text: str, chars: int) -> list[str]:
    """A text in pieces of like length, cut between words, of at most about `chars` characters."""
    words = _WORD.findall(text)
    count = max(1, -(-len(text) // chars))
    each = max(2, -(-len(words) // count))
    return [" ".join(words[start : start + each]) for start in range(0, len(words), each)]


def sampled(rows: Sequence[_T], count: int, seed: str) -> tuple[_T, ...]:
    """At most `count` of the rows, in the order that they stand in."""
    if count >= len(rows):
        return tuple(rows)
    return tuple(rows[place] for place in sorted(random.Random(seed).sample(range(len(rows)), count)))


def dealt(rows: Sequence[_T], counts: Sequence[int], seed: str) -> list[tuple[_T, ...]]:
    """Samples of these sizes that share no row, as far as there are rows; then the rows that are left."""
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    hands: list[tuple[_T, ...]] = []
    for count in counts:
        hand, order = order[:count], order[count:]
        hands.append(tuple(rows[place] for place in sorted(hand)))
    return [*hands, tuple(rows[place] for place in sorted(order))]
