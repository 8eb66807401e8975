"""Names with a slip of the pen in a word (`Dumbeldore`, `Vexmorland`): letters in turn, one letter left out, one too
many, or another vowel. A word that is English is no slip; another consonant makes another name."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from classifiers.leaks.named import Named
from classifiers.leaks.runs import Piece, Run, is_english, regrouped, run_of

__all__ = ["SlipNames", "Slips"]

_HEAD = 2  # letters in which nobody slips
_LEAST_WORD, _LEAST_ALONE = 5, 8  # letters of a word with a slip, of a name of one word
_MOST_REMEMBERED, _LONGEST_REMEMBERED = 16_384, 24
_LEAST_BEGUN = 4  # so many letters of a first word may be sent before a slip in it counts
_VOWELS = frozenset("aeiouy")
_GAP = 3  # characters between two words


class _Words(NamedTuple):
    """A name word by word."""

    name: Named
    words: tuple[str, ...]


class SlipNames:
    """The names of all scopes by the beginning of their first word. Immutable and thread-safe."""

    def __init__(self, by_head: Mapping[str, tuple[_Words, ...]] | None = None) -> None:
        self._by_head = by_head or {}
        self._begun: dict[str, tuple[tuple[_Words, bool], ...]] = {}

    def updated(self, added: Mapping[str, Sequence[Named]], gone: Collection[str]) -> "SlipNames":
        """With the names of further scopes and without those of others."""
        parted = [_Words(name, name.words) for names in added.values() for name in names]
        long = [
            (one.words[0][:_HEAD], one) for one in parted if len(one.words) > 1 or len(one.words[0]) >= _LEAST_ALONE
        ]
        return SlipNames(regrouped(self._by_head, long, gone, lambda one: one.name.scope))

    def begun(self, word: str) -> Sequence[tuple[_Words, bool]]:
        """The names whose first word is this one, and whether with a slip."""
        found = self._begun.get(word)
        if found is None:
            near = [(one, _slip(one.words[0], word)) for one in self._by_head.get(word[:_HEAD], ())]
            found = tuple([(one, slip) for one, slip in near if slip is not None])
            if len(self._begun) >= _MOST_REMEMBERED:
                self._begun.clear()
            if len(word) <= _LONGEST_REMEMBERED:
                self._begun[word] = found
        return found

    def begins(self, letters: str) -> bool:
        """Whether a word that begins with these letters may be a name of one word with a slip, and is none so far."""
        odd = len(letters) > _LEAST_BEGUN and not is_english(letters)
        near = self._by_head.get(letters[:_HEAD], ()) if odd else ()
        return any(_begins(one.words[0], letters) for one in near if len(one.words[0]) >= _LEAST_WORD)


class _Begun(NamedTuple):
    """The first words of a name, with or without a slip."""

    words: _Words
    run: Run
    slip: bool

    def next(self) -> str:
        return self.words.words[len(self.run.words)]


class Slips:
    """Follows the words of one text. Not thread-safe."""

    def __init__(self, names: SlipNames) -> None:
        self._names = names
        self.runs: list[_Begun] = []

    def take(self, piece: Piece) -> list[tuple[Named, Run]]:
        """The names that end with a word, with a slip in one of their words at least."""
        grown = []
        for begun in self.runs if len(piece.gap) <= _GAP else ():
            if (slip := _slip(begun.next(), piece.letters)) is not None:
                grown.append(_Begun(begun.words, begun.run.followed(piece), begun.slip or slip))
        grown += [_Begun(words, run_of(piece), slip) for words, slip in self._names.begun(piece.letters)]
        self.runs = [one for one in grown if len(one.run.words) < len(one.words.words)]
        whole = [one for one in grown if len(one.run.words) == len(one.words.words)]
        return [(one.words.name, one.run) for one in whole if one.slip]

    def open_from(self, partial: Piece | None, gap: str) -> int | None:
        """Where the first name begins that may go on."""
        if partial is None:
            return min((one.run.start for one in self.runs if one.slip and len(gap) <= _GAP), default=None)
        runs = self.runs if len(partial.gap) <= _GAP and not is_english(partial.letters) else ()
        starts = [one.run.start for one in runs if _begins(one.next(), partial.letters)]
        if self._names.begins(partial.letters):
            starts.append(partial.start)
        return min(starts, default=None)


def _slip(wanted: str, word: str) -> bool | None:
    """Whether a word is another one with a slip; None if it is neither that word nor that."""
    if wanted == word:
        return False
    near = abs(len(wanted) - len(word)) <= 1 and wanted[:_HEAD] == word[:_HEAD] and len(word) >= _LEAST_WORD
    return True if near and not is_english(word) and _is_near(wanted, word) else None


def _is_near(wanted: str, word: str) -> bool:
    """Whether one slip makes a word of another one."""
    same = _same(wanted, word)
    one, other = wanted[same:], word[same:]
    if not one or not other:
        return True
    if one[1:] == other or one == other[1:]:
        return True
    if one[1:] == other[1:]:
        return one[0] in _VOWELS and other[0] in _VOWELS
    return one[:2] == other[1::-1] and one[2:] == other[2:]


def _begins(wanted: str, letters: str) -> bool:
    """Whether letters may be the beginning of a word, with a slip or without."""
    if wanted[:_HEAD] != letters[:_HEAD] or len(letters) <= _HEAD:
        return wanted.startswith(letters)
    same = _same(wanted, letters)
    one, other = wanted[same:], letters[same:]
    if len(other) <= 1:
        return len(letters) <= len(wanted) + 1  # the last letter may be the slip
    ways = (one[1:], one, one[1::-1] + one[2:])
    return (
        ways[0].startswith(other)
        or ways[1].startswith(other[1:])
        or ways[2].startswith(other)
        or (one[:1] in _VOWELS and other[0] in _VOWELS and one[1:].startswith(other[1:]))
    )


def _same(one: str, other: str) -> int:
    """How many first letters two words share."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
