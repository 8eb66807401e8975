"""Names in an answer whose letters do not stand side by side: one on each line, in a list, in strings of a program, as
the first letters of lines, cut by signs, with letters between them; and in forms that keep words, such as pig latin.

Each way to read the text is a thread: it takes the words of the text one by one, as they come.
"""

import re
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence

from classifiers.leaks.masks import MaskedNames, Masks, masks
from classifiers.leaks.named import LEAST_LETTERS, Named
from classifiers.leaks.runs import Cut, Formed, Picked, Piece, Run, Shifted, differences, goes_on, is_english
from classifiers.leaks.slips import SlipNames, Slips
from classifiers.leaks.undress import forms, undressed
from classifiers.names.aliases import Sighting
from classifiers.names.index import PrefixIndex
from classifiers.names.text import normalise

__all__ = ["ThreadNames", "Threads"]

_WORD = re.compile(r"[^\W\d_]+")
_FLAGS = {0x1F1E6 + place: letter for place, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}  # letters in boxes
_QUOTES = "\"'`“”‘’«»„"
_QUOTE = re.compile(f"[{_QUOTES}]")
_APOSTROPHES = ("", " ", "'", "’")
_USUAL = ("", " ", ", ")  # between words
_SENTENCE = re.compile(r"[.!?\n]")
_LINE_CHARS, _SENTENCE_CHARS, _WORD_CHARS, _LETTER_CHARS, _QUOTE_CHARS = 160, 160, 24, 48, 60
_LONG_NAME = 8  # letters, of a name that is looked for among the initials of words
_SHIFTED_NAME = 7
_ASIDE = ("[", "(", "<", "{")
_ASIDE_ENDS = ("]", ")", ">", "}")
_RECENT_WORDS = 4  # of a name with masked letters; three of them may begin a name by their initials
_MOST_REMEMBERED, _LONGEST_REMEMBERED = 16_384, 24
_LONGEST_GAP = 64
_CUT_LETTERS = 3  # before a bracket in a word
_LONGEST_ASIDE = 48  # characters that a bracket puts into a word


class ThreadNames:
    """The names of all scopes, as threads look for them. Immutable and thread-safe."""

    def __init__(self) -> None:
        self.index: PrefixIndex[Named] = PrefixIndex()
        self.formed: PrefixIndex[Named] = PrefixIndex()
        self.shifted: PrefixIndex[Named] = PrefixIndex()
        self.masked, self.slips = MaskedNames(), SlipNames()
        self.scopes: frozenset[str] = frozenset()
        self.plain: dict[str, bool] = {}
        """What `is_plain` remembers."""
        self.quiet: dict[str, bool] = {}
        """What `is_quiet` remembers."""

    def is_plain(self, word: str) -> bool:
        """Whether no name begins with a normalised word, in any form."""
        return _remembered(self.plain, word, self._is_plain)

    def is_quiet(self, letters: str) -> bool:
        """Whether a word that begins with these normalised letters need not wait for the rest of it."""
        return _remembered(self.quiet, letters, self._is_quiet)

    def _is_plain(self, word: str) -> bool:
        if len(word) == 1 or goes_on(self.index, word) or undressed(word) or self.slips.begun(word):
            return False
        return is_english(word) or not (goes_on(self.formed, word) or goes_on(self.shifted, differences(word)))

    def _is_quiet(self, letters: str) -> bool:
        if self.slips.begins(letters):
            return False
        one = Piece(letters, 0, len(letters))
        threads = (Cut(self.index), Formed(self.formed), Shifted(self.shifted))
        return all(thread.open_in(one, undressed(letters)) is None for thread in threads)

    def updated(self, added: Mapping[str, Sequence[Named]], removed: Collection[str]) -> "ThreadNames":
        """With the names of further scopes and without those of others; see PrefixIndex."""
        plain = {scope: [(one.letters, one) for one in names] for scope, names in added.items()}
        formed = {
            scope: [(one.letters, one) for name in names for one in forms(name)] for scope, names in added.items()
        }
        shifted = {
            scope: [(differences(one.letters), one) for one in names if len(one.letters) >= _SHIFTED_NAME]
            for scope, names in added.items()
        }
        gone = self.scopes & {*removed, *added}
        changed = ThreadNames()
        changed.index = self.index.updated(plain, removed)
        changed.formed = self.formed.updated(formed, removed)
        changed.shifted = self.shifted.updated(shifted, removed)
        changed.masked, changed.slips = self.masked.updated(added, gone), self.slips.updated(added, gone)
        changed.scopes = self.scopes - gone | added.keys()
        return changed


class Threads:
    """Reads one text. Not thread-safe."""

    def __init__(self, names: ThreadNames) -> None:
        index = names.index
        self._is_idle = not index
        self._letters = Picked(index, gap=_LETTER_CHARS, held=3, least=LEAST_LETTERS, skips=True)
        self._quoted = Picked(index, gap=_QUOTE_CHARS, held=3, least=LEAST_LETTERS, skips=True)
        self._lines = Picked(index, gap=_LINE_CHARS, held=4, least=LEAST_LETTERS, skips=False)
        self._sentences = Picked(index, gap=_SENTENCE_CHARS, held=4, least=LEAST_LETTERS, skips=False)
        self._initials = Picked(index, gap=_WORD_CHARS, held=5, least=_LONG_NAME, skips=False)
        self._picked = (self._letters, self._quoted, self._lines, self._sentences, self._initials)
        self._cut, self._formed, self._shifted = Cut(index), Formed(names.formed), Shifted(names.shifted)
        self._words = (self._cut, self._formed, self._shifted)
        self._masks, self._slips = Masks(names.masked), Slips(names.slips)
        self._recent: deque[Piece] = deque(maxlen=_RECENT_WORDS)
        self._line_starts: deque[Piece] = deque(maxlen=2)
        self._sentence_starts: deque[Piece] = deque(maxlen=2)
        self._aside: tuple[int, tuple[Run, ...]] | None = None  # where a bracket in a word begins, and what is before
        self._in_quotes = False
        self._follows = False  # whether any thread but those of picked letters has begun a name, or may within quotes
        self._grows = False  # whether one of them has begun a name that the next characters may go on with
        self._holds = False  # whether one of those may hold what follows
        self._read_to = 0  # up to here the words are read
        self._initials_read = ""  # of the last three words
        self._gap = ""  # what stands behind the last of them
        self._names = names

    def read(self, tail: str, base: int, *, ended: bool) -> tuple[list[Sighting], int]:
        """The names that end in what is new of the text, and the first character that may belong to one.

        Args:
            tail: the end of the text; at least what was not safe.
            base: where in the text it begins. Places are counted from there.
            ended: whether there is no more of the text.
        """
        if self._is_idle:
            return [], len(tail)
        if not tail.isascii():
            tail = tail.translate(_FLAGS)
        found, partial, place = self._words_read(tail, base, None if ended else len(tail))
        gap, end = self._gap, base + len(tail)
        if ended:
            found += self._masks.ended(gap, self._recent)
        sightings = [_sighting(name, run, base) for name, run in found] if found else []
        if ended or self._is_quiet(partial, gap):
            return sightings, len(tail)
        piece = Piece(partial, base + place, end, gap) if partial else None
        return sightings, self._open_from(end, piece, gap) - base

    def _words_read(self, tail: str, base: int, last: int | None) -> tuple[list[tuple[Named, Run]], str, int]:
        """The names that end with the new words of the tail, the word that goes on at `last`, and where it begins."""
        found: list[tuple[Named, Run]] = []
        place, gap, partial = max(0, self._read_to - base), self._gap, ""
        plain, heads = self._names.plain, self._names.index.heads
        for word in _WORD.finditer(tail, place):
            start, end = word.span()
            gap += tail[place:start]
            letters, place = _folded(word.group()), start
            if not letters:
                continue  # a sign such as ʻ, which Unicode has among the letters
            if end == last:
                partial = letters
                break
            piece = Piece(letters, base + start, base + end, gap)
            self._initials_read = self._initials_read[-2:] + letters[0]
            is_plain = not self._follows and gap in _USUAL and (plain.get(letters) or self._names.is_plain(letters))
            if not is_plain or self._initials_read in heads:
                found += self._taken(piece)
            self._recent.append(piece)
            place, gap = end, ""
        if not partial:
            gap, place = (gap + tail[place:])[-_LONGEST_GAP:], len(tail)
        self._read_to, self._gap = base + place, gap
        return found, partial, place

    def _is_quiet(self, partial: str, gap: str) -> bool:
        """Whether nothing waits for the word at the end of a text, or for what follows a gap there."""
        if self._grows or self._holds or (gap not in _USUAL and masks(gap)):
            return False
        return not partial or self._names.quiet.get(partial) or self._names.is_quiet(partial)

    def _taken(self, piece: Piece) -> list[tuple[Named, Run]]:
        """The names that end with a word."""
        letters, gap = piece.letters, piece.gap
        found = self._letters.take(piece) if len(letters) == 1 else []
        starts = not self._recent or (gap not in _USUAL and _SENTENCE.search(gap))
        initial = _initial(piece)
        if starts and ("\n" in gap or not self._recent):
            found += self._lines.take(initial, self._line_starts)
            self._line_starts.append(initial)
        if starts:
            found += self._sentences.take(initial, self._sentence_starts)
            self._sentence_starts.append(initial)
        if self._initials.follows or self._initials_read in self._names.index.heads:
            found += self._initials.take(initial, [_initial(one) for one in self._recent])
        self._in_quotes = _goes_into_quotes(gap, inside=self._in_quotes)
        if self._in_quotes:
            found += self._quoted.take(piece)
        self._look_aside(piece)
        plain = self._names.is_plain(letters)
        if self._cut.runs or not plain:
            found += self._cut.take(piece, undressed(letters))
        for thread in self._words[1:]:
            if thread.runs or not (plain or is_english(letters)):
                found += thread.take(piece)
        if self._slips.runs or (not plain and self._names.slips.begun(letters)):
            found += self._slips.take(piece)
        if self._masks.rows or masks(gap):
            found += self._masks.take(piece, self._recent)
        runs = self._cut.runs or self._formed.runs or self._shifted.runs or self._masks.rows or self._slips.runs
        self._grows = bool(runs) or self._aside is not None
        self._follows = self._grows or self._in_quotes or self._initials.follows
        self._holds = any(one.holds for one in self._picked)
        return found

    def _look_aside(self, piece: Piece) -> None:
        """Of `Dum[x]bledore` the runs before the bracket go on behind it."""
        gap, aside = piece.gap, self._aside
        if gap and gap[0] in _ASIDE and self._cut.runs:
            self._aside = (piece.start, tuple(self._cut.runs))
        elif aside and piece.start - aside[0] > _LONGEST_ASIDE:
            self._aside = None
        elif aside and gap and gap[-1] in _ASIDE_ENDS:
            self._cut.runs += aside[1]
            self._aside = None

    def _open_from(self, end: int, partial: Piece | None, gap: str) -> int:
        """The first place that may belong to a name in a text that ends so."""
        places: list[int | None] = []
        if self._holds:
            places += [one.open_from(end) for one in self._picked if one.holds]
            self._holds = any(one.holds for one in self._picked)
        aside = self._cut.runs if partial and gap[:1] in _ASIDE else ()
        if self._aside and end - self._aside[0] <= _LONGEST_ASIDE:
            aside = (*aside, *self._aside[1])
        places += [run.start for run in aside if len(run.letters) >= _CUT_LETTERS]
        quiet = partial is not None and self._names.is_quiet(partial.letters)
        threads = [one for one in self._words if one.runs or not quiet]
        if partial is None:
            places += [thread.open_behind(gap) for thread in threads if thread.runs]
        elif threads:
            others = undressed(partial.letters)
            places += [thread.open_in(partial, others) for thread in threads]
        if self._slips.runs or not quiet:
            places.append(self._slips.open_from(partial, gap))
        if self._masks.rows or masks(gap):
            places.append(self._masks.open_from(partial, gap, self._recent))
        return min([place for place in places if place is not None], default=end)


def _initial(piece: Piece) -> Piece:
    return Piece(piece.letters[:1], piece.start, piece.end, piece.gap)


def _remembered(memory: dict[str, bool], word: str, look: Callable[[str], bool]) -> bool:
    found = memory.get(word)
    if found is None:
        if len(memory) >= _MOST_REMEMBERED:
            memory.clear()
        found = look(word)
        if len(word) <= _LONGEST_REMEMBERED:
            memory[word] = found
    return found


def _sighting(name: Named, run: Run, base: int) -> Sighting:
    return Sighting(name.scope, name.name, run.start - base, run.end - base, name.counts)


def _folded(word: str) -> str:
    """A word in small Latin letters, so far as it has them."""
    return word.lower() if word.isascii() else normalise(word).text.replace(" ", "")


def _goes_into_quotes(gap: str, *, inside: bool) -> bool:
    """Whether the word behind a gap stands in quotes; `inside`: the one before it did."""
    quotes = () if gap in _APOSTROPHES else _QUOTE.findall(gap)
    if not quotes:
        return inside and "\n\n" not in gap
    if len(quotes) % 2:
        return not inside and not (len(gap) > 1 and gap[0] in _QUOTES)  # 'the owners' names': no string begins
    return inside or (gap[0] in _QUOTES and gap[-1] in _QUOTES)
