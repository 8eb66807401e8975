"""Words that general traffic does not have, in the spellings that may hide a name: for the detector of names alone."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from classifiers.names.vocabulary import is_strange
from classifiers.views.drawn import redrawn
from classifiers.views.lines import lines
from classifiers.views.spelling import (
    AROUND,
    ATBASH,
    INNER,
    KEYS_BESIDE,
    LEET,
    LEET_L,
    SHIFTS,
    SIGNS_BESIDE,
    each_reversed,
    is_small_word,
    letters_apart,
    stretches,
)
from classifiers.views.view import View
from classifiers.views.wording import cues

__all__ = ["odd_names"]

_DIGIT = re.compile(r"[0-9@$!|+€£]")
_ROT13 = 12  # of the shifts, which begin with 1
_DIGITS_INSIDE, _CAPITALS_INSIDE = re.compile(r"(?<=[A-Za-z])\d+(?=[a-z])"), re.compile(r"(?<=[a-z])[A-Z]{2,}(?=[a-z])")
_SAME_VOWEL = re.compile(r"([aeiouyäöü])[bdfghlpstvw]{1,2}(?:\1|(?<=i.)y)")
_LAST_I = re.compile(r"i\b")
_LONGEST_PLAY, _FEWEST_AGAIN, _LEAST_LEFT = 48, 2, 0.4
_SIGN_BESIDE = re.compile(r"[\[;,]")
_TRIPLED = re.compile(r"(\w)\1\1(\w)\2\2")
_LONGEST_WORD = 60
_LEAST_TWICE, _LEAST_THRICE = 8, 15  # letters of a word of which each second one, or third, may say something
_SYLLABLES, _FEWEST_SYLLABLES = (
    ("ub", "ob", "ab", "ag", "eg", "ig", "ib", "op", "egg", "ong", "idig", "ithieg", "itherg", "uddag"),
    2,
)
_LEET_BAR = {**LEET, **str.maketrans("|!", "ll")}
_CIPHERS = frozenset("atba caes rot rot1 shif ciph decr deci deco enco encr".split())
_SHIFTED = (*SHIFTS, ATBASH)


def odd_names(view: View) -> Iterator[View]:
    """Every stretch of odd words and every run of letters that stand apart, spelled in the ways that hide a name. All
    shifts of the alphabet are a view of their own: they are long, and must not push out the likelier spellings."""
    ciphered = not _CIPHERS.isdisjoint(cues(view.text))
    odd = [
        (stretch.start, stretch.end, source)
        for stretch in stretches(view.text)
        if len(source := view.text[stretch.start : stretch.end].strip(AROUND)) <= _LONGEST_WORD * stretch.odd
    ]
    spelled = [
        (start, end, tuple(dict.fromkeys(_variants(source, view.text[start:end])))) for start, end, source in odd
    ]
    shifted = [
        (start, end, tuple(source.translate(table) for table in _SHIFTED))
        for start, end, source in odd
        if ciphered or is_strange(source)
    ]
    apart = [(start, end, tuple(_turned(said))) for start, end, said in letters_apart(view.text)]
    for rows in ([*spelled, *apart], shifted):
        if rows:
            yield lines(view, "odd words", rows)


def _turned(readings: Sequence[str]) -> Iterator[str]:
    for said in readings:
        yield from (said, said[::-1], said.translate(SHIFTS[_ROT13]))


def _variants(source: str, whole: str) -> Iterator[str]:
    """Of an odd word without the signs around it, and with them."""
    if (drawn := redrawn(whole)) != whole:
        yield drawn
        yield drawn.translate(LEET)
    yield source[::-1]
    if " " in source:
        yield each_reversed(source)
    yield source.translate(SHIFTS[_ROT13])
    bare = INNER.sub("", source)
    if bare != source:
        if (letters := bare.translate(LEET)).isalpha():
            yield letters[0] + letters[1:].lower()  # a capital or a digit inside would begin a word
        bare_words = [word for token in source.split() if (word := INNER.sub("", token))]
        yield " ".join(bare_words)
        yield from _pairs(bare_words)
    if _DIGIT.search(source):
        for table in (LEET, LEET_L, _LEET_BAR):
            yield source.translate(table)
            yield source.translate(table)[::-1]
    for table in KEYS_BESIDE:
        yield source.translate(table)
    if _SIGN_BESIDE.search(whole):
        yield whole.translate(SIGNS_BESIDE)
    if source.lower().endswith("ay"):
        yield from _pig_latin(source)
    yield from _thinned(source)


def _pairs(words: Sequence[str]) -> Iterator[str]:
    """Each two words of a stretch together, but small ones: 'Snap e Meta' names no Snape."""
    for one, other in pairwise(words):
        if not (is_small_word(one) or is_small_word(other)) and (one + other).isalpha():
            yield one + other.lower()


def _thinned(source: str) -> Iterator[str]:
    """Without letters that were put between: each second one (MMiirraa, Mxixrxa), or a syllable before each vowel."""
    words = source.split()
    if any(len(word) >= _LEAST_TWICE for word in words):
        yield " ".join(word[::2] for word in words)
        yield source[::2]
        yield source[1::2]
        if _TRIPLED.search(source):
            yield " ".join(word[::3] for word in words)
        if any(len(word) >= _LEAST_THRICE for word in words):
            yield from ("".join(words)[first::3] for first in range(3))
    yield from _without_what_comes_again(source)
    for put_in in (_DIGITS_INSIDE, _CAPITALS_INSIDE):
        if put_in.search(source):
            yield put_in.sub("", source)
    for syllable in _SYLLABLES:
        if source.lower().count(syllable) >= _FEWEST_SYLLABLES:
            yield re.sub(f"{syllable}(?=[aeiouy])", "", source, flags=re.IGNORECASE)


def _without_what_comes_again(source: str) -> Iterator[str]:
    """Without some letters that stand in it several times, as play languages have them (Habarraby Pabottaber), and
    without a consonant between twice the same vowel (Hafarry)."""
    low = source.lower()
    if not _LEAST_TWICE <= len(low) <= _LONGEST_PLAY:
        return
    parts = {low[start : start + size] for size in range(2, 6) for start in range(len(low) - size + 1)}
    for part in sorted(part for part in parts if part.isalpha() and low.count(part) >= _FEWEST_AGAIN):
        said = low.replace(part, "")
        if len(said) >= _LEAST_LEFT * len(low):
            yield said
    if (said := _SAME_VOWEL.sub(r"\1", low)) != low:
        yield said
        yield _LAST_I.sub("y", said)


def _pig_latin(source: str) -> Iterator[str]:
    """The first consonants of each word stand behind it, before 'ay'."""
    for moved in (1, 2):
        yield " ".join(
            word[-2 - moved : -2] + word[: -2 - moved] if word.lower().endswith("ay") else word
            for word in source.split()
        )
