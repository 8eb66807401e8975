"""Words whose letters sound like Latin ones and do not look like them: `Mιρα Tολυνδ`, `Mира`, `ˈhæri ˈpɒtər`.

Whole words of another script are the matter of `classifiers.names.foreign`, and letters that look Latin that of
`classifiers.names.text`. Here are words with both Latin and Greek or Cyrillic letters, and words in phonetic letters
(International Phonetic Alphabet, 2020).
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

__all__ = ["Respelt", "by_sound", "in_cyrillic"]

_OTHER = "\u0370-\u03ff\u0400-\u04ff"
_PHONETIC = "\u0250-\u02afˈˌː"
_LATIN = "A-Za-z\u00c0-\u024f"
_SIGN = re.compile(f"[{_LATIN}][{_OTHER}]|[{_OTHER}][{_LATIN}]|[{_PHONETIC}]")
_LATIN_SIGN, _OTHER_SIGN = re.compile(f"[{_LATIN}]"), re.compile(f"[{_OTHER}]")
_PHONETIC_SIGN = re.compile(f"[{_PHONETIC}]")
_WORD = re.compile(r"(?:[^\W\d_]|[\u0300-\u036f])+")
_SYLLABLES = re.compile(r"(?:[^\W\d_]|[\u0300-\u036f]|(?<=\w)\.(?=\w))+")  # in dictionaries dots part them
_LEAST_MIXED = 3  # letters: 'μm' is no word
_GREEK = dict(zip("αβγδεζηικλμνοπρσςτυφχωάέήίόύώ", "abgdeziiklmnoprsstufhoaeiiouo", strict=True))
_CYRILLIC = dict(zip("абвгдезийклмнопрстуфхыэіїєўґ", "abvgdeziyklmnoprstufhyeiieug", strict=True))
_SEVERAL = {"θ": "th", "ξ": "x", "ψ": "ps", "ё": "yo", "ж": "zh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "sh"}
_SEVERAL |= {"ъ": "", "ь": "", "ю": "yu", "я": "ya"}
_OF_OTHERS = _GREEK | _CYRILLIC | _SEVERAL
_HEARD = {
    "a": "æɑɐ",
    "e": "ɛəɘɜ",
    "er": "ɝɚ",
    "i": "ɪɨ",
    "o": "ɒɔɵøœ",
    "u": "ʊʌʉɯ",
    "y": "jʏ",
    "g": "ɡɢ",
    "l": "ɫɭʎ",
    "r": "ɹɻɾʀʁɽ",
    "n": "ɲɳ",
    "ng": "ŋ",
    "sh": "ʃʂɕ",
    "zh": "ʒʐʑ",
    "th": "θð",
    "v": "ʋβ",
    "f": "ɸ",
    "h": "χħɦ",
    "w": "ʍ",
    "": "ˈˌːˑʔ\u0361\u035c\u0329",
}
# English is written in many ways and Cyrillic in one: so names in phonetic letters are heard as Cyrillic ones.
_IN_CYRILLIC = {
    "а": "aæɑɐʌ",
    "е": "eɛəɘɜ",
    "ер": "ɝɚ",
    "и": "iɪɨy",
    "о": "oɒɔɵøœ",
    "у": "uʊʌʉɯ",
    "б": "b",
    "д": "dð",
    "ф": "fɸ",
    "г": "gɡɢ",
    "х": "hɦxχħ",
    "к": "kqc",
    "л": "lɫɭʎ",
    "м": "m",
    "н": "nɲɳ",
    "нг": "ŋ",
    "п": "p",
    "с": "s",
    "з": "z",
    "р": "rɹɻɾʀʁɽ",
    "т": "tθ",
    "в": "vʋβwʍ",
    "ш": "ʃʂɕ",
    "ж": "ʒʐʑ",
    "й": "jʏ",
    "": "ˈˌːˑʔ.\u0361\u035c\u0329",
}
_SOUND_OF = {letter: said for said, letters in _IN_CYRILLIC.items() for letter in letters}
_OF_PHONETIC = {letter: said for said, letters in _HEARD.items() for letter in letters}


class Respelt(NamedTuple):
    """A text with some words in Latin letters, and for each of its characters the place in the source."""

    text: str
    places: tuple[int, ...]

    def source_range(self, start: int, end: int) -> tuple[int, int]:
        """The half-open range of the source behind the characters [start, end)."""
        return self.places[start], self.places[end - 1] + 1


def by_sound(text: str) -> Respelt | None:
    """The text with its words of mixed scripts and of phonetic letters in the Latin letters of the same sounds; None if
    it has no such word."""
    if text.isascii() or not _SIGN.search(text):
        return None
    return _respelt(text, _WORD, _said)


def in_cyrillic(text: str) -> Respelt | None:
    """The text with its words of phonetic letters in the Cyrillic letters of the same sounds, without the dots between
    their syllables; None if it has no such word."""
    if text.isascii() or not _PHONETIC_SIGN.search(text):
        return None
    return _respelt(text, _SYLLABLES, _heard_as_cyrillic)


def _said(word: str) -> list[str] | None:
    """What each letter of a word is in Latin letters; None for a word that is read otherwise."""
    if word.isascii():
        return None
    if _PHONETIC_SIGN.search(word):
        return _each(word, _OF_PHONETIC)
    if len(word) >= _LEAST_MIXED and _LATIN_SIGN.search(word) and _OTHER_SIGN.search(word):
        return _each(word, _OF_OTHERS)
    return None


def _heard_as_cyrillic(word: str) -> list[str] | None:
    return _each(word, _SOUND_OF) if _PHONETIC_SIGN.search(word) else None


def _each(word: str, table: Mapping[str, str]) -> list[str]:
    said = [(letter, table.get(letter.lower(), letter)) for letter in word]
    return [heard.capitalize() if letter.isupper() else heard for letter, heard in said]


def _respelt(text: str, words: re.Pattern[str], said_of: Callable[[str], list[str] | None]) -> Respelt | None:
    letters: list[str] = []
    places: list[int] = []
    done = 0
    for word in words.finditer(text):
        said = said_of(word.group())
        if said is None:
            continue
        for place in range(done, word.start()):
            letters.append(text[place])
            places.append(place)
        for place, heard in enumerate(said, start=word.start()):
            letters += heard
            places += [place] * len(heard)
        done = word.end()
    if not done:
        return None
    return Respelt("".join([*letters, text[done:]]), (*places, *range(done, len(text))))
