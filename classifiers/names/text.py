"""Text normalisation that remembers where each character came from.

Matching happens on the normalised text, corruption on the text as sent, so every normalised character
keeps the offsets of the source character that produced it.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

__all__ = ["LOOKALIKES", "MIXED_SCRIPTS", "Normalised", "is_invisible", "is_mark", "normalise", "warm_up"]

# Letters of other scripts that look like Latin ones and survive NFKD (Unicode TS 39 lists them all; these are the
# ones that a keyboard types). An attacker's spelling must not hide a name.
LOOKALIKES = dict(
    zip(
        "аеорсухіјѕԁɡвкмнтһүαορνικυβεητχζɑıℓօոսցզհյքԛԝ",
        "aeopcyxijsdgbkmhthyaopvikubehtxzailonugqhjpqw",
        strict=True,
    )
)
_LOOKALIKES = str.maketrans(LOOKALIKES)
# Letters that look like a Latin one in one case alone. A real Greek or Armenian name must be the same name in both
# cases, so these count in words that have Latin letters, too.
MIXED_SCRIPTS = str.maketrans(
    "ΗΜΝΥγωμ\u00b5ՏԼՍՈꓢᎪᏴᏟᎠᎬᏀᎻᎫᏦᏞᎷᏢᏒᏚᎢᏙᎳᎩᏃ",
    "HMNYywuuSLUNSABCDEGHJKLMPRSTVWYZ",
)
_ASCII_LETTER = re.compile("[A-Za-z]")
# A word with whatever stands in it: marks and invisible characters, too.
_RUN = re.compile(r"[^\s\d!-/:-@\[-`{-~]+")
# Persian and Arabic keyboards type these letters of one name differently.
_ARABIC = {"ی": "ي", "ى": "ي", "ک": "ك", "ة": "ه", "ـ": ""}
# Latin letters that Unicode does not decompose and whose names do not end in 'WITH ...'.
_LATIN = {
    "æ": "ae",
    "œ": "oe",
    "ð": "d",
    "þ": "th",
    "ŋ": "n",
    "ə": "e",
    "ǝ": "e",
    "ɛ": "e",
    "ɔ": "o",
    "ĸ": "k",
    "ȷ": "j",
}
_HAN = ("\u3400", "\u9fff")
_LATIN_NAME = re.compile(r"LATIN (?:SMALL LETTER|LETTER SMALL CAPITAL) ([A-Z])(?: WITH .+)?")

# Default_Ignorable_Code_Point (Unicode 16, DerivedCoreProperties): nobody sees them, with a name around or between.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Scripts whose vowels are marks: there a mark is a letter of the word, in other scripts it is an accent.
_VOWEL_MARKS = re.compile("[\u0900-\u1aaf\u1b00-\u1cff\u3099\u309a\ua800-\uabff\U00010a00-\U00011fff]")
_NUKTA = 7  # canonical combining class of a dot that writers leave out
_FIRST_ACCENT = 200  # and the first class of marks above and below a letter

_MARKUP = re.compile(
    r"(?P<space>%[0-7][0-9A-Fa-f]|&(?:[a-z]{2,6}|#\d{1,5}|#x[0-9A-Fa-f]{1,4});|</?(?:br|p|div|li|td|tr|th|hr)\s*/?>)"
    r"|</?(?:b|i|u|s|em|strong|mark|small|sub|sup|code|kbd|span|font|wbr)\s*/?>"
)
_MARKS = re.compile("[%&<]")  # markup begins so
_ASCII_WORD = re.compile("[0-9A-Za-z]+")
_SPACES = {"nbsp", "ensp", "emsp", "thinsp", "amp", "quot", "apos", "lt", "gt", "shy", "ndash", "mdash", "middot"}


@dataclass(frozen=True, slots=True)
class Normalised:
    """Words of a text in lower case without accents, parted and surrounded by single spaces.

    `starts[i]` and `ends[i]` bound the source characters behind `text[i]`.
    """

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def source_range(self, start: int, end: int) -> tuple[int, int]:
        """The half-open source range behind the normalised range [start, end)."""
        return self.starts[start], self.ends[end - 1]


def normalise(text: str) -> Normalised:
    """Lower case, compatibility forms unfolded, accents and invisible characters dropped, punctuation to spaces."""
    return _plain_words(text) if text.isascii() and not _MARKS.search(text) else _unfolded(text)


def _plain_words(text: str) -> Normalised:
    """The same, ten times as fast, for ASCII without markup: the letters of a word stand side by side."""
    words: list[str] = []
    starts: list[int] = [0]
    ends: list[int] = [0]
    for match in _ASCII_WORD.finditer(text):
        start, end = match.span()
        words.append(match.group())
        starts += range(start, end + 1)
        ends += range(start + 1, end + 2)
    if not words:
        return Normalised(" ", (0,), (0,))
    ends[-1] = min(ends[-1], len(text))
    return Normalised(f" {' '.join(words).lower()} ", tuple(starts), tuple(ends))


def _unfolded(text: str) -> Normalised:
    characters: list[str] = [" "]
    starts: list[int] = [0]
    ends: list[int] = [0]
    for position, source in enumerate(_without_mixed_scripts(_without_markup(text))):
        for character in _fold(source):
            if character == " " and characters[-1] == " ":
                continue
            if character > "\u08ff" and characters[-1] < "\u0900" and is_mark(character):
                continue  # a vowel of another script on a Latin letter: an attacker's accent
            characters.append(character)
            starts.append(position)
            ends.append(position + 1)
    if characters[-1] != " ":
        characters.append(" ")
        starts.append(len(text))
        ends.append(len(text))
    return Normalised("".join(characters), tuple(starts), tuple(ends))


@lru_cache(maxsize=4096)
def is_invisible(character: str) -> bool:
    """Whether Unicode says that programs show nothing for this character."""
    return _INVISIBLE.match(character) is not None


@lru_cache(maxsize=4096)
def is_mark(character: str) -> bool:
    """Whether a character belongs to the letter before it."""
    return unicodedata.category(character)[0] == "M"


def _without_markup(text: str) -> str:
    """Escaped spaces and tags that hold no words become spaces or invisible characters, as many as they were."""
    if "%" in text or "&" in text or "<" in text:
        return _MARKUP.sub(_blank, text)
    return text


def _without_mixed_scripts(text: str) -> str:
    """Letters that look like Latin ones become those, one for one, in words that have Latin letters."""
    return text if text.isascii() else _RUN.sub(_latin, text)


def _latin(match: re.Match[str]) -> str:
    word = match.group()
    return word.translate(MIXED_SCRIPTS) if _ASCII_LETTER.search(unicodedata.normalize("NFKD", word)) else word


def _blank(match: re.Match[str]) -> str:
    found = match.group()
    if not match.group("space"):
        return "\u2060" * len(found)
    if found[0] == "%":
        parts = not chr(int(found[1:], 16)).isalnum()
    elif found[0] == "&":
        parts = (found[1] == "#" and not _numbered(found[2:-1]).isalnum()) or found[1:-1] in _SPACES
    else:
        parts = True
    return " " * len(found) if parts else found


def _numbered(reference: str) -> str:
    return chr(int(reference[1:], 16) if reference[0] == "x" else int(reference))


@lru_cache(maxsize=65536)
def _fold(source: str) -> str:
    """One source character as zero or more normalised ones."""
    if source.isascii():
        return source.lower() if source.isalnum() else " "
    if is_invisible(source):
        return ""
    unfolded = unicodedata.normalize("NFKD", source).casefold().translate(_LOOKALIKES)
    if _HAN[0] <= source <= _HAN[1] and len(simplified := _simplified(unfolded)) == 1:
        return simplified
    return "".join(_fold_one(character) for character in unfolded)


def _simplified(letters: str) -> str:
    """Traditional Chinese characters as the simplified ones."""
    return str(_converter().convert(letters))


@lru_cache(maxsize=1)
def _converter() -> Any:
    import opencc

    return opencc.OpenCC("t2s")


def warm_up() -> None:
    """Reads the table of Chinese characters, so that no text waits for a disk."""
    _fold("漢")


def _fold_one(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Mn", "Mc"):
        kept = _VOWEL_MARKS.match(character) and unicodedata.combining(character) < _FIRST_ACCENT
        return character if kept and unicodedata.combining(character) != _NUKTA else ""
    if category in ("Me", "Cf") or is_invisible(character):  # enclosing marks and further invisible characters
        return ""
    if "\u02b9" <= character <= "\u02ff":  # modifier letters: apostrophes of names, no letters
        return ""
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    return _plain(character) if character.isalnum() else " "


def _plain(letter: str) -> str:
    """The plain letters of a Latin letter with a stroke, a hook or the like; most other letters as they are."""
    found = _LATIN_NAME.fullmatch(unicodedata.name(letter, ""))
    return found.group(1).lower() if found else _LATIN.get(letter, _ARABIC.get(letter, letter))
