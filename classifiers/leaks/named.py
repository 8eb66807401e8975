"""Names as letters, as answers are watched for them in disguise."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

from classifiers.names.boundaries import Letters
from classifiers.names.ordinary import Alias

__all__ = ["LEAST_LETTERS", "Named", "all_named"]

LEAST_LETTERS = 6
"""Of a name that is looked for: shorter ones stand in odd text by chance."""


@dataclass(frozen=True, slots=True)
class Named:
    """A name as letters. A text may have a space before each of the letters in `breaks`."""

    scope: str
    name: str
    letters: str
    breaks: tuple[int, ...]
    counts: bool
    glued: ClassVar[bool] = False

    @property
    def words(self) -> tuple[str, ...]:
        """Its words."""
        starts, ends = (0, *self.breaks), (*self.breaks, len(self.letters))
        return tuple(self.letters[start:end] for start, end in zip(starts, ends, strict=True))

    def said(self, letters: str, breaks: tuple[int, ...]) -> "Named":
        """The same name in other letters."""
        return Named(self.scope, self.name, letters, breaks, self.counts)


def all_named(scope: str, names: Iterable[str | Alias]) -> Iterator[Named]:
    """The aliases of a scope as letters: those that have enough of them, Latin ones alone."""
    for name in names:
        alias = Alias(name) if isinstance(name, str) else name
        words = Letters(alias.name).words
        letters = "".join(words)
        if len(letters) >= LEAST_LETTERS and letters.isascii() and letters.isalpha():
            breaks = tuple(accumulate(map(len, words[:-1])))
            yield Named(scope, alias.name, letters, breaks, alias.match == "word")
