"""Sentences in another language and in Latin letters, where names stand as that language says them: `Sherlok Kholms`
(Russian), `Sharokku Hoomuzu` (Japanese)."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from anyascii import anyascii

from classifiers.names.vocabulary import is_known, known_share

__all__ = ["LatinWord", "latin_words"]

_ENGLISH = 0.5  # share of the letters in common English words, from which a sentence is none in another language
_VOWELS, _FEWEST_VOWELS, _PLAIN = "aeiouy", 0.25, 0.85  # shares of the letters, of all characters
_SENTENCE = re.compile(r"[^.!?;\n\u3002\uff01\uff1f]+")
_WORD = re.compile(r"(?<![^\W_])[A-Za-z\u00c0-\u024f]+(?:['’][A-Za-z\u00c0-\u024f]+)*(?![^\W_])")
_MARKED = str.maketrans(
    dict.fromkeys("šśşșŝ", "sh") | dict.fromkeys("čćĉ", "ch") | {"ž": "zh", "ŭ": "u"}  # anyascii drops the marks
)
_CYRILLIC_END = re.compile(
    "(?:ami|yami|ogo|ego|omu|emu|om|em|yom|ov|ev|am|yam|akh|yakh|oy|ey|oi|ei|yy|iy|ym|im|ykh|ikh)$"
)
_SYLLABLES = re.compile(
    "(?:(?:[kgsztdnhbpmyrwjf]|[kgnhbpmr]y|sh|ch|ts|dz|dy|ky)?[aeiou]|n|m(?=[bp])|([kstp])(?=\\1)|t(?=ch))+"
)
_SHORTEST = 3  # letters that are left without an ending


class LatinWord(NamedTuple):
    """A word at a half-open range of a text: its letters, and these without what may be an ending."""

    start: int
    end: int
    whole: str
    shorter: str


def latin_words(text: str) -> Iterator[tuple[str, list[LatinWord]]]:
    """Of each sentence in Latin letters that is not English and holds a word that is not, either: its words, to be
    heard like Cyrillic ones, and those that have a vowel behind each consonant, to be heard like Japanese ones."""
    for sentence in _SENTENCE.finditer(text):
        if _is_language(sentence.group()) and known_share(sentence.group()) < _ENGLISH:
            words = [_word(found, sentence.start()) for found in _WORD.finditer(sentence.group())]
            if any(not is_known(word.whole) for word in words):
                yield "CYRILLIC", words
                yield "KATAKANA", [word for word in words if _SYLLABLES.fullmatch(word.whole)]


def _is_language(sentence: str) -> bool:
    """Whether a sentence may be said: words with vowels, and hardly any signs or digits. It spares time on code."""
    length = len(sentence)
    letters = sum(map(str.isalpha, sentence))
    vowels = sum(map(sentence.lower().count, _VOWELS))
    return letters + sentence.count(" ") >= _PLAIN * length and vowels >= _FEWEST_VOWELS * letters


def _word(found: re.Match[str], start: int) -> LatinWord:
    whole = anyascii(found.group().lower().translate(_MARKED)).replace("'", "").lower()
    shorter = _CYRILLIC_END.sub("", whole)
    return LatinWord(start + found.start(), start + found.end(), whole, shorter if len(shorter) >= _SHORTEST else whole)
