"""Names in which signs stand for letters (`V*ldemort`, `H---y P----r`), in a text that goes on."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from classifiers.leaks.named import Named
from classifiers.leaks.runs import Piece, Run, regrouped

__all__ = ["MaskedNames", "Masks", "masks"]

_UNKNOWN = "."
_SIGN = r"\\?[*_?#•●■□▒░]"
_MASK = re.compile(rf"(?:{_SIGN}|[…×~^@$%&–—-]){{1,12}}")
_TAIL = re.compile(rf"((?:{_SIGN}|-){{0,12}})[^\w*]{{1,3}}?((?:{_SIGN}|-){{0,12}})")
_SIGNS = re.compile(rf"(?:{_SIGN})+")
_SURE, _SURE_BEFORE = frozenset("*_●■□▒░"), frozenset("*_●■□▒░-")
_KNOWN_SHARE, _KNOWN_OF_SEVERAL = 0.5, 0.25  # of the letters of a name of one word, of several


class MaskedNames:
    """The names of all scopes by their first letter. Immutable and thread-safe."""

    def __init__(self, by_first: Mapping[str, tuple[Named, ...]] | None = None) -> None:
        self._by_first = by_first or {}

    def updated(self, added: Mapping[str, Sequence[Named]], gone: Collection[str]) -> "MaskedNames":
        """With the names of further scopes and without those of others."""
        named = [(name.letters[0], name) for names in added.values() for name in names]
        return MaskedNames(regrouped(self._by_first, named, gone, lambda name: name.scope))

    def fitting(self, row: "_Row") -> Iterator[Named]:
        """The names that begin as a row does."""
        head = row.letters.partition(_UNKNOWN)[0]
        named = self._by_first.get(head[:1], ())
        return (name for name in named if name.letters.startswith(head) and row.begins(name))


@dataclass(frozen=True, slots=True)
class _Row:
    """Words from `start` to `end`, masked or not. A masked letter is a point. Words begin at 0 and at `breaks`."""

    letters: str
    start: int
    end: int
    breaks: tuple[int, ...] = ()

    @property
    def is_masked(self) -> bool:
        return _UNKNOWN in self.letters

    def followed(self, piece: Piece) -> "_Row | None":
        """The row with another word, or more of the last one; None if what stands between them parts them."""
        if _MASK.fullmatch(piece.gap):
            return self.masked(piece.gap).longer(piece)
        if tail := _TAIL.fullmatch(piece.gap):
            return self.masked(tail[1]).parted().masked(tail[2]).longer(piece)
        return None

    def longer(self, piece: Piece) -> "_Row":
        """With the letters of a word."""
        return replace(self, letters=self.letters + piece.letters, end=piece.end)

    def parted(self) -> "_Row":
        """With a space at the end."""
        return replace(self, breaks=(*self.breaks, len(self.letters)))

    def masked(self, signs: str) -> "_Row":
        """With a masked letter for each sign."""
        letters = self.letters + _UNKNOWN * len(signs.replace("\\", ""))
        return replace(self, letters=letters, end=self.end + len(signs))

    def begins(self, name: Named) -> bool:
        """Whether a name may begin so."""
        if len(self.letters) > len(name.letters) or self.breaks != name.breaks[: len(self.breaks)]:
            return False
        further = name.breaks[len(self.breaks) :]
        if further and further[0] < len(self.letters):
            return False
        return all(one in (_UNKNOWN, other) for one, other in zip(self.letters, name.letters, strict=False))

    def says(self, name: Named) -> bool:
        """Whether it is a name, of which a reader knows enough."""
        if len(self.letters) != len(name.letters) or self.breaks != name.breaks:
            return False
        known = len(self.letters) - self.letters.count(_UNKNOWN)
        return known >= (_KNOWN_OF_SEVERAL if name.breaks else _KNOWN_SHARE) * len(name.letters)


class Masks:
    """Follows the words of one text. Not thread-safe."""

    def __init__(self, names: MaskedNames) -> None:
        self._names = names
        self.rows: list[_Row] = []  # the masked ones that some name begins with

    def take(self, piece: Piece, recent: Sequence[Piece]) -> Iterator[tuple[Named, Run]]:
        """The names that end with a word, or before it; `recent` are the words before it."""
        for row in [*self.rows, *self._beginnings(recent)]:
            if (tail := _TAIL.fullmatch(piece.gap)) and tail[1]:
                yield from self._said(row.masked(tail[1]))
        self.rows = self._grown(piece, recent)
        for row in self.rows:
            yield from self._said(row)

    def ended(self, gap: str, recent: Sequence[Piece]) -> Iterator[tuple[Named, Run]]:
        """The names that end with the text."""
        if signs := _SIGNS.match(gap):
            for row in (*self.rows, *self._beginnings(recent)):
                yield from self._said(row.masked(signs.group()))

    def open_from(self, partial: Piece | None, gap: str, recent: Sequence[Piece]) -> int | None:
        """Where the first row begins that may go on to be a name."""
        if partial is not None:
            waiting = [row for row in (*self.rows, *self._beginnings(recent)) if self._has_said(row, partial.gap)]
            return min((row.start for row in (*waiting, *self._grown(partial, recent))), default=None)
        return min(
            (row.start for row in (*self.rows, *self._beginnings(recent)) if self._waits(row, gap)), default=None
        )

    def _waits(self, row: _Row, gap: str) -> bool:
        """Whether a row may go on behind a gap at the end of the text, or says a name with it."""
        if gap.endswith("\\"):
            gap += "*"  # as Markdown has them
        if _MASK.fullmatch(gap):
            return self._fits(row.masked(gap))
        tail = _TAIL.fullmatch(gap)
        if tail is None:
            return False
        parted = row.masked(tail[1]).parted().masked(tail[2])
        return self._has_said(row, gap) or (parted.is_masked and self._fits(parted))

    def _has_said(self, row: _Row, gap: str) -> bool:
        """Whether the signs before a space end a name."""
        tail = _TAIL.fullmatch(gap)
        return tail is not None and any(True for _ in self._said(row.masked(tail[1])))

    def _grown(self, piece: Piece, recent: Sequence[Piece]) -> list[_Row]:
        rows = [row.followed(piece) for row in (*self.rows, *self._beginnings(recent))]
        return [row for row in rows if row and row.is_masked and self._fits(row)]

    def _beginnings(self, recent: Sequence[Piece]) -> Iterator[_Row]:
        """The last words before this place, from each of them on."""
        words = list(recent)
        for number, first in enumerate(words):
            begun = _Row(first.letters, first.start, first.end)
            if not self._fits(begun):
                continue
            row: _Row | None = begun
            for word in words[number + 1 :]:
                row = row and row.followed(word)
            if row and not row.is_masked and self._fits(row):
                yield row

    def _fits(self, row: _Row) -> bool:
        return any(True for _ in self._names.fitting(row))

    def _said(self, row: _Row) -> Iterator[tuple[Named, Run]]:
        if row.is_masked:
            run = Run(row.letters, row.start, row.end, (row.letters,), dressed=True)
            yield from ((name, run) for name in self._names.fitting(row) if row.says(name))


def masks(gap: str) -> bool:
    """Whether a sign in a gap touches a word, as if it stood for a letter."""
    if gap == " " or not gap:
        return False
    return gap[0] in _SURE or gap[-1] in _SURE_BEFORE or gap[0] == "\\" or _MASK.fullmatch(gap) is not None
