"""How a name may be written: its letters without spaces, and the places where a text may have one."""

import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from classifiers.names.boundaries import CYRILLIC_CASES, Boundary, Letters, is_loose
from classifiers.names.ordinary import Alias
from classifiers.names.text import is_mark
from classifiers.names.vocabulary import is_known

__all__ = ["Form", "forms"]

_USUAL = re.compile("[A-Z]?[a-z]+(?: [A-Z]?[a-z]+)*")
_CAPITALS = re.compile(r"\b[A-Z]{2,3}\b")
_UMLAUTS = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "đ": "dj", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "Ø": "Oe"}
    | {"Å": "Aa", "Đ": "Dj"}
)
_JOINED_LETTERS = 9  # two words joined that have so many letters are the name even inside a longer word
_HANGUL_JOINED = 4  # syllables
_STEM_LETTERS = 6
_ADJECTIVES = ("ий", "ый", "ой", "ая", "яя", "ое", "ее", "ые", "ие")
_DECLINED_WORDS, _DECLINED_LETTERS = 2, 3  # of a Cyrillic name: words before the last, letters of each
_TURNED_WORDS, _TURNED_LETTERS, _LAST_NAME_LETTERS = 3, 7, 3
_ENDING_LETTERS = "аяыьйеиоу"  # that other case endings take the place of, as vowel signs do in Indian scripts


@dataclass(frozen=True, slots=True)
class Form:
    """One spelling of an alias without spaces. A text may have a space before each of the places in `breaks`. A `stem`
    lacks the name's last letter, and a text must have another letter there. A `turned` form has the last name first,
    which has so many letters; with `capitals`, each of its words must have one, or there must be a second sign."""

    letters: str
    breaks: tuple[int, ...]
    script: str
    first_script: str
    plural: bool
    glued: bool
    stem: bool = False
    turned: int = 0
    capitals: bool = False


def forms(alias: Alias) -> list[Form]:
    """The spellings that count as this alias: as given, with ae for ä and the like, with the last name
    first, and a stem that takes endings.

    Raises ValueError for an alias without a letter or digit.
    """
    name = unicodedata.normalize("NFC", alias.name)
    first = _form(alias, alias.name)
    found = [first]
    if name.translate(_UMLAUTS) != name:
        found.append(_form(alias, name.translate(_UMLAUTS)))
    if alias.match == "exact":
        return found
    if _turns(name, first):
        found.append(_turned(alias, name))
    declined = [first]
    if first.script == "CYRILLIC":
        declined += [_form(alias, other) for other in _declined(name)]
    last = name.strip()[-1:].casefold()
    falls = last in _ENDING_LETTERS or (is_mark(first.letters[-1]) and not is_loose(first.script))
    if len(first.letters) >= _STEM_LETTERS and falls:
        cut = 2 if name.strip().casefold().endswith(_ADJECTIVES) else 1
        found += [
            replace(form, letters=form.letters[:-letters], stem=True)
            for form in declined
            for letters in range(1, cut + 1)
        ]
    return found + declined[1:]


def _turns(name: str, form: Form) -> bool:
    """Whether people write the last word of a name first, as in lists: it is a name of two or three words, all with a
    capital, in a script that has capitals."""
    words = name.split()
    return (
        1 < len(words) <= _TURNED_WORDS
        and all(word[0].isupper() for word in words)
        and len(form.letters) >= _TURNED_LETTERS
        and sum(map(str.isalpha, words[-1])) >= _LAST_NAME_LETTERS
        and form.script == form.first_script
    )


def _turned(alias: Alias, name: str) -> Form:
    *given, last = name.split()
    form = _form(alias, " ".join([last, *given]))
    ordinary = any(len(word) < _LAST_NAME_LETTERS or is_known(word.lower()) for word in (last, *given))
    return replace(form, turned=len(Letters(last).text), capitals=ordinary, plural=False, glued=False)


def _declined(name: str) -> Iterator[str]:
    """A Cyrillic name of two or three words, with case endings on the words before its last one. Short words and
    initials keep their form."""
    *before, last = name.split()
    if 1 <= len(before) <= _DECLINED_WORDS:
        for words in itertools.product(*map(_cases, before)):
            if list(words) != before:
                yield " ".join([*words, last])


def _cases(word: str) -> list[str]:
    if len(word) < _DECLINED_LETTERS or not word.isalpha():
        return [word]
    stem = word[:-1] if word[-1].casefold() in _ENDING_LETTERS else word
    stems = {stem, word[:-2] if word.casefold().endswith(_ADJECTIVES) else stem}
    return [word, *(one + ending for one in sorted(stems) for ending in CYRILLIC_CASES)]


def _form(alias: Alias, name: str) -> Form:
    letters = Letters(name)
    if not letters.text:
        raise ValueError(f"alias {name!r} has no letter or digit; remove it from the scope file")
    words = letters.words
    if _USUAL.fullmatch(name):
        breaks = set(itertools.accumulate(map(len, words[:-1])))  # the same, but quickly
    else:
        breaks = {index for index in range(1, len(letters.text)) if letters.edge(index) >= Boundary.SOFT}
        breaks |= set(_initials(letters))
    script = letters.script(len(letters.text) - 1)
    return Form(
        letters=letters.text,
        breaks=tuple(sorted(breaks)),
        script=script,
        first_script=letters.script(0),
        plural=len(words[-1]) > 3 and not words[-1].endswith("s"),
        glued=_is_long(name, letters.text, words, script) and alias.match != "exact",
    )


def _is_long(name: str, letters: str, words: Sequence[str], script: str) -> bool:
    if script == "HANGUL":
        return sum(character.isalnum() for character in unicodedata.normalize("NFC", name)) >= _HANGUL_JOINED
    return script == "LATIN" and len(words) > 1 and len(letters) >= _JOINED_LETTERS


def _initials(letters: Letters) -> Iterator[int]:
    """The places inside words of two or three capitals, which are taken for initials: 'JK Rowling' as 'j k rowling'."""
    for match in _CAPITALS.finditer(letters.source):
        for index in range(1, len(letters.text)):
            if match.start() < letters.source_range(index, index + 1)[0] < match.end():
                yield index
