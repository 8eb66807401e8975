"""Runs of characters that stand for other text: bytes in some base, numbers, signs and escapes."""

import html
import re
from collections.abc import Iterable, Iterator

from classifiers.views.bases import APART, BASE85, UTF_7, UUENCODED, bytes_of_85
from classifiers.views.bits import BASE32_VALUES, BASE64_VALUES, bits
from classifiers.views.packed import packed
from classifiers.views.reading import Decoder, characters_of

__all__ = ["BASE64", "CODES", "DECODERS", "ESCAPES", "HEX", "HIDDEN", "PACKED"]

_Characters = Iterator[tuple[str, int, int]]
_Bytes = Iterator[tuple[int, int, int]]
MORSE = {
    code: letter
    for letter, code in zip(
        "abcdefghijklmnopqrstuvwxyz0123456789",
        ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.. "
        "----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----.".split(),
        strict=True,
    )
}
_AB = str.maketrans("AB", "01")
_DOTS = str.maketrans("·•∙․–—_−‒", "....-----")
_BRAILLE = dict(
    zip(
        (0x2800 + sum(1 << int(dot) - 1 for dot in dots) for dots in
         "1 12 14 145 15 124 1245 125 24 245 13 123 134 1345 135 1234 12345 1235 234 2345 136 1236 2456 1346 13456 1356"
         .split()),
        "abcdefghijklmnopqrstuvwxyz",
        strict=True,
    )
)  # fmt: skip
_ESCAPE = re.compile(
    r"%(?P<percent>[0-9A-Fa-f]{2})"
    r"|\\x\{?(?P<byte>[0-9A-Fa-f]{2})\}?"
    r"|\\u\{(?P<braced>[0-9A-Fa-f]{1,6})\}"
    r"|\\{1,32}u(?P<four>[0-9A-Fa-f]{4})"
    r"|\\{1,32}U(?P<eight>[0-9A-Fa-f]{8})"
    r"|[Uu]\+(?P<named>[0-9A-Fa-f]{4,6})(?:[ ,]+(?=[Uu]\+))?"
    r"|\\N\{U\+(?P<perl>[0-9A-Fa-f]{1,6})\}"
    r"|\\(?P<css>0[0-9A-Fa-f]{4,5})(?![0-9A-Fa-f]) ?"
    r"|\\(?P<octal>[0-3][0-7]{2})"
    r"|\\{1,32}(?P<simple>[nrt\"'/])"
    r"|&#[xX]0*(?P<reference>[0-9A-Fa-f]{1,6});?"
    r"|&#0*(?P<decimal>[0-9]{1,7});?"
    r"|(?P<entity>&[A-Za-z][A-Za-z0-9]{1,30};)"
)
_SIMPLE = {"n": "\n", "r": "\n", "t": "\t"}
_HEXADECIMAL = ("braced", "four", "eight", "named", "perl", "css", "reference")
_FIRST_VARIATION, _MORE_VARIATIONS = 0xFE00, 0xE0100
_TAG = 0xE0000


def _bytes64(run: str) -> _Bytes:
    return bits(run, BASE64_VALUES, 6)


def _base64(run: str) -> _Characters:
    return characters_of(_bytes64(run))


def _bytes32(run: str) -> _Bytes:
    return bits(run.upper(), BASE32_VALUES, 5)


def _base32(run: str) -> _Characters:
    return characters_of(_bytes32(run))


_HEX_PAIR = re.compile("(?:0x|\\\\x|[^0-9A-Za-z]){0,4}?([0-9A-Fa-f]{2})")


def _bytes16(run: str) -> _Bytes:
    return ((int(pair.group(1), 16), pair.start(1), pair.end()) for pair in _HEX_PAIR.finditer(run))


def _hex(run: str) -> _Characters:
    return characters_of(_bytes16(run))


def _binary(run: str) -> _Characters:
    """Groups of seven or eight digits, or digits without gaps."""
    groups = list(re.finditer("[01]+", run))
    if len(groups) > 1:
        return characters_of((int(group.group(), 2) & 0xFF, *group.span()) for group in groups)
    return characters_of(bits(run, {"0": 0, "1": 1}, 1))


def _zero_width(run: str) -> _Characters:
    return characters_of(bits(run, {"\u200b": 0, "\u200c": 1}, 1))


def _decimal(run: str) -> _Characters:
    return characters_of((min(int(code.group()), 255), *code.span()) for code in re.finditer(r"\d+", run))


def _octal(run: str) -> _Characters:
    codes = re.finditer(r"(?<![0-9a-z])(?:0o)?([0-7]{2,3})(?!\d)", run)
    return characters_of((int(code.group(1), 8), *code.span()) for code in codes)


def _hex_listed(run: str) -> _Characters:
    pairs = re.finditer(r"(?<![0-9A-Za-z])(?:0?[xX])?([0-9A-Fa-f]{2})h?(?![0-9A-Fa-f])", run)
    return characters_of((int(pair.group(1), 16), *pair.span()) for pair in pairs)


def _alphabet(run: str) -> _Characters:
    """a is 1, z is 26."""
    for number in re.finditer(r"\d+", run):
        if not 1 <= int(number.group()) <= 26:
            return
        yield chr(96 + int(number.group())), *number.span()


def _morse(run: str) -> _Characters:
    end = 0
    for code in re.finditer(r"[.\-]+", run.translate(_DOTS)):
        letter = MORSE.get(code.group())
        if letter is None:
            return
        gap = run[end : code.start()]
        if end and (len(gap) > 1 or not gap.isspace()):
            yield " ", end, code.start()
        yield letter, *code.span()
        end = code.end()


def _bacon(run: str) -> _Characters:
    """Five letters, A or B, are the number of a letter (Bacon 1623, De augmentis scientiarum VI 1)."""
    for group in re.finditer("[ABab]{5}", run):
        place = int(group.group().upper().translate(_AB), 2)
        if place > 25:
            return
        yield chr(97 + place), *group.span()


def _braille(run: str) -> _Characters:
    for place, sign in enumerate(run):
        yield _BRAILLE.get(ord(sign), " "), place, place + 1


def _escapes(run: str) -> _Characters:
    """Bytes that follow each other are UTF-8; an escape of any other kind is a character."""
    waiting: list[tuple[int, int, int]] = []
    pieces = [*_ESCAPE.finditer(run), None]
    for piece in pieces:
        kind = piece.lastgroup if piece else None
        if piece and kind in ("percent", "byte", "octal"):
            waiting.append((int(piece[kind], 8 if kind == "octal" else 16), *piece.span()))
            continue
        yield from characters_of(waiting)
        waiting = []
        if piece and kind:
            yield from _character(kind, piece)


def _character(kind: str, piece: re.Match[str]) -> _Characters:
    said = piece[kind]
    if kind == "simple":
        yield _SIMPLE.get(said, said), *piece.span()
    elif kind == "entity":
        for character in html.unescape(said):
            yield character, *piece.span()
    else:
        code = int(said, 16 if kind in _HEXADECIMAL else 10)
        yield chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\x00", *piece.span()


def _tags(run: str) -> _Characters:
    for place, sign in enumerate(run):
        yield chr(ord(sign) - _TAG), place, place + 1


def _variations(run: str) -> _Characters:
    """A byte in each variation selector: the first sixteen in one block, the others in another."""
    codes = ((ord(sign), place) for place, sign in enumerate(run))
    return characters_of(
        (code - _MORE_VARIATIONS + 16 if code >= _MORE_VARIATIONS else code - _FIRST_VARIATION, place, place + 1)
        for code, place in codes
    )


# A digit, or capitals where no word has them: most words have neither.
_ODD_LETTERS = r"(?:[a-z][A-Z]|[A-Z]{2}[a-z]|\d)"
BASE64 = Decoder(
    "base64",
    re.compile(
        r"(?<![A-Za-z0-9+/_-])(?:"
        rf"(?=[A-Za-z+/_-]*{_ODD_LETTERS})[A-Za-z0-9+/_-]{{6,}}(?:[^\S\n]*\n\s*[A-Za-z0-9+/_-]{{4,}})*={{0,2}}"
        rf"|(?=\w{{0,3}}{_ODD_LETTERS})"  # in groups of four; a word of four letters in front is none
        r"(?:[A-Za-z0-9+/_-]{4} ){2,}[A-Za-z0-9+/_-]{2,4}={0,2}(?![A-Za-z0-9+/_-]))"
    ),
    _base64,
)
_BASE32_RUN = Decoder(
    "base32", re.compile(r"(?<![A-Za-z0-9])(?:[A-Z2-7]{8,}|(?=[a-z]*[2-7])[a-z2-7]{8,})={0,6}"), _base32
)
HEX = Decoder(
    "hex",
    re.compile(
        r"(?<![A-Za-z0-9])(?:0x)?(?=[A-Za-z]{0,9}[0-9])[0-9A-Fa-f]{2}"
        r"(?:(?:[ ,:;.|\n-]{0,2}(?:0x|\\x)?)[0-9A-Fa-f]{2}){2,}(?![A-Za-z0-9])"
    ),
    _hex,
)
_BINARY = Decoder("binary", re.compile(r"(?<!\d)(?:[01]{7,8}(?:[ ,_|\n-]+[01]{7,8}){2,}|[01]{24,})(?!\d)"), _binary)
# The same gap again and again, as in chr(72) + chr(105).
_SAME_GAP = r"(?P<gap>[^\d]{1,16}?)"
_DECIMAL = Decoder(
    "decimal codes",
    re.compile(
        rf"(?<!\d)\d{{2,3}}(?:(?:[ ,;|/-]{{1,2}}\d{{2,3}}){{3,}}|{_SAME_GAP}\d{{2,3}}(?:(?P=gap)\d{{2,3}}){{2,}})(?!\d)"
    ),
    _decimal,
)
_OCT = "[01]?[0-7]{2}"
_OCTAL = Decoder(
    "octal codes",
    re.compile(rf"(?<!\d)(?:0o)?{_OCT}(?P<gap>\D{{1,16}}?(?:0o)?){_OCT}(?:(?P=gap){_OCT}){{2,}}(?!\d)"),
    _octal,
)
_HEX_LISTED = Decoder(
    "hex in a list",
    re.compile(
        r"(?<![0-9A-Za-z])(?:0?x)?(?=[A-Fa-f]?[0-9])[0-9A-Fa-f]{2}(?P<gap>[^0-9A-Fa-f][^\n]{0,15}?)[0-9A-Fa-f]{2}"
        r"(?:(?P=gap)[0-9A-Fa-f]{2}){2,}h?(?![0-9A-Fa-g])"
    ),
    _hex_listed,
)
_ALPHABET = Decoder("numbered letters", re.compile(r"(?<![\d.,])\d{1,2}(?:[ ./-]\d{1,2}){4,}(?![\d])"), _alphabet)
_MORSE_RUN = Decoder(
    "morse", re.compile(r"(?<![\w.-])[.\-·•∙․–—_−‒]{1,5}(?:[ /|]{1,3}[.\-·•∙․–—_−‒]{1,5}){2,}(?![\w])"), _morse
)
_BACON = Decoder("bacon", re.compile(r"(?<![A-Za-z])[ABab]{5}(?:[ ,/|-]{0,3}[ABab]{5}){3,}(?![A-Za-z])"), _bacon)
_QUOTED = Decoder("quoted-printable", re.compile("(?:=[0-9A-F]{2}){3,}"), _hex)
_BRAILLE_RUN = Decoder("braille", re.compile("[\u2801-\u28ff][\u2800-\u28ff ]*"), _braille)
PACKED = (
    packed("base64", r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{16,}(?:\n[A-Za-z0-9+/]{4,80}){0,800}={0,2}", _bytes64),
    packed("hex", r"(?<![A-Za-z0-9])(?:[ ,:]?(?:\\x|0x)?[0-9A-Fa-f]{2}){10,}(?![A-Za-z0-9])", _bytes16),
    packed("base32", r"(?<![A-Za-z0-9])[A-Z2-7]{24,}={0,6}", _bytes32),
    *(packed(decoder.name, r"(?<!\S)(?=\S{0,24}[^\w\s])[!-~]{16,}", bytes_of_85(decoder.name)) for decoder in BASE85),
)
"""Runs of compressed text."""
CODES = (
    *(_BINARY, _DECIMAL, _OCTAL, _ALPHABET, HEX, _HEX_LISTED, _BASE32_RUN, BASE64, _MORSE_RUN, _QUOTED),
    *(_BACON, _BRAILLE_RUN, *BASE85, UUENCODED, *APART, UTF_7),
)
"""Runs that a text may hold by chance."""
ESCAPES = Decoder("escapes", re.compile(f"(?:{re.sub('[?]P<[a-z]+>', '?:', _ESCAPE.pattern)})+"), _escapes, sure=True)
_TAG_RUN = Decoder("tags", re.compile("[\U000e0020-\U000e007e]+"), _tags, sure=True)
_VARIATION_RUN = Decoder("variation selectors", re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{3,}"), _variations)
_ZERO_WIDTH = Decoder("zero width", re.compile("[\u200b\u200c]{24,}"), _zero_width)
HIDDEN = (_TAG_RUN, _VARIATION_RUN, _ZERO_WIDTH)
"""Runs that nobody sees."""
DECODERS: Iterable[Decoder] = (*PACKED, *CODES, ESCAPES, *HIDDEN)
"""Every decoder."""
