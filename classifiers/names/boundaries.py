"""Where words begin and end: at spaces, humps of camelCase and changes of script; and the endings of names."""

import re
import unicodedata
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Final

from classifiers.names.text import Normalised, is_invisible, is_mark, normalise

__all__ = [
    "CYRILLIC_CASES",
    "Boundary",
    "Letters",
    "beginning_fits",
    "ending_fits",
    "is_joiner",
    "is_loose",
    "script_of",
]

_NO_SPACES = frozenset(
    "CJK IDEOGRAPHIC HIRAGANA KATAKANA BOPOMOFO THAI LAO KHMER MYANMAR TIBETAN JAVANESE BALINESE SUNDANESE CHAM TAI YI "
    "TANGUT NUSHU".split()
)
# one letter with the letter before it: a long vowel and the small kana
_CONTINUES = frozenset("ーぁぃぅぇぉゃゅょゎァィゥェォャュョヮ")
_LATE_JAMO = re.compile("[\u1161-\u11ff]")  # vowels and final consonants: inside a syllable
_JOINERS = frozenset("·・‧•∙⋅･゠=-‐‑‒–—")  # between the words of a name where the script has no spaces
_INSIDE_A_WORD = re.compile("[A-Za-z][a-z]")  # nothing to look up: most letters of most names
_MAC = re.compile(r"(?:^|[^A-Za-z])Ma?c$")  # McDonald and MacArthur are one word
_LONGEST_TAIL = 16  # letters; five Korean syllables have up to 15
_LONGEST_PREFIX = 4


class Boundary:
    """The kinds of boundary between two letters that follow each other, from weak to strong."""

    INSIDE: Final = 0  # of one letter with its marks
    NONE: Final = 1
    SOFT: Final = 2  # a hump, a change of script, letters beside digits, an invisible character
    HARD: Final = 3  # a space, punctuation, the start or the end


class Letters:
    """A text's normalised letters without the spaces, and the boundaries between them.

    A boundary is computed when it is asked for: most texts hold no name, so that nobody asks.
    """

    def __init__(self, source: str) -> None:
        normal = normalise(source)
        self.source = source
        self.text = normal.text.replace(" ", "")
        self._normal: Normalised = normal

    @property
    def normal(self) -> Normalised:
        """The normalised text, with its spaces."""
        return self._normal

    @cached_property
    def words(self) -> list[str]:
        """The normalised text word by word."""
        return self._normal.text.split()

    def words_range(self, first: int, last: int) -> tuple[int, int]:
        """The half-open source range behind the words [first, last)."""
        return self.source_range(self._word_starts[first], self._word_starts[last])

    @cached_property
    def _word_starts(self) -> list[int]:
        """Before which letter each word begins, and where the last one ends."""
        return list(accumulate(map(len, self.words), initial=0))

    @cached_property
    def places(self) -> list[int]:
        """For each letter its index in the normalised text."""
        return [index for index, letter in enumerate(self._normal.text) if letter != " "]

    def source_range(self, start: int, end: int) -> tuple[int, int]:
        """The half-open source range behind the letters [start, end)."""
        return self._normal.starts[self.places[start]], self._normal.ends[self.places[end - 1]]

    def edge(self, index: int) -> int:
        """The boundary before the letter at `index`; `len(text)` asks for the end."""
        if index == 0 or index == len(self.text):
            return Boundary.HARD
        places = self.places
        if places[index] - places[index - 1] > 1:
            return Boundary.HARD
        starts = self._normal.starts
        before, after = starts[places[index - 1]], starts[places[index]]
        if after == before + 1 and _INSIDE_A_WORD.match(self.source, before):
            return Boundary.NONE
        return self._edge(index, before, after)

    def _edge(self, index: int, before: int, after: int) -> int:
        """The boundary between two source characters with no space between them."""
        places, ends = self.places, self._normal.ends
        letter = self.text[index]
        if before == after or is_mark(letter) or letter in _CONTINUES or _LATE_JAMO.match(letter):
            return Boundary.INSIDE
        gap = self.source[ends[places[index - 1]] : after]
        if any(is_invisible(character) or not is_mark(character) for character in gap):
            return Boundary.SOFT
        one, other = self.source[before], self.source[after]
        if script_of(one) != script_of(other) or self._is_hump(before, after):
            return Boundary.SOFT
        return Boundary.NONE

    @property
    def trails_off(self) -> bool:
        """Whether a space or punctuation stands behind the last letter."""
        return self._normal.starts[-1] < len(self.source)

    def gap(self, index: int) -> str:
        """The source between the letter before `index` and the letter at it."""
        return self.source[self._normal.ends[self.places[index - 1]] : self._normal.starts[self.places[index]]]

    def tail(self, end: int) -> str | None:
        """The letters from `end` up to the next edge; None if a word goes on for long."""
        for stop in range(end, min(end + _LONGEST_TAIL, len(self.text)) + 1):
            if self.edge(stop) >= Boundary.SOFT:
                return self.text[end:stop]
        return None

    def prefix(self, start: int) -> str | None:
        """The letters from the last edge up to `start`; None if they are many."""
        for first in range(start, max(start - _LONGEST_PREFIX, 0) - 1, -1):
            if self.edge(first) >= Boundary.SOFT:
                return self.text[first:start]
        return None

    def script(self, index: int) -> str:
        """The script of the source behind a letter."""
        return script_of(self.source[self._normal.starts[self.places[index]]])

    def _is_hump(self, before: int, after: int) -> bool:
        one, other = self.source[before], self.source[after]
        if not other.isupper():
            return False
        if one.islower():
            return _MAC.search(self.source[max(0, before - 3) : after]) is None
        return one.isupper() and self.source[after + 1 : after + 2].islower()


@lru_cache(maxsize=65536)
def script_of(character: str) -> str:
    """The script as the first word of the character's name in Unicode, 'DIGIT' for digits of any script."""
    base = unicodedata.normalize("NFKD", character)[:1]
    if base.isdecimal():
        return "DIGIT"
    name = unicodedata.name(base, "?").split(" ")[0].split("-")[0]
    return "CJK" if name == "IDEOGRAPHIC" else name


def is_loose(script: str) -> bool:
    """Whether the words of the script have no spaces between them."""
    return script in _NO_SPACES


def is_joiner(gap: str) -> bool:
    """Whether this source text between two letters only separates the words of a name."""
    return all(character.isspace() or character in _JOINERS for character in gap)


def _decomposed(pieces: str) -> list[str]:
    return sorted((unicodedata.normalize("NFKD", piece) for piece in pieces.split()), key=len, reverse=True)


_PARTICLES = re.compile(
    "(?:"
    + "|".join(
        _decomposed(
            "은 는 이 가 을 를 의 에 에서 에게 에게서 한테 한테서 께 께서 와 과 랑 이랑 하고 도 만 로 으로 "
            "부터 까지 처럼 보다 마저 조차 밖에 뿐 들 라 이라 란 이란 라고 이라고 라는 이라는 라면 이라면 야 "
            "아 여 이여 님 씨 군 양 다 이다 였다 이었다 였 이었 인 인가 인지 일 입니다 입니까 이에요 예요 요 "
            "냐 이냐 나 이나 니 든지 이든지 며 이며 고 이고 지 이지 죠 이죠 대 측 및"
        )
    )
    + ")+"
)
# Case endings that languages in Latin script glue onto names: Finnish, Hungarian, Turkish, Polish, Czech.
_ENDINGS = re.compile(
    "in|ia|iin|ssa|sta|lla|lle|lta|ksi|nak|nek|ban|ben|bol|rol|tol|nal|nel|hoz|hez|val|vel|"
    "un|da|de|dan|den|ta|te|tan|ten|nin|nun|lar|ler|owi|ovi|em|om|ow|ami"
)
_SHORT_ENDINGS = re.compile("a|u")
CYRILLIC_CASES = tuple("а у ом ем е ы и ю я ой ей ую юю ого его ому ему ым им ых их".split())
_CYRILLIC_ENDINGS = re.compile(
    "|".join(
        normalise(ending).text.strip()
        for ending in "а у ом ем ём е ы и ю я ой ей ою ею ую юю ов ев ам ям ами ями ах ях ым им ых их ого его ому ему "
        "і ї ові еві ью ья ье ски ский ская ское ские ского ской та то те ът".split()
    )
)
_PROCLITICS = {"ARABIC": re.compile("[وفبلك]{0,2}(?:ال|ل)?"), "HEBREW": re.compile("[והבלמשכ]{1,3}")}
_INFLECTED, _CLEARLY_A_NAME, _INFLECTED_CYRILLIC = 6, 8, 4  # letters that a name needs
_SHORT_TAIL, _LONG_TAIL = 3, 6  # letters; a vowel sign of an Indian script is one


def ending_fits(script: str, letters: int, tail: str) -> bool:
    """Whether the letters behind a name are an ending of the language.

    Args:
        script: the script of the name's last letter.
        letters: how many letters the name has.
        tail: what is glued on, normalised.
    """
    if script == "HANGUL":
        return _PARTICLES.fullmatch(tail) is not None
    if script == "CYRILLIC":
        return letters >= _INFLECTED_CYRILLIC and _CYRILLIC_ENDINGS.fullmatch(tail) is not None
    if letters < _INFLECTED or script == "DIGIT":
        return False
    if script != "LATIN":
        return len(tail) <= (_SHORT_TAIL if script == "GREEK" else _LONG_TAIL)
    return bool(_ENDINGS.fullmatch(tail)) or (letters >= _CLEARLY_A_NAME and bool(_SHORT_ENDINGS.fullmatch(tail)))


def beginning_fits(script: str, prefix: str) -> bool:
    """Whether the letters in front of a name are an article, a preposition or 'and'."""
    proclitics = _PROCLITICS.get(script)
    return proclitics is not None and proclitics.fullmatch(prefix) is not None
