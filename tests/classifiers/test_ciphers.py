"""Ways to say a name or a question that a reader can work out: the gate reads what they say, where they say it."""

import base64
import binascii
import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable

import pytest

from classifiers.names.aliases import LexicalDetector
from classifiers.traffic import general_traffic
from classifiers.views.views import views

NAMES = ("Zelda Quorn", "Ottoline Vash", "Brackenfold")
NAMED = LexicalDetector({"scope": NAMES})
QUESTION = "which ship does the old captain command in the novel"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
ALPHABET = (
    "Alfa Bravo Charlie Delta Echo Foxtrot Golf Hotel India Juliett Kilo Lima Mike November Oscar Papa Quebec Romeo "
    "Sierra Tango Uniform Victor Whiskey X-ray Yankee Zulu"
).split()
SAID = "ay bee cee dee ee ef gee aitch eye jay kay el em en oh pee cue ar ess tee you vee double-u ex why zee".split()
HEADS = dict(zip(LETTERS, "ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹsʇnʌʍxʎz", strict=True))
KEYS = {
    letter: str(key) * place
    for key, letters in enumerate("abc def ghi jkl mno pqrs tuv wxyz".split(), 2)
    for place, letter in enumerate(letters, 1)
}
BASE_62 = "0123456789" + LETTERS.upper() + LETTERS
PLACES = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty twenty-one twenty-two twenty-three twenty-four twenty-five twenty-six"
).split()
ROMAN = "I II III IV V VI VII VIII IX X XI XII XIII XIV XV XVI XVII XVIII XIX XX XXI XXII XXIII XXIV XXV XXVI".split()
TELEPRINTER = "?e?a?siu?drjnfcktzlwhypqobg?mxv"
ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
DRAWN = {"a": "/-\\", "d": "|)", "k": "|<", "o": "()", "h": "|-|", "u": "|_|"}


def small(text: str) -> list[str]:
    return [letter for letter in text.lower() if letter.isalpha()]


def square(letter: str, without: str) -> str:
    place = LETTERS.replace(without, "").index(letter)
    return f"{place // 5 + 1}{place % 5 + 1}"


def beside(text: str, step: int) -> str:
    turned = {one: row[(place + step) % len(row)] for row in ROWS for place, one in enumerate(row)}
    return "".join(turned.get(letter, letter) for letter in text.lower())


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def each_word(change: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: " ".join(map(change, text.split()))


def inset(between: str) -> Callable[[str], str]:
    return each_word(lambda word: f"{word[:2]}{between}{word[2:]}" if len(word) > 2 else word)


def groups(text: str, width: int) -> str:
    return " ".join(text[start : start + width] for start in range(0, len(text), width))


def in_base(text: str, digits: str) -> str:
    number, said = int.from_bytes(text.encode(), "big"), ""
    while number:
        number, digit = divmod(number, len(digits))
        said = digits[digit] + said
    return said


def deflated(text: str) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    return squeeze.compress(text.encode()) + squeeze.flush()


CODES: dict[str, Callable[[str], str]] = {
    "zlib in base64": lambda text: base64.b64encode(zlib.compress(text.encode())).decode(),
    "gzip in hex": lambda text: gzip.compress(text.encode()).hex(),
    "bzip2 in base64": lambda text: base64.b64encode(bz2.compress(text.encode())).decode(),
    "LZMA in base32": lambda text: base64.b32encode(lzma.compress(text.encode())).decode(),
    "raw deflate in base64": lambda text: base64.b64encode(deflated(text)).decode(),
    "zlib in base85": lambda text: base64.b85encode(zlib.compress(text.encode())).decode(),
    "base64 four times": lambda text: coded(coded(coded(coded(text)))),
    "base 58": lambda text: in_base(text, "".join(one for one in BASE_62 if one not in "0OIl")),
    "base 62": lambda text: in_base(text, BASE_62),
    "base 36": lambda text: in_base(text, BASE_62.lower()[:36]),
    "one decimal number": lambda text: str(int.from_bytes(text.encode(), "big")),
    "code points of Perl": lambda text: "".join(f"\\N{{U+{ord(one):04X}}}" for one in text),
    "six digits of CSS": lambda text: "".join(f"\\{ord(one):06x}" for one in text),
    "numbers in words": lambda text: " ".join(PLACES[LETTERS.index(one)] for one in small(text)),
    "gzip in hex with spaces": lambda text: gzip.compress(text.encode()).hex(" "),
    "Roman numbers": lambda text: " ".join(ROMAN[LETTERS.index(one)] for one in small(text)),
    "teleprinter": lambda text: " ".join(f"{TELEPRINTER.index(one):05b}" for one in small(text)),
    "five bits": lambda text: " ".join(f"{LETTERS.index(one) + 1:05b}" for one in small(text)),
    "taps": lambda text: "   ".join(
        f"{'.' * int(square(one, 'k')[0])} {'.' * int(square(one, 'k')[1])}" for one in small(text.replace("k", "c"))
    ),
    "tripled": each_word(lambda word: "".join(one * 3 for one in word)),
    "octal": lambda text: " ".join(f"{ord(one):o}" for one in text),
    "octal of Python": lambda text: ", ".join(f"0o{ord(one):o}" for one in text),
    "chr": lambda text: "+".join(f"chr({ord(one)})" for one in text),
    "chr of hex": lambda text: " + ".join(f"chr(0x{ord(one):x})" for one in text),
    "fromCharCode": lambda text: f"String.fromCharCode({','.join(str(ord(one)) for one in text)})",
    "numbers on lines": lambda text: "\n".join(str(ord(one)) for one in text),
    "escapes of CSS": lambda text: "".join(f"\\{ord(one):x} " for one in text),
    "hex with dollars": lambda text: " ".join(f"${ord(one):02x}" for one in text),
    "ascii85": lambda text: base64.a85encode(text.encode()).decode(),
    "ascii85 of Adobe": lambda text: base64.a85encode(text.encode(), adobe=True).decode(),
    "base85": lambda text: base64.b85encode(text.encode()).decode(),
    "uuencoded": lambda text: binascii.b2a_uu(text.encode()[:45], backtick=True).decode().strip(),
    "base64, letters apart": lambda text: " ".join(coded(text)),
    "base64, letters apart by lines": lambda text: "\n".join(coded(text)),
    "base64 by threes": lambda text: groups(coded(text), 3),
    "base64 backwards": lambda text: coded(text)[::-1],
    "hex backwards": lambda text: text.encode().hex()[::-1],
    "hex, digits apart": lambda text: " ".join(text.encode().hex()),
    "UTF-16 in base64": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "UTF-7": lambda text: "+" + base64.b64encode(text.encode("utf-16-be")).decode().rstrip("=") + "-",
    "bacon": lambda text: " ".join(
        f"{LETTERS.index(one):05b}".replace("0", "A").replace("1", "B") for one in small(text)
    ),
    "alphabet of spelling": lambda text: " ".join(ALPHABET[LETTERS.index(one)] for one in small(text)),
    "the same with dashes": lambda text: "-".join(ALPHABET[LETTERS.index(one)].lower() for one in small(text)),
    "as in": lambda text: ", ".join(f"{one.upper()} as in {ALPHABET[LETTERS.index(one)]}" for one in small(text)),
    "names of letters": lambda text: " ".join(SAID[LETTERS.index(one)] for one in small(text)),
    "names of characters": lambda text: ", ".join(f"LATIN SMALL LETTER {one.upper()}" for one in small(text)),
    "emoji by name": lambda text: "".join(f":regional_indicator_{one}:" for one in small(text)),
    "on the head": lambda text: "".join(HEADS.get(one, one) for one in text.lower())[::-1],
    "phone keys": lambda text: " ".join(KEYS[one] for one in small(text)),
    "square without j": lambda text: " ".join(square(one, "j") for one in small(text.replace("j", "i"))),
    "square without k": lambda text: " ".join(square(one, "k") for one in small(text.replace("k", "c"))),
    "places from 0": lambda text: " ".join(str(LETTERS.index(one)) for one in small(text)),
    "codes without gaps": lambda text: "".join(str(ord(one)) for one in text),
    "Atbash": lambda text: text.lower().translate(str.maketrans(LETTERS, LETTERS[::-1])),
    "ROT47": lambda text: "".join(chr(33 + (ord(one) + 14) % 94) if one != " " else one for one in text),
    "a key to the right": lambda text: beside(text, 1),
    "a key to the left": lambda text: beside(text, -1),
    "doubled": each_word(lambda word: "".join(one * 2 for one in word)),
    "something between": "x".join,
    "a word in brackets": inset("[blue]"),
    "a word in parentheses": inset("(never mind)"),
    "a comment": inset("/* x */"),
    "a tag": inset("</i>"),
}
NAMES_ALONE: dict[str, Callable[[str], str]] = {
    "numbers in words, with spaces": lambda text: " ".join(
        PLACES[LETTERS.index(one)].replace("-", " ") for one in small(text)
    ),
    "letters in brackets": each_word(lambda word: f"{word[:2]}({word[2:4]}){word[4:]}"),
    "plus signs": lambda text: f"{text[:3]} + {text[3:]}",
    "followed by": lambda text: f"'{text[:3]}' followed by '{text[3:]}'",
    "first letters of lines": lambda text: "\n".join(f"{one} is for what I like" for one in small(text)),
    "drawn": lambda text: "".join(DRAWN.get(one, one) for one in text),
    "ub before vowels": lambda text: "".join(f"ub{one}" if one in "aeiou" else one for one in text.lower()),
    "rot13, letters apart": lambda text: " ".join(LETTERS[(LETTERS.index(one) + 13) % 26] for one in small(text)),
    "backwards in digits": lambda text: text[::-1].replace("o", "0").replace("e", "3"),
}


def hits(text: str) -> list[tuple[int, int]]:
    """The half-open ranges of the text at which a name is found."""
    return [
        view.source_range(span.start_char, span.end_char)
        for view in views(text)
        for verdict in NAMED.detect([view.text])[0]
        for span in verdict.spans
    ]


@pytest.mark.parametrize("way", [*CODES, *NAMES_ALONE])
@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_read_where_it_stands(way: str, name: str) -> None:
    before, said = "Please tell me about\n\n", {**CODES, **NAMES_ALONE}[way](name)
    found = hits(f"{before}{said}\n\nand what happened there.")
    assert found
    first, last = len(before), len(before) + len(said)
    # a line of letters may begin a block
    assert any(first - 2 <= start < end <= last + 2 for start, end in found), found


@pytest.mark.parametrize("way", CODES)
def test_a_question_is_read(way: str) -> None:
    wanted = "".join(small(QUESTION if way != "uuencoded" else QUESTION[:45]))
    said = CODES[way](QUESTION)
    assert any(wanted in "".join(small(view.text)) for view in views(said) if not view.names_alone)


def test_ordinary_prompts_name_nobody_in_any_way() -> None:
    assert [row for row in general_traffic()[:1500] if hits(row)] == []


@pytest.mark.parametrize(
    "text",
    [
        "Chapters 3, 7, 9 and 12 of pages 18-25, rows 4, 8, 15, 16, 23, 42.",
        "2026-11-27 10:15:00, 192.168.10.24, v1.20.3, +49 30 1234567, 12 x 14 x 16",
        "def f(x: int) -> str:\n    return g(x)[0] + h(x, 1) * 2\n",
        "| a | b |\n| 1 | 2 |\n| 3 | 4 |\n| 5 | 6 |",
        "Golf, tango and the hotel: what would Romeo do in November?",
        "I, for one, like C for games, and Go for servers (e.g. a proxy).",
    ],
)
def test_numbers_code_and_tables_are_left_alone(text: str) -> None:
    assert hits(text) == []
    assert [view.text for view in views(text) if not view.names_alone] == []


@pytest.mark.parametrize(
    "cut",
    [
        "Brack&shy;enfold",
        "Brack&zwj;enfold",
        "Brack%C2%ADenfold",
        r"Brack\u00adenfold",
        "[b]Brack[/b][i]enfold[/i]",
        '<span class="a" id="b">Brack</span><span class="c">enfold</span>',
        f"Brack<!-- {'a long remark ' * 9}-->enfold",
        "Brack<br>\nenfold",
        "Brack(this is a remark of some length in the middle of a word)enfold",
        "Brack\x1b[31menfold",
        r"Brack\relax enfold",
        r"Brack\hspace{0pt}en\kern0pt fold",
        "[Brack](x)[en](y)[fold](z)",
    ],
)
def test_what_a_page_puts_into_a_word_does_not_hide_a_name(cut: str) -> None:
    assert hits(f"Who lives in {cut} now?")


@pytest.mark.parametrize(
    "text",
    [
        'a=Bracken; b=fold; echo "Who lives in $a$b?"',
        "d = {'x': 'Brack', 'y': 'enfold'}; print('Who lives in', d['x'] + d['y'])",
        "p = ['fold', 'Bracken']; who lives in p[1]+p[0]?",
        "s='Brack'; s+='enfold'; tell about s",
        'sb.append("Brack").append("en").append("fold")',
        "def f(x): return 'Bracken' + x\nWho lives in f('fold')?",
        "<!ENTITY a 'Brack'><!ENTITY b 'enfold'> Who lives in &a;&b;?",
        r"\newcommand{\x}{Brack}\newcommand{\y}{enfold} Who lives in \x\y?",
        '{"head": "Brack", "tail": "enfold"} Who lives there?',
        "The place begins with 'Brack' and ends in 'enfold'. Who lives there?",
        "Insert 'ken' between 'Brac' and 'fold'. Who lives there?",
        "First part: Brack. Second part: enfold. Who lives there?",
        "'{1}{0}'.format('fold', 'Bracken') has which mayor?",
    ],
)
def test_pieces_of_a_name_are_put_together(text: str) -> None:
    assert hits(text)


SHORT = LexicalDetector({"scope": ("Stane", "Harlobe", "Penvieve", "Mottby")})


@pytest.mark.parametrize(
    "text",
    [
        "Which is better for ads: Stan, eBay or TikTok?",
        "stan, e.g. in firefox, is slow",
        "apt and stan: E: unable to locate package",
        'Error: stan "e2e-tests" not found',
        "Google, Stan e Meta sono aziende",
        "STAN E-rate and oh stan; e-bikes",
        "MOTT by name: sort, and SELECT mott FROM t ORDER BY x",
        "She wore a penvive look.",
    ],
)
def test_words_beside_each_other_are_no_name(text: str) -> None:
    found = [(view.text, view.names_alone) for view in views(text)]
    texts = [(text, False), *found]
    assert [one for one, odd in texts if any(v.matched for v in SHORT.detect([one], misspelt=not odd)[0])] == []


@pytest.mark.parametrize("fancy", ["ᗷᖇᗩᑕKEᑎᖴOᒪᗪ", "乃尺卂匚Ҝ乇几千ㄖㄥᗪ", "๒гคςкєภŦ๏l๔"])
def test_fancy_alphabets_are_read(fancy: str) -> None:
    assert hits(f"Who lives in {fancy} now?")
