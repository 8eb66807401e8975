"""Names in disguise in a text that goes on: backwards, in the usual shifts, digits for letters, letters apart.

Such a disguise keeps one letter for one, and is looked for as a name is: exactly so much waits as may become one.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from classifiers.leaks.leak import Leak
from classifiers.leaks.named import Named
from classifiers.leaks.words import ROT13
from classifiers.names.aliases import LexicalDetector, Sighting
from classifiers.names.beginnings import is_open, open_from
from classifiers.names.boundaries import Boundary, Letters
from classifiers.names.index import PrefixIndex
from classifiers.names.prose import Prose, open_word, prose_of
from classifiers.views.looks import is_fancy, looks
from classifiers.views.spelling import ATBASH, SHIFTS
from classifiers.views.turned import ON_THEIR_HEADS
from classifiers.views.views import warm_up

__all__ = ["Disguises", "Glance", "glance_at", "together"]

_LEET = re.compile(r"[0-9@$!|+€£]")
_DIGITS = (str.maketrans("4@83€6901|!5$7+2£", "aabeeggoiiisstt" + "zl"), str.maketrans("1|!", "lll"))
_APART = re.compile(r"(?<![^\W_])[^\W\d_](?:(?:[^\w]|_){1,4}[^\W\d_])*(?:[^\w]|_){0,4}\Z")
_TURNED = str.maketrans(ON_THEIR_HEADS)
_TURNED_LETTER = re.compile("[ɐɔǝɟƃɥᴉɾʞןɯɹʇʌʍʎ]")
_APART_CHARS = 2_048  # at the end of a text that are searched for letters apart: a search takes quadratic time
_LETTER = re.compile(r"[^\W\d_]")
_SHIFTED = (ROT13, ATBASH, SHIFTS[0], SHIFTS[2])  # of Caesar's ciphers the usual ones: by 13, 1 and 3 letters


@dataclass(frozen=True, slots=True)
class Glance:
    """What stands in a text: the names, the first character that may belong to one if the text goes on, and facts and
    passages."""

    sightings: tuple[Sighting, ...]
    open_from: int
    leaks: tuple[Leak, ...] = ()


class Disguises:
    """The names of all scopes in disguise. Immutable and thread-safe."""

    def __init__(self, index: PrefixIndex[Named] | None = None) -> None:
        self._index: PrefixIndex[Named] = index or PrefixIndex()

    def updated(self, added: Mapping[str, Sequence[Named]], removed: Collection[str]) -> "Disguises":
        """With the names of further scopes and without those of others; see PrefixIndex."""
        warm_up()
        spelled = {
            scope: [(said.letters, said) for one in names for said in _disguised(one)] for scope, names in added.items()
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
            found += [glance_at(names, Letters(one), ended=ended) for one in _other_letters(text)]
        if not text.isascii() and _TURNED_LETTER.search(text):
            turned = Letters(text.translate(_TURNED))
            found += [glance_at(names, turned, ended=ended), self._glance(turned, ended=ended)]
        if is_fancy(text):
            found += [glance_at(names, Letters(one), ended=ended) for one in looks(text)]
        if not ended and (apart := self._apart(names, text)) is not None:
            found.append(Glance((), apart))
        return together(found, len(text))

    def open_in(self, names: LexicalDetector, prose: Prose) -> int | None:
        """Where in prose a name, in disguise or not, may begin; the length of the text if nowhere. None if one may be
        whole already, or if the text cannot be read so: then `glance` must tell."""
        disguised, named = open_word(self._index, prose), names.open_word(prose)
        if disguised is None or named is None:
            return None
        open_at = prose.place(min(disguised, named))
        if prose.words and len(prose.words[-1]) == 1 and (apart := self._apart(names, prose.source)) is not None:
            open_at = min(open_at, apart)  # letters that stand apart end with one that does
        if _LEET.search(prose.source, prose.start):
            for text in _other_letters(prose.source):
                other = prose_of(text, prose.start)
                number = names.open_word(other) if other else None
                if other is None or number is None:
                    return None
                open_at = min(open_at, other.place(number))
        return open_at

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
        run = _APART.search(text, max(0, len(text) - _APART_CHARS))
        if run is None:
            return None
        places = [letter.start() for letter in _LETTER.finditer(text, run.start())]
        together = "".join(text[place] for place in places)
        begins = names.first_beginning(Letters(together).text)
        return places[begins] if begins is not None and begins < len(places) else None


def _disguised(one: Named) -> Iterator[Named]:
    """A name in the disguises that keep one letter for one."""
    letters, breaks = one.letters, one.breaks
    forms = {
        letters[::-1]: tuple(len(letters) - place for place in reversed(breaks)),
        "".join(word[::-1] for word in one.words): breaks,
        **{letters.translate(table): breaks for table in _SHIFTED},
    }
    for said, places in forms.items():
        if said != letters:
            yield one.said(said, places)


def _stands(one: Named, letters: Letters, start: int, end: int) -> bool:
    """Whether the letters stand as words of their own, with spaces where the name has them."""
    if letters.edge(start) < Boundary.SOFT or letters.edge(end) < Boundary.SOFT:
        return False
    places = letters.places
    gaps = (place for place in range(start + 1, end) if places[place] - places[place - 1] > 1)
    return all(place - start in one.breaks for place in gaps)


def glance_at(names: LexicalDetector, letters: Letters, *, ended: bool) -> Glance:
    """The names themselves in a text."""
    open_at = len(letters.source) if ended else names.open_from(letters)
    return Glance(tuple(names.sightings(letters, ended=ended)), open_at)


def _other_letters(text: str) -> Iterable[str]:
    """The text with the letters that digits and signs may stand for."""
    read = (text.translate(_DIGITS[0]), text.translate(_DIGITS[1]).translate(_DIGITS[0]))
    return dict.fromkeys(one for one in read if one != text)


def together(glances: Sequence[Glance], otherwise: int) -> Glance:
    """What several readings of one text show; `otherwise` is its length."""
    sightings = tuple(one for glance in glances for one in glance.sightings)
    leaks = tuple(one for glance in glances for one in glance.leaks)
    return Glance(sightings, min((glance.open_from for glance in glances), default=otherwise), leaks)
