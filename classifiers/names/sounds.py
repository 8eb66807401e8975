"""How names sound when they are written in another script: their consonants, since vowels are written in many ways.

A name has a few such sounds, because a letter has several: the g of Granger is another one than that of Hagrid, and
Russian writes h as г or as х. A word of another script is romanised first (anyascii) and has one. The scripts leave
different sounds apart: Japanese has one for r and l, Arabic one for p and b. So two sounds are compared by the script.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from anyascii import anyascii

from classifiers.names.shapes import squeezed
from classifiers.names.text import normalise

__all__ = [
    "ALIKE",
    "CLOSELY",
    "LONG_VOWELS",
    "READ_SCRIPTS",
    "ROUGHLY",
    "Sound",
    "coarse",
    "heard_in",
    "heard_in_han",
    "likeness",
    "name_sounds",
    "word_sound",
]

# Scripts that are written by the rules of another one.
_LIKE = dict.fromkeys("BENGALI GURMUKHI GUJARATI TELUGU KANNADA MALAYALAM SINHALA".split(), "DEVANAGARI") | {
    "HIRAGANA": "KATAKANA"
}
READ_SCRIPTS = frozenset(
    [*"CYRILLIC GREEK ARABIC HEBREW DEVANAGARI HANGUL KATAKANA GEORGIAN ARMENIAN TAMIL ETHIOPIC".split(), *_LIKE]
)

# anyascii reads a file for each 256 letters once it meets one of them. Met first in an answer, that would hold up all
# answers of a server, so all blocks of these scripts are read now.
_BLOCKS = (
    *(0x00, *range(0x03, 0x0E), *range(0x10, 0x14), 0x1C, 0x1D, 0x1F, 0x21, 0x2D, *range(0x30, 0x34)),
    *(0xA6, 0xA8, 0xA9, *range(0xAB, 0xD8), *range(0xFB, 0x100)),
    *(0x101, 0x111, 0x11F, *range(0x1AF, 0x1B2), 0x1D2, 0x1D6, 0x1D7, 0x1E7, 0x1EE, 0x1F2),
)
anyascii("".join(chr(block << 8 | 0x80) for block in _BLOCKS))

_MOST = 32  # sounds of one name
_REMEMBERED_LETTERS = 64  # of a word: without a bound, long ones could fill the memory
# English letters and what they may sound like, longest first. j: as in jam; c: as in church; x: as in ship.
_ENGLISH: Mapping[str, tuple[str, ...]] = {
    "tch": ("c",),
    "sch": ("x", "sk"),
    "ph": ("f", "v"),
    "ch": ("c", "k", "x"),
    "sh": ("x",),
    "th": ("t", "s", "d"),
    "stl": ("sl", "stl"),
    "lm": ("lm", "m"),
    "lk": ("lk", "k"),
    "ngt": ("ngt", "nt"),
    "wh": ("", "v"),
    "wr": ("r",),
    "kn": ("n",),
    "ck": ("k",),
    "gh": ("g", ""),
    "qu": ("k", "kv"),
    "dge": ("j",),
    "ge": ("j", "g"),
    "gi": ("g", "j"),
    "gy": ("j", "g"),
    "ce": ("s",),
    "ci": ("s",),
    "cy": ("s",),
    "c": ("k",),
    "q": ("k",),
    "x": ("ks",),
    "w": ("", "v"),
    "h": ("h", "g"),
    "z": ("s",),
}
_WRITTEN_AS: Mapping[str, str] = {"w": "u", "wh": "u"}  # what scripts write for a sound that is no consonant
_ENGLISH_PIECE = re.compile("|".join([*sorted(_ENGLISH, key=len, reverse=True), "."]))
# What the romanisation of a script writes for the same sounds.
_ROMAN: Mapping[str, tuple[tuple[str, str], ...]] = {
    "CYRILLIC": (("dzh", "j"), ("shch", "x"), ("kh", "h"), ("zh", "j"), ("ch", "c"), ("sh", "x")),
    "GEORGIAN": (("kh", "h"), ("gh", "g"), ("zh", "j"), ("ch", "c"), ("sh", "x")),
    "ARMENIAN": (("kh", "h"), ("gh", "g"), ("zh", "j"), ("dz", "ds"), ("ch", "c"), ("sh", "x")),
    "TAMIL": (("ch", "s"), ("sh", "s"), ("mp", "mb"), ("nt", "nd"), ("ng", "nk")),
    "ETHIOPIC": (("ch", "c"), ("sh", "x"), ("zh", "j")),
    "GREEK": (("goy", ""), ("gk", "g"), ("tz", "j"), ("ch", "h"), ("th", "t"), ("ph", "f"), ("x", "ks")),
    "ARABIC": (("dj", "j"), ("dh", "d"), ("gh", "g"), ("kh", "h"), ("tsh", "c"), ("sh", "x"), ("th", "t"), ("w", "")),
    "HEBREW": (("tsh", "c"), ("sh", "x"), ("kh", "h"), ("th", "t"), ("w", "v")),
    "DEVANAGARI": (
        *(("ph", "f"), ("bh", "b"), ("th", "t"), ("dh", "d"), ("kh", "k"), ("gh", "g"), ("ch", "c"), ("sh", "x")),
        ("jh", "j"),
    ),
    "HANGUL": (
        *(("ch", "c"), ("sh", "s"), ("kk", "k"), ("tt", "t"), ("pp", "p"), ("jj", "j")),
        *(("eo", "o"), ("eu", ""), ("ae", "e"), ("oe", "e")),  # one vowel each, and one that stands for none
    ),
    "KATAKANA": (("ch", "c"), ("sh", "x"), ("nb", "mb"), ("np", "mp")),
}
# Sounds that a script does not tell apart, the second standing for both.
_SAME: Mapping[str, tuple[tuple[str, str], ...]] = {
    "CYRILLIC": (),
    "GEORGIAN": (("f", "p"),),
    "ARMENIAN": (),
    "ETHIOPIC": (),
    "TAMIL": (
        *(("b", "p"), ("d", "t"), ("g", "k"), ("f", "p"), ("j", "s"), ("x", "s"), ("c", "s")),
        *(("mp", "p"), ("nt", "t"), ("nk", "k")),
    ),
    "GREEK": (
        *(("x", "s"), ("c", "ts"), ("j", "ts"), ("mp", "b"), ("mb", "b"), ("nt", "d"), ("nd", "d"), ("b", "v")),
        ("mv", "v"),
    ),
    "ARABIC": (("p", "b"), ("v", "f"), ("c", "tx")),
    "HEBREW": (("p", "f"), ("b", "v"), ("c", "ts")),
    "DEVANAGARI": (("j", "s"), ("x", "s")),
    "HANGUL": (("l", "r"), ("f", "p"), ("v", "p"), ("b", "p"), ("x", "s"), ("j", "s"), ("g", "k"), ("d", "t")),
    "KATAKANA": (("l", "r"), ("v", "b"), ("x", "s"), ("f", "h"), ("ts", "t"), ("j", "s")),
    "HAN": (
        *(("ng", "n"), ("nk", "n"), ("x", "s"), ("c", "j"), ("l", "r"), ("p", "b"), ("t", "d"), ("k", "g"), ("f", "v")),
        ("m", "n"),
    ),
}
LONG_VOWELS = frozenset({"HANGUL", "KATAKANA", "HIRAGANA", "HAN"})
"""Scripts that write a long vowel, or none, for an r without a vowel behind it."""
_NO_VOWELS = frozenset({"ARABIC", "HEBREW"})
# In the English of Britain an r without a vowel behind it is a longer vowel, and so Japanese and Korean write it.
_DROPPED_R = re.compile(r"r+(?=[^aeiouyhr]|$|e\b)")
_SILENT_E = re.compile(r"(?<=[a-z]{2})e\b")
_KEPT = re.compile("[^bcdfghjklmnprstvx]")
# Hebrew letters that are vowels more often than not, and those whose sound the romanisation guesses otherwise.
_HEBREW = str.maketrans({"ו": "", "י": "", "ב": "b", "פ": "p", "ף": "p", "'": "", "׳": "", "’": ""})
_GREEK_PAIRS = (("gk", "g"), ("mp", "b"), ("nt", "d"), ("tz", "j"), ("ch", "h"), ("oy", "u"))  # as they are said
# The signs of India's scripts for m or n by the consonant behind it, and the consonants before which it is an m. They
# stand at the same places of each script's block.
_SIGNS = (
    "".join(chr(block + sign) for block in (0x900, 0x980, 0xA00, 0xA80, 0xC00, 0xC80) for sign in (1, 2)) + "\u0a70"
)
_LABIALS = "".join(f"{chr(block + 0x2A)}-{chr(block + 0x2E)}" for block in (0x900, 0x980, 0xA00, 0xA80, 0xC00, 0xC80))
_ANUSVARA, _ANUSVARA_AS_N = re.compile(f"[{_SIGNS}]"), re.compile(f"[{_SIGNS}](?=[^{_LABIALS}])")
_KATAKANA = {code: code + 0x60 for code in range(0x3041, 0x3097)}
_GERESH = re.compile("([גזצץ])['׳’]")  # the marked letters write sounds that Hebrew lacks
_MARKED = {"ג": "j", "ז": "j", "צ": "c", "ץ": "c"}
_CLUSTERS = (("mb", "b"), ("mv", "b"), ("mp", "b"), ("nd", "d"), ("nt", "d"), ("ts", "s"), ("tx", "s"), ("c", "s"))
_COARSE = str.maketrans("pfvdgzjcxlm", "bbbtkssssrn")
_VOWELS = str.maketrans("yvwl", "iuur")  # and what else is written for each other
# What English and what pinyin spell for the same sounds, before the letters that Mandarin does not tell apart are one.
_ENGLISH_SPELLED = (("ch", "j"), ("sh", "s"), ("ph", "f"), ("th", "t"), ("c", "k"), ("q", "k"), ("x", "ks"))
_PINYIN_SPELLED = (("zh", "j"), ("ch", "j"), ("sh", "s"), ("q", "j"), ("x", "s"), ("c", "s"))
_SPELLED = str.maketrans("ptklzyfwm", "bdgrsivvn")
# The share of letters that what is roughly alike, alike and closely alike shares. Syllables have a vowel behind every
# consonant.
_LIKENESS = (0.65, 0.7, 0.8)
_LIKENESS_IN: Mapping[str, tuple[float, float, float]] = (
    dict.fromkeys(("KATAKANA", "HIRAGANA"), (0.5, 0.55, 0.75))
    | dict.fromkeys(("ARABIC", "HEBREW"), (0.8, 0.8, 0.9))
    | {"HANGUL": (0.6, 0.69, 0.8), "HAN": (0.6, 0.6, 0.75)}
)
ROUGHLY, ALIKE, CLOSELY = 1, 2, 3
"""How alike what is said is to a name: see `likeness`."""


class Sound(NamedTuple):
    """A way in which a name may sound: its consonants, its vowels among them (`said`), and whether every r is heard."""

    consonants: str
    said: str
    every_r: bool


@lru_cache(maxsize=4096)
def name_sounds(name: str) -> tuple[Sound, ...]:
    """The ways in which a name of Latin letters may sound, its words joined; none for another name."""
    words = normalise(name).text.split()
    letters = " ".join(words)
    if not letters.replace(" ", "").isalpha() or not letters.isascii():
        return ()
    without = _DROPPED_R.sub("", letters)
    heard = {one: said for said, one in _pronounced(letters)}
    quiet = heard if without == letters else {one: said for said, one in _pronounced(without)}
    return tuple(Sound(one, said, one in heard) for one, said in (quiet | heard).items())


def _pronounced(letters: str) -> Iterator[tuple[str, str]]:
    """(what is said, the consonants of it) for each choice among the sounds of its letters."""
    pieces = map(_sounds, _ENGLISH_PIECE.findall(letters))
    for chosen in itertools.islice(itertools.product(*pieces), _MOST):
        said = "".join([with_vowels for _, with_vowels in chosen])
        consonants = "".join([sound for sound, _ in chosen])
        yield squeezed(_SILENT_E.sub("", said).replace(" ", "")), squeezed(consonants)


@lru_cache(maxsize=256)
def _sounds(piece: str) -> tuple[tuple[str, str], ...]:
    """The consonants that some letters may sound like, and the same with the vowel that they end with."""
    return tuple((_KEPT.sub("", sound), _said(piece, sound)) for sound in _ENGLISH.get(piece, (piece,)))


def _said(piece: str, sound: str) -> str:
    return (sound or _WRITTEN_AS.get(piece, "")) + (piece[-1] if len(piece) > 1 and piece[-1] in "eiy" else "")


def word_sound(word: str, script: str) -> tuple[str, str]:
    """(the consonants of a word in one of `READ_SCRIPTS`, what is said with its vowels)."""
    return _remembered(word, script) if len(word) <= _REMEMBERED_LETTERS else _word_sound(word, script)


@lru_cache(maxsize=65536)
def _remembered(word: str, script: str) -> tuple[str, str]:
    return _word_sound(word, script)


def _word_sound(word: str, script: str) -> tuple[str, str]:
    script = _LIKE.get(script, script)
    roman = re.sub("[^a-z]", "", anyascii(_prepared(word, script)).lower())
    sound = _replaced(roman, _ROMAN[script]).replace("z", "s")
    return _consonants(sound), _replaced(roman, _GREEK_PAIRS) if script == "GREEK" else sound


def _replaced(letters: str, pairs: Sequence[tuple[str, str]]) -> str:
    for written, meant in pairs:
        letters = letters.replace(written, meant)
    return letters


def _prepared(word: str, script: str) -> str:
    """A word with the letters replaced that the romanisation reads in another way than names are meant."""
    if script == "KATAKANA":
        return word.translate(_KATAKANA).replace("ッ", "")  # the consonant behind it is long
    if script == "DEVANAGARI":
        return _ANUSVARA.sub("m", _ANUSVARA_AS_N.sub("n", word))
    if script == "TAMIL":
        return word.replace("ஃ", "")  # makes an f of the letter behind it
    if script != "HEBREW":
        return word
    begun = "v" + word[1:] if word.startswith("ו") else word
    return _GERESH.sub(lambda found: _MARKED[found.group(1)], begun).translate(_HEBREW)


def heard_in(script: str, sound: str) -> str:
    """What is left of a sound in a script, where a h may be missing anywhere: two sounds that are one there have the
    same."""
    return squeezed(_folded(script, sound).replace("h", ""))


@lru_cache(maxsize=4096)
def heard_in_han(sound: str) -> frozenset[str]:
    """What Mandarin may leave of a name's sound: it writes ts as one sound, or as two syllables."""
    return frozenset(heard_in("HAN", one) for one in {sound, sound.replace("ts", "s")})


def coarse(sound: str) -> str:
    """A sound with all sounds merged that any script merges: two sounds that are one in some script have the same."""
    merged = sound.replace("h", "")
    for several, one in _CLUSTERS:
        merged = merged.replace(several, one)
    return squeezed(merged.translate(_COARSE))


def likeness(name: str, sound: Sound, said: str, script: str) -> int:
    """How alike what is said in some words is to a name, vowels and all; where the script has none, the consonants, h
    among them: 0, or `ROUGHLY`, `ALIKE` or `CLOSELY`.

    Args:
        name: the name, in Latin letters.
        sound: a sound of it.
        said: in the words, as `word_sound` has it; in Chinese the letters of pinyin.
        script: of the words.
    """
    if script == "HAN":
        wanted = re.sub("[^a-z]", "", normalise(name).text)
        one, other = _spelled(wanted, _ENGLISH_SPELLED), _spelled(said, _PINYIN_SPELLED)
    elif script in _NO_VOWELS:
        one, other = (_folded(script, _consonants(letters)) for letters in (sound.said, said))
    else:
        folded = (_folded(script, letters).translate(_VOWELS) for letters in (sound.said, said))
        one, other = (squeezed(letters) for letters in folded)
    shared = _shared(one, other)
    return sum(shared >= least for least in _LIKENESS_IN.get(script, _LIKENESS))


def _spelled(letters: str, pairs: Sequence[tuple[str, str]]) -> str:
    return squeezed(_replaced(letters, pairs).translate(_SPELLED))


def _shared(one: str, other: str) -> float:
    """The share of the letters of both that they share in the same order."""
    return 2 * _longest_common(one, other) / max(1, len(one) + len(other))


def _folded(script: str, sound: str) -> str:
    for apart, together in _SAME[_LIKE.get(script, script)]:
        sound = sound.replace(apart, together)
    return sound


def _consonants(letters: str) -> str:
    return squeezed(_KEPT.sub("", letters))


def _longest_common(one: str, other: str) -> int:
    """Letters of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for letter in one:
        before = 0
        for place, found in enumerate(other, start=1):
            before, row[place] = row[place], before + 1 if letter == found else max(row[place], row[place - 1])
    return row[-1]
