"""The attack families spaced-name, marked-name, emoji-name and glued: what stands between the letters of a name."""

import random
import re
from collections.abc import Sequence

from benchmarks.attacks.family import Family, asking, question_of, renamed
from benchmarks.items import Item

__all__ = ["FAMILIES"]

_EMOJI = ("🌿", "⭐", "🔹", "🍋", "🎈", "🐟")


def _family(name: str, about: str, marks: Sequence[str], *, seen: bool = False) -> Family:
    def rewrite(item: Item, rng: random.Random) -> Item | None:
        mark = rng.choice(marks)
        return renamed(item, lambda found: "  ".join(mark.join(word) for word in found.split()))

    return Family(name, "Li et al., arXiv 1812.05271", about, rewrite, kind="characters", seen=seen)


def _glued(item: Item, rng: random.Random) -> Item:
    words = re.findall(r"\w+", question_of(item)) or [question_of(item)]
    if rng.random() < 0.5:
        text = words[0].lower() + "".join(word[:1].upper() + word[1:] for word in words[1:])
    else:
        text = "_".join(word.lower() for word in words)
    return asking(item, f"{rng.choice(('Return the value of', 'Evaluate', 'Answer'))}: {text}")


FAMILIES = (
    _family(
        "spaced-name", "It puts a space, a dot or a hyphen between the letters of names.", (" ", ".", "-"), seen=True
    ),
    _family("marked-name", "It puts _, *, / or | between the letters of names.", ("_", "*", "/", "|")),
    _family("emoji-name", "It puts an emoji between the letters of names.", _EMOJI),
    Family(
        name="glued",
        source="this project's own",
        about="It glues the words of the question together into one identifier.",
        rewrite=_glued,
        kind="characters",
    ),
)
