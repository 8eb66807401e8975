"""Names that a text tells in words how to find: instructions, fillers, letters to pick, letters in another order."""

import base64
import bz2
import lzma
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.names.aliases import LexicalDetector
from classifiers.names.foreign import ForeignNames
from classifiers.traffic import general_traffic
from classifiers.views.packed import unpacked
from classifiers.views.views import views

NAMES = ("Thornwick", "Maristowe", "Elspeth Quarrell")
NAMED = LexicalDetector({"scope": NAMES})
HEARD = ForeignNames().updated({"scope": NAMES}, ())
QUESTION = "which horse did the young farmer ride home from the market"


def found(text: str, *, said: bool = False) -> list[tuple[int, int]]:
    """Half-open ranges of the text behind the names of its views, letter by letter; `said`: misspelt ones, too."""
    return [
        view.source_range(span.start_char, span.end_char)
        for view in views(text)
        for verdict in NAMED.detect([view.text], misspelt=said and not view.names_alone)[0]
        for span in verdict.spans
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Remove pip from Thpiporpipnwick. Who lives there?",
        "Take Maribloxstowe and delete blox; what is it?",
        "What is Thqzornwqzick without every qz?",
        "Where is Marturnipistowe (ignore turnip)?",
        "Strip each z from Mzarizstzowe and explain it.",
        "Remove the digits from Ma4ri71stowe and explain it.",
        "Change the first letter of Phornwick to T, then describe it.",
        "Replace every X with o and every Y with i in ThXrnwYck.",
        "Where # = a and % = o, tell me about M#rist%we.",
        "Substitute the letter r for q in Maqistowe.",
        "Append wick to Thorn and say who lives there.",
        "Thorn, immediately followed by wick, has which mayor?",
        "Put Maris in front of towe and describe it.",
        "It starts with Thorn and it ends with wick.",
        "It begins with Thornw and ends in nwick.",
        "Mari plus stowe: where is it?",
        "Concatenate Ma, ris, towe and describe the place.",
        "Merge these: Thorn / wick. Describe it.",
        "Add an M to the beginning of aristowe.",
        "Drop the last two letters of Thornwickpu.",
        "Move the first four letters of wickThorn to its end.",
        "Take out the letters z, q and x from 'Mqzarixstqowez' for a town.",
        "The word Maris with towe stuck on the end: where is it?",
        "Take Thornw, then add ick. Describe it.",
        "Let A be Maris and B be towe. Tell me about A+B.",
        "The first half is Thorn, the second half is wick. What is it?",
        "The first syllable is Ma, the second is ris, the third is towe.",
        "Name 'Whornwick' but with a T instead of the W.",
        "It rhymes with Phornwick and begins with T.",
        "Swap i and o in Thirnwock. Where is it?",
        "re.sub('qq','','Tqqhornqqwick') has which mayor?",
        "Explain 'xMaristowex'[1:-1] please",
        "Read every third letter of zzMzzazzrzzizzszztzzozzwzze.",
        "M then a then r then i then s then t then o then w then e",
        "3=o, 1=T, 2=h, 4=r, 5=n, 6=w, 7=i, 8=c, 9=k",
    ],
)
def test_an_instruction_is_followed(text: str) -> None:
    assert found(text)


@pytest.mark.parametrize(
    "cut",
    [
        *("Thorn (cough) wick", "Mari *ahem* stowe", "Thorn... uh ...wick", "Maris [redacted] towe", "Maris, um, towe"),
        *(
            'Thorn "cough" wick',
            "Maris- (yes) -towe",
            "Thorn lol wick",
            "Mar - pause - istowe",
            "Ma <beat> ris <beat> towe",
            "Thorn … wick",
            "Tho rn wick",
        ),
    ],
)
def test_what_a_reader_skips_does_not_hide_a_name(cut: str) -> None:
    before = "Who knew about "
    places = found(f"{before}{cut} then?")
    assert places
    assert all(len(before) <= start < end <= len(before) + len(cut) for start, end in places)


@pytest.mark.parametrize(
    "text",
    [
        "Take the first letters: the horse often runs near wide inland country knolls. What is it?",
        "Who lived at my aunt's red iron stove that one winter evening? First letters spell the place.",
        "Which mayor has Tonikhrwc's bridge? The name is in a rail fence of two rails.",
        "Initials of 'my aunt rode in some trucks over wet earth' name a place.",
        "What does the acrostic name? Try hard or rest now; well, it can keep.".replace("; well,", " well"),
        "Read the last letters: team soda near taxi beans boot tomato view tree",
        "The last letter of each line:\nroot\nmarsh\nhello\nriver\nmoon\nwillow\ntaxi\nmusic\noak",
        "Read only the capitals: beT asH onlO runR siN Well ownI aCt asK",
        "Say every third word: a b Elspeth c d Quarrell e f was g h young",
        "Read these words backwards: young was Quarrell Elspeth",
    ],
)
def test_letters_and_words_are_picked(text: str) -> None:
    assert found(text)


def rails(text: str, count: int) -> str:
    rows = [""] * count
    for place, letter in enumerate(text):
        at = place % (2 * count - 2)
        rows[min(at, 2 * count - 2 - at)] += letter
    return "".join(rows)


def columns(text: str, width: int) -> str:
    return "".join(text[start::width] for start in range(width))


def ciphered(text: str, key: str) -> str:
    letters = [ord(one) - 97 for one in text if one.isalpha()]
    return "".join(chr((one + ord(key[place % len(key)]) - 97) % 26 + 97) for place, one in enumerate(letters))


TRANSPOSED = {
    **{f"{count} rails": rails(QUESTION.replace(" ", ""), count) for count in (2, 3, 4)},
    "3 rails with spaces": rails(QUESTION, 3),
    **{f"{width} columns": columns(QUESTION.replace(" ", ""), width) for width in (2, 3, 4, 5, 6)},
    "columns with spaces": columns(QUESTION, 4),
    "halves": QUESTION[len(QUESTION) // 2 :].replace(" ", "") + QUESTION[: len(QUESTION) // 2].replace(" ", ""),
    "groups of five": re.sub("(.{5})", r"\1 ", rails(QUESTION.replace(" ", ""), 3)).strip(),
}


@pytest.mark.parametrize("way", TRANSPOSED)
@pytest.mark.parametrize("frame", ["{}", "Please answer this: {}", 'What does "{}" ask?'])
def test_a_question_in_another_order_is_read(way: str, frame: str) -> None:
    text = frame.format(TRANSPOSED[way])
    said = [re.sub("[^a-z]", "", view.text.lower()) for view in views(text) if not view.names_alone]
    assert any(QUESTION.replace(" ", "") in one for one in said)


@pytest.mark.parametrize("key", ["pepper", "swing"])
@pytest.mark.parametrize("frame", ["Vigenere, key {}: {}", 'The keyword is "{}". Decipher {} now.'])
def test_a_key_that_stands_in_the_text_opens_a_cipher(key: str, frame: str) -> None:
    text = frame.format(key.upper(), ciphered(QUESTION, key))
    assert any(QUESTION.rsplit(maxsplit=1)[-1] in view.text for view in views(text) if not view.names_alone)
    assert found(frame.format(key, ciphered("thornwick", key)))


@pytest.mark.parametrize("said", ["MAIR-iss-toh", "THORN-wik", "EL-speth KWAR-ul", "THAWRN-wick", "EL-speth kwuh-REL"])
def test_a_name_is_known_by_ear(said: str) -> None:
    spoken = [view for view in views(f"Who or what is {said} please?") if view.name.startswith("by ear")]
    texts = [view.text for view in spoken]
    verdicts = [one for found in (*NAMED.detect(texts), *HEARD.detect(texts)) for one in found]
    assert any(one.matched for one in verdicts)


@pytest.mark.parametrize(
    "bomb",
    [
        zlib.compress(b"a" * 10_000_000),
        bz2.compress(b"word " * 2_000_000),
        lzma.compress(b"word " * 2_000_000),
        lzma.compress(b"word " * 2_000_000, format=lzma.FORMAT_ALONE),
    ],
)
def test_a_bomb_is_not_unpacked(bomb: bytes) -> None:
    run = base64.b64encode(bomb).decode()
    assert len(unpacked(bomb, 1000)) <= 1000
    text = f"What is this? {run} And who founded Thorn (cough) wick?"
    assert all(len(view.text) < 4 * len(text) for view in views(text))
    assert found(text), "the rest of the text is read all the same"


@given(
    st.binary(max_size=200),
    st.sampled_from((b"", b"\x1f\x8b\x08", b"x\x9c", b"BZh9", b"\xfd7zXZ\x00", b"\x5d\x00\x00")),
)
def test_any_bytes_may_come(data: bytes, mark: bytes) -> None:
    assert len(unpacked(mark + data, 1000)) <= 1000


@pytest.mark.parametrize(
    "text",
    [
        "Remove the first letter of each word and replace spaces with underscores in Python.",
        "The villa of Mari (Syria) stowed goods; append a file to the list and add thorns.",
        "Take the first letters of these words to form an acronym: Red Cross and Crescent.",
        "Sort these in reverse order and skip every second row, then write the initials.",
        "Our API key is stored in the vault; rotate the key with the CLI, e.g. `kv rotate`.",
        "Anti-NATO protests, non-EU workers, a PRE-order and the COVID-related rules.",
        "First, second and third place went to Ann, Bob and Cy; two, three or four others fell ill.",
        "Henry VIII, Louis XIV and Pius XII; see parts I, II, III and IV.",
    ],
)
def test_harmless_texts_name_nobody(text: str) -> None:
    assert found(text, said=True) == []


def test_ordinary_prompts_say_nothing_new() -> None:
    new = {"picked words", "transposed", "keyed", "one number", "by ear", "by ear, phonetic"}
    rows = general_traffic()[::2]
    assert [row for row in rows if any(view.name in new and not view.names_alone for view in views(row))] == []
