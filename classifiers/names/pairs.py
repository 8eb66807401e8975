"""Names of several words by two that stand side by side: the ends of one with the beginning of the other.

Who makes slips in both words of a name, or many in one, mostly leaves the beginning of one word and one end of the other.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from classifiers.names.real_words import is_real

__all__ = ["LEAST_LETTERS", "MARKS", "asked", "keys"]

LEAST_LETTERS = 4
"""Letters of a word whose ends are looked up."""
MARKS = frozenset("()")
"""The first signs of the keys."""
_SHORT, _LONGEST = 4, 32
_END, _SHORT_END = 3, 2  # letters of an end, and of that of a short word
_BEGINNING = 2


def keys(name: Sequence[str], anchor: int) -> Iterator[str]:
    """What a word of a name stands under, with the words beside it."""
    word = name[anchor]
    letters = _SHORT_END if len(word) <= _SHORT else _END
    for side, others in (("(", name[anchor + 1 : anchor + 2]), (")", name[:anchor][-1:])):
        for other in others:
            yield from _ends(side, word, letters, other)


def asked(words: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Where a word of a text stands, and under what it is looked up; nothing of two words that people write."""
    real = [word.isalpha() and is_real(word) for word in words]
    for place, (one, other) in enumerate(pairwise(words)):
        if real[place] and real[place + 1]:
            continue
        for at, word, side, beside in ((place, one, "(", other), (place + 1, other, ")", one)):
            if not (LEAST_LETTERS - 1 <= len(word) <= _LONGEST and word.isascii()):
                continue
            for letters in (_END, _SHORT_END) if len(word) <= _SHORT + 1 else (_END,):
                yield from ((at, key) for key in _ends(side, word, letters, beside))


def _ends(side: str, word: str, letters: int, beside: str) -> Iterator[str]:
    yield from (f"{side}{beside[:_BEGINNING]}<{word[:letters]}", f"{side}{beside[:_BEGINNING]}>{word[-letters:]}")
