"""Misspelt names are found, with the right letters they are not, and English words are no misspelt names."""

import itertools

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from classifiers.names.aliases import LexicalDetector, confirmed
from classifiers.names.near import NearNames, edits_between, sound
from classifiers.names.ordinary import Alias
from classifiers.names.vocabulary import is_known
from classifiers.types import Verdict

ALIASES = ("Zelda Quorn", "Brackenfelt", "Ada Pellworthy", "Quorn", "Gerold Maspert", "Belletrix")
DETECTOR = LexicalDetector({"sea": ALIASES})


def found(text: str) -> list[str]:
    return [text[s.start_char : s.end_char] for v in confirmed(DETECTOR.detect([text])[0]) for s in v.spans]


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("Who is Zelda Quron?", ["Zelda Quron"]),
        ("Who is Zedla Qourn?", ["Zedla Qourn"]),
        ("Who is Zeldda Quornn, then?", ["Zeldda Quornn"]),
        ("where is Brakenfelt", ["Brakenfelt"]),
        ("where is Brackenfel", ["Brackenfel"]),
        ("where is Brcakenflet", ["Brcakenflet"]),
        ("where is Bracken", []),
        ("where is Wrackenfelt", []),  # without the first letter it needs a second sign
        ("who is Ada Pelworthy", ["Ada Pelworthy"]),
        ("who is Adam Pelworthy", []),  # three letters must be right
        ("who is Ze1da Qu0rn", ["Ze1da Qu0rn"]),
        ("who is ZeldaQuron", []),  # needs a second sign
        ("the corn of Zelda", []),
        ("who is Gerlod Mspertt", ["Gerlod Mspertt"]),  # two edits in a short word, and one in the other
        ("who is Gerold Mosberg", []),  # another Gerold
        ("who is Gerold Mspertt", ["Gerold Mspertt"]),
        ("who is Gerold Masqprt", ["Gerold Masqprt"]),  # no common word has these letters side by side
        ("who is Gerold Kasqprt", []),
        ("who is Gerlodd Mspertt", ["Gerlodd Mspertt"]),  # four edits in thirteen letters, all of them slips
        ("who is Gerwadd Mkpirtz", []),  # too many letters for others
        ("who is Terold Mspertt", []),  # without a first letter
        ("who is Gerlod Mosipirret", []),  # only sounds alike
        ("who is Beltrix", []),  # two letters fewer of nine: somebody else
        ("who is Blletrixx", ["Blletrixx"]),
    ],
)
def test_misspelt_names(text: str, spans: list[str]) -> None:
    assert found(text) == spans


def test_each_misspelt_name_of_a_long_text_is_found_in_its_place() -> None:
    text = "Hello, Zelda Quron! " * 300
    (found_all,) = DETECTOR.detect([text])
    starts = [span.start_char for span in found_all[0].spans]
    assert starts == [20 * number + 7 for number in range(300)]
    assert {text[span.start_char : span.end_char] for span in found_all[0].spans} == {"Zelda Quron"}


def test_a_doubtful_spelling_needs_a_second_sign() -> None:
    detector = LexicalDetector({"sea": ["Pellwort"]})
    names = LexicalDetector({"sea": ["Zelda Quorn"]}).detect(["who is Zilda Korin"])[0]
    leaning = Verdict("sea", "classifier", 0.1, 0.4, False)
    assert [verdict.matched for verdict in names] == [False]
    assert [verdict.matched for verdict in confirmed([*names, leaning])] == [True, False]
    assert detector.detect(["pillow art"]) == [[]]
    assert [verdict.matched for verdict in DETECTOR.detect(["who is ZeldaQuron"])[0]] == [False]


def test_without_misspelt_ones_letters_must_be_right() -> None:
    assert DETECTOR.detect(["Zelda Quron"], misspelt=False) == [[]]
    assert DETECTOR.detect(["Zelda Quorn"], misspelt=False)[0][0].matched


def test_english_words_are_no_misspelt_names() -> None:
    detector = LexicalDetector({"s": ["Winterr", "Kitchenn", "Zelda Watter"]})
    assert detector.detect(["the winter in the kitchen, Zelda water"]) == [[]]


def test_ordinary_words_that_are_names_are_never_misspelt() -> None:
    assert LexicalDetector({"s": [Alias("Brackenfelt", "exact")]}).detect(["brackenfel"]) == [[]]


letters = st.text("abcdehlnorst", min_size=5, max_size=12)


@given(letters, st.data())
def test_every_edit_within_the_bound_is_found(word: str, data: st.DataObject) -> None:
    most = 2 if len(word) >= 9 else 1
    changed = word
    for _ in range(most):
        place = data.draw(st.integers(0, len(changed) - 1))
        letter = data.draw(st.sampled_from("xqz"))
        kind = data.draw(st.integers(0, 2))
        changed = changed[:place] + (letter, "", letter + changed[place])[kind] + changed[place + 1 :]
    assume(len(changed) >= 4 and not is_known(changed) and not is_known(word))
    names = NearNames().updated({"s": [f"{word} bo"]}, ())
    found = {(hit.first, hit.last) for hit in names.found([changed, "bo"])}  # the joined words may be near, too
    assert changed == word or (0, 2) in found


@given(letters, st.integers(0, 10))
def test_neighbours_that_changed_places_are_found(word: str, place: int) -> None:
    assume(place + 1 < len(word))
    changed = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    assume(changed != word and not is_known(changed) and not is_known(word))
    assert list(NearNames().updated({"s": [f"{word} bo"]}, ()).found([changed, "bo"]))


@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_edits_are_counted_as_by_the_table(one: str, other: str) -> None:
    rows = {(i, j): max(i, j) for i in range(len(one) + 1) for j in range(len(other) + 1) if not i or not j}
    for i, j in itertools.product(range(1, len(one) + 1), range(1, len(other) + 1)):
        best = min(rows[i - 1, j] + 1, rows[i, j - 1] + 1, rows[i - 1, j - 1] + (one[i - 1] != other[j - 1]))
        if i > 1 and j > 1 and one[i - 2 : i] == other[j - 2 : j][::-1]:
            best = min(best, rows[i - 2, j - 2] + 1)
        rows[i, j] = best
    distance = rows[len(one), len(other)]
    assert edits_between(one, other, 2) == (distance if distance <= 2 else None)


def test_words_that_sound_alike() -> None:
    assert sound("quorn") == sound("korn") == sound("ckworn")
    assert sound("brackenfelt") != sound("brackenfeld")


def test_scopes_come_and_go() -> None:
    names = NearNames().updated({"a": ["Brackenfelt"], "b": ["Brackenfelt"]}, ())
    assert {hit.scope for hit in names.found(["brackenfel"])} == {"a", "b"}
    assert {hit.scope for hit in names.updated({}, ["a"]).found(["brackenfel"])} == {"b"}
    assert list(NearNames().found(["brackenfel"])) == []
