"""Characters that look like Latin letters, as those: by Unicode's table of confusables (Technical Standard 39), by
compatibility (Standard Annex 15) and by the characters' names.

The table is the one of the package confusable-homoglyphs, which keeps Unicode's file as data.
"""

import json
import re
import string
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from importlib import resources

from classifiers.names.text import LOOKALIKES, is_invisible
from classifiers.views.fancy import SIGNS_ALONE
from classifiers.views.view import Decoded, Edit, View, rewritten

__all__ = ["confusables", "folded", "latin_of"]

_RUN = re.compile(r"(?<!\S)\S*[^\x00-\x7f]\S*")
_ORDINARY = frozenset("’‘“”–—…•·°€£¥©®™×÷½¼¾²³«»¿¡§ \u00a0\u2009\u202f")
# Squared, circled, parenthesised, small capital, turned, regional indicator: all say which letter they are.
_NAMED = re.compile(
    r"(?:.*\bLATIN |REGIONAL INDICATOR SYMBOL |TAG LATIN )?(?:SMALL |CAPITAL )?LETTER "
    r"(?:SMALL CAPITAL |TURNED |REVERSED |INVERTED )*([A-Z])(?: WITH .+)?"
)
_SHAPES = {
    "₳": "a",
    "฿": "b",
    "₵": "c",
    "₲": "g",
    "₭": "k",
    "₦": "n",
    "₱": "p",
    "₴": "s",
    "₮": "t",
    "₩": "w",
    "Λ": "a",
} | {
    "ғ": "f",
    "ϻ": "m",
    "ϱ": "p",
    "ɟ": "f",
    "ɔ": "c",
    "ı": "i",
    "ſ": "s",
    "ƃ": "g",
    "ʃ": "l",
    "ן": "l",
    "ə": "e",
    "ŋ": "n",
}
_SHAPES |= {"⭕": "o", "🔴": "o", "🌕": "o", "〇": "o", "❌": "x", "✖": "x", "✝": "t", "➕": "t", "❎": "x", "🅾": "o"}
# The elder futhark, by sound.
_SHAPES |= dict(zip("ᚠᚢᚨᚱᚲᚷᚹᚺᚾᛁᛃᛇᛈᛉᛊᛋᛏᛒᛖᛗᛚᛟᛞᚡᚤᛪᛣ", "fuarkgwhnijipzsstbemlodvyxk", strict=True))
_SHAPES |= {"ᚦ": "th", "ᛜ": "ng", "ᛝ": "ng"}
_SHAPES |= {
    sign: letter
    for alphabet in SIGNS_ALONE
    for letter, sign in zip(string.ascii_lowercase, alphabet, strict=True)
    if sign > "~"
}
_LAST_COMMON = "\u017f"  # of the Latin letters that languages of Europe use
_LATIN_SHARE = 0.5


def folded(view: View) -> View | None:
    """The view in plain Latin letters, where characters only look like those; None if that changes nothing, or if the
    text is in another script for the most part."""
    if view.text.isascii():
        return None
    edits = [edit for run in _RUN.finditer(view.text) for edit in _edits(run)]
    if not edits:
        return None
    found = rewritten(view, "look-alikes", edits)
    letters = [letter for letter in found.text if letter.isalpha()]
    latin = sum(letter.isascii() for letter in letters)
    return found if latin >= _LATIN_SHARE * len(letters) else None


def _edits(run: re.Match[str]) -> Iterator[Edit]:
    """A word of other letters becomes Latin as a whole or not at all: those of a Russian word stay what they are."""
    letters = [(place, letter) for place, letter in enumerate(run.group(), run.start()) if letter not in _ORDINARY]
    plain = [(place, letter, latin_of(letter)) for place, letter in letters]
    mixed = any(_is_latin(letter) for _, letter, _ in plain)
    whole = mixed or all(said is not None for _, letter, said in plain if letter.isalpha())
    for place, letter, said in plain:
        if said is not None and (whole or not letter.isalpha()):
            yield Edit(place, Decoded(said, (0,) * len(said), 1))


@lru_cache(maxsize=65536)
def latin_of(character: str) -> str | None:
    """What the character looks like, '' if it shows nothing; None if it stays as it is."""
    if character.isascii():
        return None
    if is_invisible(character) or unicodedata.category(character) in ("Cf", "Me"):
        return ""
    if (
        character <= _LAST_COMMON
        or _is_latin(unicodedata.normalize("NFD", character)[0])
        or unicodedata.category(character) == "Mn"
    ):
        return None  # an accent is ordinary, and every detector drops it
    said = _looks_like(character)
    if said is None or (said == character and not character.isascii()):
        return None
    return said.upper() if character.isupper() and len(said) == 1 else said


def _looks_like(character: str) -> str | None:
    base = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
    if base.isascii() and base.isalnum():
        return base
    small = base.casefold()
    if len(small) == 1 and small in LOOKALIKES:
        return LOOKALIKES[small]
    if character in _SHAPES:
        return _SHAPES[character]
    named = _NAMED.fullmatch(unicodedata.name(character, ""))
    if named:
        return named.group(1).lower()
    return confusables().get(character) or confusables().get(base)


def _is_latin(letter: str) -> bool:
    return letter.isascii() and letter.isalpha()


@lru_cache(maxsize=1)
def confusables() -> dict[str, str]:
    """Each character that Unicode's table gives Latin letters for."""
    file = resources.files("confusable_homoglyphs") / "confusables.json"
    table = json.loads(file.read_text(encoding="utf-8"))
    found = {}
    for character, others in table.items():
        said = [other["c"] for other in others if other["c"].isascii() and other["c"].isalpha()]
        if len(character) == 1 and not character.isascii() and said:
            found[character] = min(said, key=len).lower()
    return found
