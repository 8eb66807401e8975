"""Of a text that goes on, exactly so much is open as may still become a name."""

from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.names.aliases import LexicalDetector
from classifiers.names.boundaries import Letters

NAMES = ("Ann Lee", "Bo", "Łu Żak", "Анна Ли", "ab12 c", "李安", "K. T. Lo")
PIECES = [
    *"abclentoABLEz ,.-'",
    "Ann",
    "Lee",
    "Ann Lee",
    "Bo",
    "Łu Ża",
    "k",
    "Анна",
    " Ли",
    "李",
    "安",
    "ab12",
    "\u200b",
]
PIECES += ["&nb", "sp;", "%2", "0", "Аnn", "é", "<b", ">", "K. T.", "s", "'s "]
pieces = st.lists(st.sampled_from(PIECES), max_size=14)
DETECTOR = LexicalDetector({"scope": NAMES})


@settings(max_examples=600, deadline=None)
@given(before=pieces, after=pieces)
def test_what_is_not_open_is_never_part_of_a_later_name(before: list[str], after: list[str]) -> None:
    text, whole = "".join(before), "".join([*before, *after])
    settled = DETECTOR.open_from(Letters(text))
    known = {(one.start, one.end) for one in DETECTOR.sightings(Letters(text), ended=False)}
    for later in DETECTOR.sightings(Letters(whole), ended=True):
        glued = whole[later.start - 1 : later.start].isalnum()  # inside a longer word: see GLUED_LETTERS
        assert later.start + 3 * glued >= settled or (later.start, later.end) in known


@settings(max_examples=600, deadline=None)
@given(before=pieces, after=pieces)
def test_what_is_sighted_stays_sighted(before: list[str], after: list[str]) -> None:
    text, whole = "".join(before), "".join([*before, *after])
    later = {(one.name, one.start) for one in DETECTOR.sightings(Letters(whole), ended=True)}
    assert {(one.name, one.start) for one in DETECTOR.sightings(Letters(text), ended=False)} <= later


def test_ordinary_text_is_not_open() -> None:
    for text in ("I went with", "What a day, ", "can't", "On ", "the lee ", "Anna ", "Bobby", "x = f(y)", "ol "):
        assert DETECTOR.open_from(Letters(text)) == len(text), text


def test_only_the_beginning_of_a_name_is_open() -> None:
    detector = LexicalDetector({"one": ["Harry Potter"], "two": ["Hogwarts"]})
    for text, open_part in (
        ("see H", "H"),
        ("see harry,  ", "harry,  "),
        ("see Harry Potters", "Harry Potters"),
        ("see Harry Potterhead", ""),
        ("see har ry", ""),
        ("see Harry x", ""),
        ("my_hogw", "hogw"),
        ("seeHarry", "Harry"),
        ("seeharry", "harry"),
    ):
        assert text[detector.open_from(Letters(text)) :] == open_part, text
