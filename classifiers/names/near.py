"""Misspelt names: words that lie a few letters from the words of a name, for all scopes in one pass over the words.

A word within one edit of another shares its first or its last half with it; a word within two shares one of three
thirds (Wu & Manber 1992 call it partitioning). So each alias stands in a table under the parts of its most telling
word, with the word's length, and a text's word looks under its own parts. What is found there is compared letter by
letter: edits are a letter more, less or another, or two neighbours that changed places (Damerau 1964). English words
are never taken for misspelt ones. Words that sound alike have the same consonants: they, too, stand in the table.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from classifiers.names import masked, pairs, shapes, slips
from classifiers.names.ordinary import Alias
from classifiers.names.real_words import is_real, load
from classifiers.names.table import KeyTable
from classifiers.names.text import normalise
from classifiers.names.vocabulary import is_known, is_strange

__all__ = ["MaskedHit", "NearHit", "NearNames", "edits_between", "sound"]

_ONE_EDIT, _TWO_EDITS = 5, 9  # letters of a word that may have so many
_LETTERS_AN_EDIT = 4  # of a name with several misspelt words that counts alone
_SURE_LETTERS = 9  # of a name of several words that counts alone
_SINGLE, _SURE_SINGLE, _SURE_TWO = 6, 8, 10  # letters of a name of one word: found; counts with one edit; with two
_SURE_AS_LONG = 7  # counts with one edit that leaves its length
_SURE_TWO_AS_LONG = 9  # counts with two that leave its length, or all but one letter: Beatrix is no Bellatrix
_THIRDS = 6  # letters of a name of one word that stands under its thirds, too; of other words, `_TWO_EDITS`
_LONGEST = 32
_MOST_WORDS, _MOST_EDITS = 4, 3
_LEAST_SOUND, _LEAST_SINGLE_SOUND = 2, 4  # consonants of the word, of a name of several words or of one
_FOR_SLIPS = pairs.MARKS
_LOOKS = str.maketrans("013456789", "oleasbtbg")
_PAIRS = (("rn", "m"), ("vv", "w"), ("ph", "f"), ("gh", "g"), ("wh", "w"), ("ck", "k"), ("x", "ks"))
_SOUNDS = str.maketrans("cqzvy", "kksfi")
_VOWELS = re.compile("[aeiouhw]")
# By how many letters a word is longer, how far two edits may move the middle of a name.
_MOVED = {
    longer: tuple(moved for moved in range(-2, 3) if abs(moved) + abs(longer - moved) <= 2) for longer in range(-2, 3)
}
_WORDS = re.compile("[a-z0-9]+")
_ENDINGS = ("ing", "ive", "ous", "ness", "ment", "tion", "able", "ful", "less", "ism", "ist", "ly")  # of common words


@dataclass(frozen=True, slots=True, eq=False)
class _Named:
    """An alias of a scope as words. It stands in the table under the parts of the word number `anchor`. `joined`: its
    words are joined to one."""

    scope: str
    alias: Alias
    words: tuple[str, ...]
    anchor: int
    joined: bool = False


class NearHit(NamedTuple):
    """Words of a text, from `first` up to but not with `last`, that are a misspelt alias. `counts`: they need no second
    sign."""

    scope: str
    alias: Alias
    first: int
    last: int
    counts: bool


class MaskedHit(NamedTuple):
    """An alias with signs for letters at a half-open range of a text's characters. `counts`: as in NearHit."""

    scope: str
    alias: Alias
    start: int
    end: int
    counts: bool


class NearNames:
    """The aliases of all scopes by the parts of their words. Immutable and thread-safe."""

    def __init__(self, table: KeyTable[_Named] | None = None) -> None:
        self._table: KeyTable[_Named] = table or KeyTable()

    def updated(self, added: Mapping[str, Sequence[str | Alias]], removed: Collection[str]) -> "NearNames":
        """With the names of further scopes and without those of others; see KeyTable."""
        rows = {scope: _rows(scope, names) for scope, names in added.items()}
        if rows:
            load()  # no text waits for a disk
        return NearNames(self._table.updated(rows, removed))

    def found(self, words: Sequence[str]) -> Iterator[NearHit]:
        """The misspelt names among the normalised words of a text."""
        if not self._table:
            return
        asked = [(place, key) for place, word in enumerate(words) if _is_odd(word) for key in _asked(word)]
        asked += pairs.asked(words)
        near: dict[int, set[_Named]] = {}
        slipped: dict[int, set[_Named]] = {}
        shaped: set[tuple[int, _Named]] = set()
        for number, named in self._table.found([key for _, key in asked]):
            place, key = asked[number]
            (slipped if key[0] in _FOR_SLIPS else near).setdefault(place, set()).add(named)
            if key[0] in shapes.MARKS:
                shaped.add((place, named))
        for place, names in sorted(near.items()):
            wanted = {named.words[named.anchor] for named in names}
            fits = {one for one in wanted if _fit(one, words[place], among=2)}
            for named in names:
                hit = _compared(named, words, place) if named.words[named.anchor] in fits else None
                if (place, named) in shaped and not (hit and hit.counts):
                    hit = _shaped(named, words, place) or hit
                if not (hit and hit.counts):
                    hit = _slipped(named, words, place) or hit
                if hit:
                    yield hit
        for place, names in sorted(slipped.items()):
            for named in names - near.get(place, set()):
                if hit := _slipped(named, words, place):
                    yield hit

    def masked(self, text: str) -> Iterator[MaskedHit]:
        """The names in a text that have signs for some of their letters."""
        phrases = masked.phrases(text) if self._table else []
        if not phrases:
            return
        for number, named in self._table.found([masked.key(phrase) for phrase in phrases]):
            phrase = phrases[number]
            if phrase.is_of(named.words):
                yield MaskedHit(named.scope, named.alias, phrase.start, phrase.end, phrase.sure)


def _is_odd(word: str) -> bool:
    """Whether a word may be a misspelt one."""
    return _ONE_EDIT - 1 <= len(word) <= _LONGEST and not is_known(word) and word.isascii()


def edits_between(one: str, other: str, most: int) -> int | None:
    """How many edits lie between two words; None if they are more than `most`."""
    if abs(len(one) - len(other)) > most:
        return None
    start, longest = 0, min(len(one), len(other))
    while start < longest and one[start] == other[start]:
        start += 1
    end = 0
    while end < longest - start and one[-1 - end] == other[-1 - end]:
        end += 1
    one, other = one[start : len(one) - end], other[start : len(other) - end]
    if not one or not other:
        found = len(one) + len(other)
        return found if found <= most else None
    if most == 0:
        return None
    rest = [(one[1:], other[1:]), (one[1:], other), (one, other[1:])]
    if one[:2] == other[1::-1] and len(one) > 1:
        rest.append((one[2:], other[2:]))
    found_all = [edits for a, b in rest if (edits := edits_between(a, b, most - 1)) is not None]
    return 1 + min(found_all) if found_all else None


@lru_cache(maxsize=65536)
def sound(word: str) -> str:
    """The consonants of a word as they sound, the first letter always among them."""
    for written, said in _PAIRS:
        word = word.replace(written, said)
    said = word.translate(_SOUNDS)
    first = "a" if said[:1] in "aeiou" else said[:1]
    return shapes.squeezed(first + _VOWELS.sub("", said[1:]))


def _named(scope: str, names: Sequence[str | Alias]) -> Iterator[_Named]:
    """The names that may be found misspelt, by each of their longer words: Latin ones, no common word alone."""
    for alias in dict.fromkeys(Alias(name) if isinstance(name, str) else name for name in names):
        words = tuple(normalise(alias.name).text.split())
        if alias.match != "word" or len(words) > _MOST_WORDS or not all(map(_WORDS.fullmatch, words)):
            continue
        least = _least_anchor(words)
        for anchor, word in enumerate(words):
            if least <= len(word) <= _LONGEST and (len(words) > 1 or not is_known(word)):
                yield _Named(scope, alias, words, anchor)
        if len(words) > 1 and _SURE_LETTERS <= len("".join(words)) <= _LONGEST:
            yield _Named(scope, alias, ("".join(words),), 0, joined=True)


def _least_anchor(words: Sequence[str]) -> int:
    """How many letters an anchor has: fewer if no word of a name has more."""
    if len(words) == 1:
        return shapes.LEAST_SINGLE
    return _ONE_EDIT if any(len(word) >= _ONE_EDIT for word in words) else pairs.LEAST_LETTERS


def _rows(scope: str, names: Sequence[str | Alias]) -> Iterator[tuple[_Named, tuple[str, ...]]]:
    """One at a time: the keys of thousands of scopes together would take much memory."""
    return ((named, tuple(_keys(named))) for named in _named(scope, names))


def _keys(named: _Named) -> Iterator[str]:
    """What an alias's word stands under: its halves; but for joined words, its shapes, its masks, itself, its thirds,
    its sound if that tells enough. A short name of one word stands under its shapes and masks alone."""
    word, length = named.words[named.anchor], len(named.words[named.anchor])
    half, a, b = length // 2, length // 3, 2 * length // 3
    if len(named.words) > 1:
        yield from pairs.keys(named.words, named.anchor)
    if length < _ONE_EDIT:
        return
    if not named.joined:
        yield from shapes.keys(word)
        if named.anchor == next(place for place, one in enumerate(named.words) if len(one) >= _ONE_EDIT):
            yield from masked.keys(named.words)
    if len(named.words) == 1 and length < _SINGLE:
        return
    yield from (f"<{length}{word[:half]}", f">{length}{word[half:]}")
    if named.joined:
        return
    yield f"={word}"
    if length >= (_TWO_EDITS if len(named.words) > 1 else _THIRDS):
        yield from (f"0{length}{word[:a]}", f"1{length}{word[a:b]}", f"2{length}{word[b:]}")
    heard = sound(word)
    if len(heard) >= (_LEAST_SOUND if len(named.words) > 1 else _LEAST_SINGLE_SOUND):
        yield f"~{heard}"


def _asked(word: str) -> Iterator[str]:
    """Under what a text's word is looked up."""
    n, half = len(word), len(word) // 2
    yield f"={word}"
    yield f"={word[: half - 1]}{word[half]}{word[half - 1]}{word[half + 1 :]}"  # neighbours across the halves
    for length in range(max(n - 1, _ONE_EDIT), n + 2):
        half = length // 2
        yield f"<{length}{word[:half]}"
        yield f">{length}{word[n - (length - half) :]}"
    for length in range(max(n - 2, _TWO_EDITS if is_real(word) else _THIRDS), n + 3):
        a, b = length // 3, 2 * length // 3
        yield f"0{length}{word[:a]}"
        for moved in _MOVED[n - length]:
            yield f"1{length}{word[a + moved : b + moved]}"
        yield f"2{length}{word[n - (length - b) :]}"
    if not word.isalpha():
        looks = word.translate(_LOOKS)
        if looks.isalpha():
            yield f"={looks}"
    yield f"~{sound(word.translate(_LOOKS))}"
    yield from shapes.asked(word)


class _Fit(NamedTuple):
    """How a text's word fits one of an alias: edits, and whether that is sure: it is not if it only sounds alike, or if
    a short word has many edits. `spelt`: it does not only sound alike."""

    edits: int
    sure: bool = True
    spelt: bool = True


def _compared(named: _Named, words: Sequence[str], place: int) -> NearHit | None:
    first = place - named.anchor
    there = words[max(first, 0) : first + len(named.words)]
    if first < 0 or len(there) != len(named.words) or (len(there) == 1 and named.words[0] in there[0]):
        return None  # what holds the whole name was judged by its borders
    fits = [_fit(wanted, word, among=len(there)) for wanted, word in zip(named.words, there, strict=True)]
    good = [fit for fit in fits if fit is not None]
    edits = sum(fit.edits for fit in good)
    if len(good) < len(fits) or not 0 < edits <= max(_MOST_EDITS, _spread(named)):
        return None  # without an edit it is the alias itself, which is found otherwise
    sure = all(fit.sure for fit in good) or (
        edits <= _spread(named) and (_is_misspelt_twice(named, there, good) or _is_mistyped(named, there, good))
    )
    sure = sure and _is_sure(named, edits, there)
    return NearHit(named.scope, named.alias, first, first + len(fits), sure)


def _shaped(named: _Named, words: Sequence[str], place: int) -> NearHit | None:
    """The name in one of the `shapes`, if the word at `place` has another look than the name's."""
    first = place - named.anchor
    there = words[max(first, 0) : first + len(named.words)]
    if first < 0 or len(there) != len(named.words) or there[named.anchor] == named.words[named.anchor]:
        return None
    sure = shapes.shaped(named.words, there)
    return None if sure is None else NearHit(named.scope, named.alias, first, first + len(there), sure)


def _slipped(named: _Named, words: Sequence[str], place: int) -> NearHit | None:
    """The name with slips (`slips`)."""
    first = place - named.anchor
    there = words[max(first, 0) : first + len(named.words)]
    if named.joined or first < 0 or len(there) != len(named.words) or _holds_whole(named, there):
        return None
    sure = slips.slipped(named.words, [word if word.isalpha() else word.translate(_LOOKS) for word in there])
    return None if sure is None else NearHit(named.scope, named.alias, first, first + len(there), sure)


def _holds_whole(named: _Named, there: Sequence[str]) -> bool:
    """Whether one word holds the whole name, which was judged by its borders. Its last letter may stand twice, but an
    s: a plural has none behind it."""
    if len(there) > 1 or named.words[0] not in there[0]:
        return False
    last = named.words[0][-1]
    return last == "s" or there[0] != named.words[0] + last


def _fit(wanted: str, word: str, *, among: int) -> _Fit | None:
    """`among`: of how many words the name is."""
    if wanted == word:
        return _Fit(0)
    if len(wanted) < _ONE_EDIT:
        return _fit_of_few(wanted, word)
    looks = word.translate(_LOOKS) if not word.isalpha() else word
    most = 2 if len(wanted) >= _TWO_EDITS else 1
    edits = None if is_known(word) else edits_between(wanted, looks, 2 if among > 1 else most)
    if edits is not None:
        return _Fit(edits or 1, sure=edits <= most)
    if len(word) > _LONGEST:
        return None
    heard = sound(wanted)
    return _Fit(1, sure=False, spelt=False) if len(heard) > 1 and heard == sound(looks) else None


def _fit_of_few(wanted: str, word: str) -> _Fit | None:
    """Of a word of four letters: one edit behind its first letter. It is sure if a letter is doubled or two changed
    places: other edits make other first names."""
    if len(wanted) < _ONE_EDIT - 1 or wanted[0] != word[0] or is_known(word) or edits_between(wanted, word, 1) is None:
        return None
    return _Fit(
        1, sure=sorted(wanted) == sorted(word) or len(shapes.squeezed(word)) == len(shapes.squeezed(wanted)) < len(word)
    )


def _spread(named: _Named) -> int:
    """How many edits a name may have in several words together."""
    return (len("".join(named.words)) + 1) // _LETTERS_AN_EDIT


def _is_misspelt_twice(named: _Named, there: Sequence[str], fits: Sequence[_Fit]) -> bool:
    """Whether two words or more are misspelt, each with its first letter or with the first two in turn: another
    person's name may be like one word of a name, hardly like two."""
    misspelt = [pair for *pair, fit in zip(named.words, there, fits, strict=True) if fit.edits]
    alike = all(slips.begins_alike(wanted, word) for wanted, word in misspelt)
    return len(misspelt) > 1 and alike and all(fit.spelt for fit in fits)


def _is_mistyped(named: _Named, there: Sequence[str], fits: Sequence[_Fit]) -> bool:
    """Whether the one misspelt word has its first letter, and letters side by side as in no common word: it is no other
    person's name."""
    misspelt = [pair for *pair, fit in zip(named.words, there, fits, strict=True) if fit.edits]
    return len(misspelt) == 1 < len(fits) and all(
        word[0] == wanted[0] and is_strange(word) and fit.spelt
        for (wanted, word), fit in zip(misspelt, (fit for fit in fits if fit.edits), strict=True)
    )


def _is_sure(named: _Named, edits: int, there: Sequence[str]) -> bool:
    letters = len("".join(named.words))
    if len(named.words) > 1:
        return letters >= _SURE_LETTERS
    if named.joined or named.words[0][0] != there[0][0]:
        return False  # 'diagonally' is no Diagon Alley, and a preacher no Kreacher
    if is_real(there[0]) or (there[0].endswith(_ENDINGS) and not named.words[0].endswith(_ENDINGS)):
        return False  # a steward is no Stewart, and whoever is pensive looks into no Pensieve
    if edits == 1 and letters == len(there[0]):
        return letters >= _SURE_AS_LONG
    if edits == 2 and abs(letters - len(there[0])) < 2:
        return letters >= _SURE_TWO_AS_LONG
    return letters >= (_SURE_SINGLE if edits == 1 else _SURE_TWO)
