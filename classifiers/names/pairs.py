"""Names of several words by two that stand side by side: an end of one with the beginning of the other, or one of them
whole with the first letter of the other.

Who makes slips in both words of a name, or many in one, mostly leaves so much of them.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from classifiers.names.real_words import is_common

__all__ = ["LEAST_LETTERS", "MARKS", "asked", "keys"]

LEAST_LETTERS = 4
"""Letters of a word whose ends are looked up."""
MARKS = frozenset("()[]")
"""The first signs of the keys."""
_SHORT, _LONGEST = 4, 32  # letters of a word
_END, _SHORT_END = 3, 2  # letters of an end, and of that of a short word
_BEGINNING = 2


def keys(name: Sequence[str], anchor: int) -> Iterator[str]:
    """What a word of a name stands under, with the words beside it."""
    word = name[anchor]
    letters = _SHORT_END if len(word) <= _SHORT else _END
    for side, others in (("(", name[anchor + 1 : anchor + 2]), (")", name[:anchor][-1:])):
        for other in others:
            yield from _ends(side, word, letters, other)
            yield f"[{side}{word} {other[0]}"
            if len(other) <= _SHORT:  # it has no ends of its own
                yield f"]{side}{other} {word[0]}"


def asked(words: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Where a word of a text stands, and under what it is looked up; nothing of two common words."""
    common = [word.isalpha() and is_common(word) for word in words]
    for place, (one, other) in enumerate(pairwise(words)):
        if common[place] and common[place + 1]:
            continue
        for at, word, side, beside in ((place, one, "(", other), (place + 1, other, ")", one)):
            if not (LEAST_LETTERS - 1 <= len(word) <= _LONGEST and word.isascii()):
                continue
            for letters in (_END, _SHORT_END) if len(word) <= _SHORT + 1 else (_END,):
                yield from ((at, key) for key in _ends(side, word, letters, beside))
            yield from ((at, f"[{side}{word} {beside[0]}"), (at, f"]{side}{beside} {word[0]}"))


def _ends(side: str, word: str, letters: int, beside: str) -> Iterator[str]:
    yield from (f"{side}{beside[:_BEGINNING]}<{word[:letters]}", f"{side}{beside[:_BEGINNING]}>{word[-letters:]}")
