"""Names in disguise in a text that goes on: backwards, shifted by 13 letters, digits for letters, letters apart, and
inside codes.

A disguise that keeps one letter for one is looked for as a name is: exactly so much waits as may become one. A code
(base64, hexadecimal numbers, Morse ...) is decoded from its beginning, again and again while it goes on; so of a name
in a code at most the first characters are sent by which the code is known as one.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

from classifiers.names.aliases import LexicalDetector, Sighting
from classifiers.names.beginnings import is_open, open_from
from classifiers.names.boundaries import Boundary, Letters
from classifiers.names.index import WordIndex
from classifiers.names.ordinary import Alias
from classifiers.views.views import views, warm_up

__all__ = ["Disguises", "Glance", "run_from"]

_LEAST_LETTERS = 6  # shorter names stand in odd text by chance
_CODE_CHARACTERS = 4  # so many characters of a code say one character at most: the last of them may not be there yet
_MOST_CHARACTERS = 4_000  # of a code that is read again with each piece of it
_A = "abcdefghijklmnopqrstuvwxyz"
_ROT13 = str.maketrans(_A, _A[13:] + _A[:13])
_LEET = re.compile(r"[0-9@$!|+€£]")
_DIGITS = (str.maketrans("4@83€6901|!5$7+2£", "aabeeggoiiisstt" + "zl"), str.maketrans("1|!", "lll"))
_APART = re.compile(r"(?<![^\W_])[^\W\d_](?:(?:[^\w]|_){1,4}[^\W\d_])*(?:[^\w]|_){0,4}\Z")
_LETTER = re.compile(r"[^\W\d_]")
# What may be the beginning of a code, or of odd letters, at the end of a text. Nothing here is tried twice.
_RUNS = tuple(
    re.compile(pattern + r"\Z")
    for pattern in (
        r"(?<![^\W_])(?:[^\W\d_]{1,2}+(?:[^\w]|_){1,4}+){2,}+(?:[^\W\d_]{1,2}+)?",
        r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/=_-]{6,}+",
        r"(?<![A-Za-z0-9])(?:(?:0x|\\x|%|=)?+[0-9A-Fa-f]{2}[ ,:;|/.\n-]{0,2}+){2,}+[0-9A-Fa-f]?",
        r"(?<!\d)(?:\d{1,8}+[ ,;|/_.\n-]{1,2}+){2,}+\d{0,8}+",
        r"(?<!\d)[01]{8,}+",
        r"(?<![\w.-])(?:[.\-·•∙․–—_−‒]{1,5}+[ /|]{1,3}+){2,}+[.\-·•∙․–—_−‒]{0,5}+",
        r"(?:\\u\{?+[0-9A-Fa-f]*+\}?+|\\x[0-9A-Fa-f]*+|&#?+[0-9A-Za-z]*+;?+|%[0-9A-Fa-f]*+"
        r"|[Uu]\+[0-9A-Fa-f]*+ ?+)++\\?+",
        r"(?<!\S)\S*[^\x00-\u017f\u2010-\u2027]\S*\s?+",
    )
)
_LAST_GROUP = re.compile(r"[\s,;|/_-]*[^\s,;|/_-]+\Z")
_LAST_ESCAPE = re.compile(r"(?:\\+[uUx]?\{?[0-9A-Fa-f]{0,7}|&#?[0-9A-Za-z]{0,8}|%[0-9A-Fa-f]?)\Z")
_CODED_WORD = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]|\d|[A-Z]{6}|[a-z]{20}")
_MAY_RUN = re.compile(r"[\d\\&%=./|_\-–—·•]|[a-z][A-Z]|[A-Z]{2}|\W[^\W\d_]{1,2}\W|[^\x00-\u017f]")


@dataclass(frozen=True, slots=True)
class _Disguised:
    """A name in a disguise. A text may have a space before each of the letters in `breaks`."""

    scope: str
    name: str
    letters: str
    breaks: tuple[int, ...]
    counts: bool
    glued: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Glance:
    """What stands in a text: the names, and the first character that may belong to one if the text goes on."""

    sightings: tuple[Sighting, ...]
    open_from: int


class Disguises:
    """The names of all scopes in disguise. Immutable and thread-safe."""

    def __init__(self, index: WordIndex[_Disguised] | None = None) -> None:
        self._index: WordIndex[_Disguised] = index or WordIndex()

    def updated(self, added: Mapping[str, Sequence[str | Alias]], removed: Collection[str]) -> "Disguises":
        """With the names of further scopes and without those of others; see WordIndex."""
        warm_up()
        spelled = {
            scope: [(one.letters, one) for name in names for one in _disguised(scope, name)]
            for scope, names in added.items()
        }
        return Disguises(self._index.updated(spelled, removed))

    def glance(self, names: LexicalDetector, letters: Letters, *, ended: bool) -> Glance:
        """Names with other letters in a text, whose own letters were read.

        Args:
            names: finds the names themselves, where digits stand for letters.
            letters: of the text.
            ended: whether there is no more of the text.
        """
        text = letters.source
        found = [self._glance(letters, ended=ended)]
        if _LEET.search(text):
            plain = text.translate(_DIGITS[0])
            found += [
                _named(names, Letters(one), ended=ended) for one in dict.fromkeys((plain, _with_l(text))) if one != text
            ]
        if not ended and (apart := self._apart(names, text)) is not None:
            found.append(Glance((), apart))
        return _together(found, len(text))

    def in_codes(self, names: LexicalDetector, run: str, *, ended: bool) -> Glance:
        """Names in the views of a run of a text (see `run_from`). Slow for a long run."""
        found = []
        for view in (view for begun in ([run] if ended else _without_the_last(run)) for view in views(begun)):
            letters = Letters(view.text)
            seen = _named(names, letters, ended=ended)
            mapped = [
                Sighting(one.scope, one.name, *view.source_range(one.start, one.end), one.counts)
                for one in seen.sightings
                if sum(map(str.isalnum, one.name)) >= _LEAST_LETTERS
            ]
            begins = min(view.starts[seen.open_from :], default=len(run))
            found.append(Glance(tuple(mapped), begins))
        return _together(found, len(run))

    def _glance(self, letters: Letters, *, ended: bool) -> Glance:
        found = []
        for last, one in self._index.occurrences(letters.text):
            start, end = last + 1 - len(one.letters), last + 1
            if _stands(one, letters, start, end) and (ended or not is_open(letters, end)):
                found.append(Sighting(one.scope, one.name, *letters.source_range(start, end), one.counts))
        open_at = len(letters.source) if ended else open_from(self._index, letters)
        return Glance(tuple(found), open_at)

    def _apart(self, names: LexicalDetector, text: str) -> int | None:
        """Where single letters begin, at the end of a text, that may become a name."""
        run = _APART.search(text)
        if run is None:
            return None
        places = [letter.start() for letter in _LETTER.finditer(text, run.start())]
        together = "".join(text[place] for place in places)
        begins = names.first_beginning(Letters(together).text)
        return places[begins] if begins is not None and begins < len(places) else None


def run_from(text: str) -> int | None:
    """Where, at the end of a text, a run begins that may be a code or odd letters; None if there is none."""
    if not _MAY_RUN.search(text):
        return None
    starts = [run.start() for pattern in _RUNS if (run := pattern.search(text)) and _is_odd(run)]
    return max(min(starts), len(text) - _MOST_CHARACTERS) if starts else None


def _without_the_last(run: str) -> Iterator[str]:
    """The run, and the run without its last characters, which may be a part of what says one character."""
    yield run
    yield from (run[:-cut] for cut in range(1, _CODE_CHARACTERS) if cut < len(run))
    for last in (_LAST_GROUP, _LAST_ESCAPE):
        whole = last.sub("", run)
        if 0 < len(whole) <= len(run) - _CODE_CHARACTERS:
            yield whole


def _is_odd(run: re.Match[str]) -> bool:
    """Letters without a gap are a word, unless their case or their number is odd."""
    return not run.group().replace("-", "").isalpha() or bool(_CODED_WORD.search(run.group()))


def _disguised(scope: str, name: str | Alias) -> Iterator[_Disguised]:
    alias = Alias(name) if isinstance(name, str) else name
    words = Letters(alias.name).words
    letters = "".join(words)
    if len(letters) < _LEAST_LETTERS or not letters.isascii() or not letters.isalpha():
        return
    breaks = tuple(accumulate(map(len, words[:-1])))
    counts = alias.match == "word"
    for said, places in (
        (letters[::-1], tuple(len(letters) - place for place in reversed(breaks))),
        ("".join(word[::-1] for word in words), breaks),
        (letters.translate(_ROT13), breaks),
    ):
        if said != letters:
            yield _Disguised(scope, alias.name, said, places, counts)


def _stands(one: _Disguised, letters: Letters, start: int, end: int) -> bool:
    """Whether the letters stand as words of their own, with spaces where the name has them."""
    if letters.edge(start) < Boundary.SOFT or letters.edge(end) < Boundary.SOFT:
        return False
    places = letters.places
    gaps = (place for place in range(start + 1, end) if places[place] - places[place - 1] > 1)
    return all(place - start in one.breaks for place in gaps)


def _named(names: LexicalDetector, letters: Letters, *, ended: bool) -> Glance:
    open_at = len(letters.source) if ended else names.open_from(letters)
    return Glance(tuple(names.sightings(letters, ended=ended)), open_at)


def _with_l(text: str) -> str:
    return text.translate(_DIGITS[1]).translate(_DIGITS[0])


def _together(glances: Sequence[Glance], otherwise: int) -> Glance:
    sightings = tuple(one for glance in glances for one in glance.sightings)
    return Glance(sightings, min((glance.open_from for glance in glances), default=otherwise))
