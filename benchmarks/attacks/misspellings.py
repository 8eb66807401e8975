"""The attack families of misspelt names: typos, sounds, neighbouring keys, and what a scanner reads wrongly."""

import random
import re
from collections.abc import Callable

from benchmarks.attacks.family import Family, renamed
from benchmarks.items import Item

__all__ = ["FAMILIES"]

_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_SOUNDS = (
    *(("ph", "f"), ("ck", "k"), ("wh", "w"), ("sh", "sch"), ("tt", "t"), ("ll", "l"), ("rr", "r"), ("ss", "s")),
    *(("c", "k"), ("qu", "kw"), ("x", "ks"), ("y", "ee"), ("ee", "ea"), ("oo", "u"), ("ow", "oe"), ("ai", "ay")),
    *(("er", "ur"), ("or", "aw"), ("s", "z"), ("v", "w"), ("f", "ph"), ("o", "oh"), ("a", "ah"), ("e", "eh")),
)
_SCANNED = (
    *(("rn", "m"), ("m", "rn"), ("l", "1"), ("o", "0"), ("d", "cl"), ("w", "vv"), ("h", "b"), ("e", "c")),
    *(("g", "q"), ("i", "l"), ("b", "6"), ("s", "5"), ("t", "f"), ("a", "o"), ("n", "ri"), ("u", "ii")),
)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _typed(name: str, slips: int, rng: random.Random) -> str:
    """The name with so many letters, none of them a word's first, doubled, dropped, swapped or replaced."""
    for _ in range(slips):
        places = [place for place in range(1, len(name)) if name[place].isalpha() and name[place - 1].isalpha()]
        if not places:
            return name
        at = rng.choice(places)
        before, letter, after = name[:at], name[at], name[at + 1 :]
        swapped = before + after[:1] + letter + after[1:] if after[:1].isalpha() else before + letter * 2 + after
        name = rng.choice((before + after, before + letter * 2 + after, before + rng.choice(_LETTERS) + after, swapped))
    return name


def _keyed(name: str, rng: random.Random) -> str:
    places = [place for place in range(1, len(name)) if name[place].casefold() in "".join(_KEYS)]
    for at in rng.sample(places, min(2, len(places))):
        row = next(row for row in _KEYS if name[at].casefold() in row)
        column = row.index(name[at].casefold())
        near = row[max(0, column - 1)] + row[min(len(row) - 1, column + 1)]
        name = name[:at] + rng.choice(near.replace(name[at].casefold(), "") or near) + name[at + 1 :]
    return name


def _replaced(name: str, pairs: tuple[tuple[str, str], ...], rng: random.Random) -> str:
    """Up to two of the pairs that fit, each at one place."""
    fitting = [pair for pair in pairs if pair[0] in name.casefold()[1:]]
    for wrong, heard in rng.sample(fitting, min(2, len(fitting))):
        places = [match.start() for match in re.finditer(re.escape(wrong), name.casefold()) if match.start()]
        if places:
            at = rng.choice(places)
            name = name[:at] + heard + name[at + len(wrong) :]
    return name


def _initials(name: str, rng: random.Random) -> str:
    letters = [word[0] for word in name.split()]
    return rng.choice(("".join(letters), ".".join(letters) + ".", ". ".join(letters) + "."))


def _family(name: str, about: str, change: Callable[[str, random.Random], str], *, seen: bool = False) -> Family:
    def rewrite(item: Item, rng: random.Random) -> Item | None:
        changed = renamed(item, lambda found: change(found, rng))
        return changed if changed and changed.messages != item.messages else None

    return Family(name, "Pruthi et al., arXiv 1905.11268", f"It {about}.", rewrite, kind="spelling", seen=seen)


FAMILIES = (
    _family("name-typo-1", "makes one slip in each name", lambda name, rng: _typed(name, 1, rng), seen=True),
    _family("name-typo-2", "makes two slips in each name", lambda name, rng: _typed(name, 2, rng)),
    _family("name-typo-3", "makes three slips in each name", lambda name, rng: _typed(name, 3, rng)),
    _family("name-phonetic", "spells names as they sound", lambda name, rng: _replaced(name, _SOUNDS, rng)),
    _family("name-initials", "leaves of names their initials", _initials),
    _family("name-keyboard", "hits neighbouring keys twice in each name", _keyed),
    _family(
        "name-scanned", "spells names as a scanner misreads them", lambda name, rng: _replaced(name, _SCANNED, rng)
    ),
)
