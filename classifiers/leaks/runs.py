"""Pieces of a text that follow each other, and may together be a name: single letters, initials, parts of words.

A run begins with a piece that some name begins with, and goes on while some name does. So nothing is read twice, and
it is known how far back a name may reach that is not whole yet.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, TypeVar

from classifiers.leaks.named import Named
from classifiers.names.index import PrefixIndex
from classifiers.names.vocabulary import is_known

__all__ = [
    "LEAST_DRESSED",
    "Cut",
    "Formed",
    "Picked",
    "Piece",
    "Run",
    "Shifted",
    "differences",
    "goes_on",
    "is_english",
    "regrouped",
]

_Grouped = TypeVar("_Grouped")
_A = ord("a")
_HEAD_LETTERS = 3
_MOST_RUNS = 16
_ONE_LETTER_WORDS = ("a", "i")
_GAP = 8  # characters between the parts of a word
_SPACE = re.compile(r"\s")
_PLAIN = " \n\t,.;:!?"  # what stands between words in any case
LEAST_DRESSED = 5
"""Of fewer letters it is not known which of them a word needs."""
_FEW, _MORE = 3, 5  # letters by which a beginning is known


class Piece(NamedTuple):
    """Some normalised letters at a half-open range of the text, and what stands before them. `dressed`: the text has
    other letters, which say these."""

    letters: str
    start: int
    end: int
    gap: str = ""
    dressed: bool = False


class Run(NamedTuple):
    """Pieces from `start` to `end`. `breaks` says for each piece but the first how many letters stand before it, and
    whether more than a space or a comma does. `skipped`: the last piece of the text is left out."""

    letters: str
    start: int
    end: int
    words: tuple[str, ...]
    breaks: tuple[tuple[int, bool], ...] = ()
    dressed: bool = False
    skipped: bool = False

    @property
    def is_english(self) -> bool:
        """Whether all of its pieces are English words."""
        return all(map(is_english, self.words))

    def followed(self, piece: Piece) -> "Run":
        """The run with the next piece."""
        odd = _is_odd(piece.gap)
        breaks = (*self.breaks, (len(self.letters), odd))
        words = (*self.words, piece.letters)
        return Run(self.letters + piece.letters, self.start, piece.end, words, breaks, self.dressed or piece.dressed)


def _is_odd(gap: str) -> bool:
    """Whether something stands between two pieces that does not stand between words."""
    return gap != " " and (bool(gap.strip(_PLAIN)) or not gap.strip("."))


def is_english(word: str) -> bool:
    """Whether it is an English word."""
    return is_known(word) and (len(word) > 1 or word in "ai")


def run_of(piece: Piece) -> Run:
    """A run of one piece."""
    return Run(piece.letters, piece.start, piece.end, (piece.letters,), dressed=piece.dressed)


@lru_cache(maxsize=16384)
def differences(letters: str) -> str:
    """How far each letter stands behind the one before it, as letters: the same for a name in every shift."""
    codes = [ord(letter) for letter in letters]
    return "".join([chr(_A + (after - before) % 26) for before, after in pairwise(codes)])


def goes_on(index: PrefixIndex[Named], letters: str) -> bool:
    """Whether some name begins with these letters."""
    if letters[:_HEAD_LETTERS] not in index.heads:
        return False
    return len(letters) <= _HEAD_LETTERS or index.goes_on(letters)


def regrouped(
    groups: Mapping[str, tuple[_Grouped, ...]],
    added: Iterable[tuple[str, _Grouped]],
    gone: Collection[str],
    scope_of: Callable[[_Grouped], str],
) -> dict[str, tuple[_Grouped, ...]]:
    """Groups with further members and without those of some scopes. Shares the groups that do not change.

    Args:
        groups: by key.
        added: the key of each new member, and the member.
        gone: scopes.
        scope_of: the scope of a member.
    """
    kept = dict(groups)
    for key, members in groups.items() if gone else ():
        if any(scope_of(one) in gone for one in members):
            kept[key] = tuple(one for one in members if scope_of(one) not in gone)
    fresh: dict[str, list[_Grouped]] = {}
    for key, member in added:
        fresh.setdefault(key, []).append(member)
    kept |= {key: (*kept.get(key, ()), *members) for key, members in fresh.items()}
    return {key: members for key, members in kept.items() if members}


class Picked:
    """Follows pieces that are picked from a text, whatever stands between them: single letters, initials, what is
    quoted. Of a name the first letters go, until so many have come as tell it from chance."""

    def __init__(self, index: PrefixIndex[Named], *, gap: int, held: int, least: int, skips: bool) -> None:
        """
        Args:
            index: the names.
            gap: the most characters between two pieces.
            held: of a run of so many letters the rest waits.
            least: the letters of a name.
            skips: whether pieces may stand between those of a name. Else a run begins when it has three letters.
        """
        self._index = index
        self._gap, self._held, self._least, self._skips = gap, held, least, skips
        self._runs: list[Run] = []
        self.holds = False
        """Whether something may wait for what follows."""

    @property
    def follows(self) -> bool:
        """Whether there are runs."""
        return bool(self._runs)

    def take(self, piece: Piece, before: Sequence[Piece] = ()) -> list[tuple[Named, Run]]:
        """The names that end with the piece, which follows others."""
        index = self._index
        near = [run for run in self._runs if piece.start - run.end <= self._gap] if self._runs else []
        grown = [run.followed(piece) for run in near if goes_on(index, run.letters + piece.letters)]
        found = [(name, run) for run in grown for name in index.owners(run.letters) if len(name.letters) >= self._least]
        begun = [run] if (run := self._begun(piece, before)) and goes_on(index, run.letters) else []
        kept = [run._replace(skipped=True) for run in near if self._may_skip(run, piece)]
        self._runs = [*kept, *grown, *begun][-_MOST_RUNS:]
        self.holds = any(map(self._may_hold, self._runs))
        return found

    def _begun(self, piece: Piece, before: Sequence[Piece]) -> Run | None:
        if self._skips:
            return run_of(piece)
        if len(before) < _HEAD_LETTERS - 1:
            return None
        run = run_of(before[-2])
        for one in (before[-1], piece):
            if one.start - run.end > self._gap:
                return None
            run = run.followed(one)
        return run

    def _may_skip(self, run: Run, piece: Piece) -> bool:
        """Whether a name may go on behind a piece that is none of its own: a word of one letter, one string of two."""
        if not self._skips:
            return False
        again = len(piece.letters) == 1 and piece.letters == run.letters[-1]  # X as in X-ray
        return again or piece.letters in _ONE_LETTER_WORDS or (len(piece.letters) > 1 and not run.skipped)

    def open_from(self, end: int) -> int | None:
        """Where the first run begins that holds what follows, in a text that ends at `end`."""
        held = [run.start for run in self._runs if end - run.end <= self._gap and self._may_hold(run)]
        self.holds = bool(held)
        return min(held, default=None)

    def _may_hold(self, run: Run) -> bool:
        return len(run.letters) >= self._held and (len(run.words) > 1 or not run.is_english)


class Cut:
    """Follows the words of a text, and finds names that are cut in parts."""

    def __init__(self, index: PrefixIndex[Named]) -> None:
        self._index = index
        self.runs: list[Run] = []

    def take(self, piece: Piece, others: Sequence[str] = ()) -> list[tuple[Named, Run]]:
        """The names that end with a word. It may be read as `others`, too."""
        self.runs = self._grown(piece, others)
        found = [(name, run) for run in self.runs for name in self._index.owners(self._key(run.letters))]
        return [(name, run) for name, run in found if self._is(name, run)]

    def _grown(self, piece: Piece, others: Sequence[str]) -> list[Run]:
        runs = self.runs if len(piece.gap) <= _GAP else ()
        grown: list[Run] = []
        said = [piece, *[piece._replace(letters=letters, dressed=True) for letters in others]] if others else [piece]
        for one in said:
            grown += [run.followed(one) for run in runs if self._goes_on(run.letters + one.letters)]
            if self._goes_on(one.letters):
                grown.append(run_of(one))
        return grown

    def _key(self, letters: str) -> str:
        return letters

    def _goes_on(self, letters: str) -> bool:
        return goes_on(self._index, self._key(letters))

    def _is(self, name: Named, run: Run) -> bool:
        """Whether the name is cut as no writer cuts it: with a sign, or into what is no word."""
        cuts = [odd for place, odd in run.breaks if place not in name.breaks]
        return run.dressed or (bool(cuts) and (all(cuts) or not run.is_english))

    def open_behind(self, gap: str) -> int | None:
        """Where the first run begins that may go on behind a gap at the end of the text."""
        if len(gap) > _GAP:
            return None
        odd = not _SPACE.search(gap) and _is_odd(gap) and gap != "."
        return min((run.start for run in self.runs if self._holds(run, odd=odd)), default=None)

    def _is_whole(self, run: Run) -> bool:
        return any(True for _ in self._index.owners(self._key(run.letters)))

    def open_in(self, partial: Piece, others: Sequence[str] = ()) -> int | None:
        """Where the first run begins that may go on with the word at the end of the text, which is not over."""
        runs = self.runs if len(partial.gap) <= _GAP else ()
        starts = [run.start for run in runs if self._may_be(run.letters + partial.letters)]
        if len(partial.letters) <= LEAST_DRESSED:  # too few letters to tell which of them count
            starts += [run.start for run in runs if run.dressed and self._goes_on(run.letters + partial.letters[0])]
        for one in others:
            starts += [run.start for run in runs if self._may_be(run.letters + one)]
            if self._may_be(one):
                starts.append(partial.start)
        return min(starts) if starts else None

    def _may_be(self, letters: str) -> bool:
        return len(letters) >= _FEW and self._goes_on(letters)

    def _holds(self, run: Run, *, odd: bool) -> bool:
        if odd and len(run.letters) > 1:
            return True
        if self._is_whole(run):
            return False
        known = run.is_english
        return len(run.letters) >= (_MORE if known else _FEW) and (len(run.words) > 1 or not known)


class Formed(Cut):
    """Follows the words that are not English, and finds forms of names (see `undress`) that are not cut."""

    def take(self, piece: Piece, others: Sequence[str] = ()) -> list[tuple[Named, Run]]:
        """See Cut."""
        if is_english(piece.letters) and piece.gap != "-":
            self.runs = []
            return []
        return super().take(piece, others)

    def _is(self, name: Named, run: Run) -> bool:
        return all(odd for place, odd in run.breaks if place not in name.breaks)

    def open_in(self, partial: Piece, others: Sequence[str] = ()) -> int | None:
        """See Cut."""
        start = super().open_in(partial)  # undressed words are no forms
        if start is None and self._may_be(partial.letters) and not is_english(partial.letters):
            return partial.start
        return start

    def _may_be(self, letters: str) -> bool:
        return len(letters) >= _MORE and self._goes_on(letters)

    def _holds(self, run: Run, *, odd: bool) -> bool:
        return len(run.letters) >= _MORE and not self._is_whole(run)


class Shifted(Formed):
    """The same of names in any shift of the alphabet: the index holds `differences`."""

    def _key(self, letters: str) -> str:
        return differences(letters)
