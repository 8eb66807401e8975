"""A name is found in an answer although its letters do not stand side by side, and hardly a beginning of it is sent."""

import itertools
import json
import re
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.leaks.named import all_named
from classifiers.leaks.threads import ThreadNames, Threads
from classifiers.leaks.undress import undressed
from classifiers.leaks.watch import AnswerWatch, Asked, OwnWords, Watched, Watchlist
from classifiers.names.ordinary import Alias
from classifiers.traffic import general_traffic

NAMES = ("Mira Tolund", "Quellingham", "Dorvenna Skaith")
LIST = Watchlist().updated({"scope": Watched(NAMES)}, ())
STARTS = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        "apples bread cherries dates eggs figs grapes honey ice jam kale lemons mangoes nuts olives pears quinces rice "
        "salt tea udon vanilla walnuts xanthan yeast zest".split(),
        strict=True,
    )
)


def small(name: str) -> list[str]:
    return [letter for letter in name.lower() if letter.isalpha()]


def each(change: Callable[[str], str]) -> Callable[[str], str]:
    return lambda name: " ".join(map(change, name.split()))


def parted(between: str) -> Callable[[str], str]:
    return each(lambda word: f"{word[:3]}{between}{word[3:]}" if len(word) > 4 else word)


def pig(word: str) -> str:
    onset = re.match("[^aeiou]*", word.lower())
    assert onset is not None
    return word.lower()[onset.end() :] + onset.group() + "ay"


WAYS: dict[str, Callable[[str], str]] = {
    "commas and and": lambda name: f"{', '.join(small(name)[:-1])} and {small(name)[-1]}",
    "bullets": lambda name: "\n".join(f"* **{one.upper()}**" for one in small(name)),
    "numbered": lambda name: " ".join(f"{number}. {one}" for number, one in enumerate(small(name), 1)),
    "labelled": lambda name: "\n".join(f"Letter {number}: {one}" for number, one in enumerate(small(name), 1)),
    "list of JSON": lambda name: json.dumps(list(name)),
    "list of JSON on lines": lambda name: json.dumps(list(name), indent=4),
    "object of JSON": lambda name: json.dumps({str(number): one for number, one in enumerate(small(name))}),
    "objects of JSON": lambda name: json.dumps([{"letter": one} for one in small(name)]),
    "pieces in JSON": lambda name: json.dumps([name[start : start + 3] for start in range(0, len(name), 3)]),
    "rows of a table": lambda name: "\n".join(f"| {number} | {one} |" for number, one in enumerate(small(name), 1)),
    "as in": lambda name: ", ".join(f"{one.upper()} as in {STARTS[one]}" for one in small(name)),
    "is for": lambda name: "\n".join(f"{one.upper()} is for {STARTS[one]}" for one in small(name)),
    "lines": lambda name: "\n".join(f"{STARTS[one].title()} grow in my garden" for one in small(name)),
    "sentences": lambda name: ". ".join(f"{STARTS[one].title()} grow in my garden" for one in small(name)) + ".",
    "words": lambda name: " ".join(STARTS[one] for one in small(name)),
    "added strings": lambda name: f'x = "{name[:4]}" + "{name[4:8]}" + "{name[8:]}"',
    "variables": lambda name: f'a = "{name[:5]}"\nb = "{name[5:]}"\nprint(a + b)',
    "told": lambda name: f'It starts with "{name[:5]}" and it ends with "{name[5:]}"',
    "a hyphen": parted("-"),
    "a line break": parted("-\n"),
    "a dot": parted(" · "),
    "a plus": parted(" + "),
    "bold in a word": each(lambda word: f"{word[:3]}**{word[3:]}**"),
    "code in a word": each(lambda word: f"{word[:3]}`{word[3:]}`"),
    "a note": parted("[1]"),
    "an aside": parted("[see there]"),
    "a comment": parted("<!-- no -->"),
    "tags": parted("</span><span>"),
    "parentheses": each(lambda word: f"{word[:3]}({word[3:]})"),
    "stars": lambda name: re.sub("[aeiou]", "*", name),
    "escaped stars": lambda name: re.sub("[aeiou]", r"\\*", name),
    "dashes": lambda name: re.sub("[aeiou]", "-", name),
    "no vowels": lambda name: re.sub("[aeiou]", "", name),
    "pig latin": each(pig),
    "ubbi dubbi": lambda name: re.sub("([aeiou])", r"ub\1", name.lower()),
    "a letter between": each("x".join),
    "digits between": each("7".join),
    "doubled": each(lambda word: "".join(one * 2 for one in word)),
    "drawn out": each(lambda word: f"{word[:2]}{word[2] * 4}{word[3:]}"),
    "shifted by 5": lambda name: "".join(chr((ord(one) - 92) % 26 + 97) if one != " " else one for one in name.lower()),
}
FEW_CONSONANTS = frozenset({"no vowels"})
FEW_LETTERS = frozenset({"told", "words"})  # more of a name may be sent: a beginning of five letters and its piece


def pieces_of(text: str, step: int) -> list[str]:
    return [text[start : start + step] for start in range(0, len(text), step)]


def sent(pieces: Sequence[str], watchlist: Watchlist = LIST) -> tuple[str, bool]:
    text, watch = "".join(pieces), AnswerWatch(watchlist, OwnWords(watchlist, Asked()))
    for piece in pieces:
        seen = watch.read(piece)
        if seen.leak:
            return text[: seen.safe], True
    seen = watch.read("", ended=True)
    return text[: seen.safe], seen.leak is not None


@pytest.mark.parametrize("step", [1, 3, 5, 1000])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_found_before_it_is_told(name: str, way: str, step: int) -> None:
    if way in FEW_CONSONANTS and name == "Mira Tolund":
        return
    said = WAYS[way](name)
    before, behind = "Well, then.\n", "\nThat is it, as far as I know."
    clean, leak = sent(pieces_of(before + said + behind, step))
    assert leak
    assert len(clean) - len(before) < len(said) * (0.75 if way in FEW_LETTERS else 0.6)


@pytest.mark.parametrize("step", [1, 2, 5, 1000])
@pytest.mark.parametrize(
    "slip",
    ["Quelilngham", "Quelingham", "Quelllingham", "Quellinghem", "Dorvena Skaith", "Dorvenna Skiath", "Mira Tolnud"],
)
def test_of_a_name_with_a_slip_of_the_pen_few_letters_are_sent(slip: str, step: int) -> None:
    clean, leak = sent(pieces_of(f"It is {slip}, no?", step))
    assert leak
    assert len(clean) <= len("It is ") + 4


def test_other_names_and_words_are_no_slips() -> None:
    watchlist = Watchlist().updated({"scope": Watched(("Harriet Pettering", "Wanderfall"))}, ())
    for text in ("Harriet Pestering", "Harriet Peddering", "Harriet Wetering", "wonderful", "Wandervall", "Harriet"):
        assert sent(pieces_of(f"It is {text}, no?", 3), watchlist) == (f"It is {text}, no?", False)


def test_of_a_word_that_a_sign_cuts_nothing_is_sent() -> None:
    for cut in ("Quell-ing-ham", "Q*ellingham", "Quel`lingham`", "Quelling+ham", "Que[1]llingham"):
        for step in (1, 2, 5):
            assert sent(pieces_of(f"It is {cut}, no?", step)) == ("It is ", True), cut


def test_a_sign_that_unicode_has_among_the_letters_stands_between_words() -> None:
    for sign in "\u02bb\u02c8\u3164":
        for text, leak in ((f"So {sign} it is, {sign}", False), (f"So {sign} it is Quel{sign} lingham.", True)):
            assert sent(pieces_of(text, 1))[1] is leak
            assert sent([text])[1] is leak


def test_a_letter_that_is_repeated_on_and_on_does_not_wait() -> None:
    watch = AnswerWatch(LIST, OwnWords(LIST, Asked()))
    for piece in ("Quelll", *["lllll"] * 30):
        seen = watch.read(piece)
    assert seen.safe > 100


def test_the_signs_for_the_last_letters_belong_to_a_masked_name() -> None:
    names = ThreadNames().updated({"scope": [*all_named("scope", NAMES)]}, ())
    (found_there,) = Threads(names).read("a quelling***", 0, ended=True)[0]
    assert (found_there.start, found_there.end) == (2, 13)


def test_what_the_user_wrote_may_be_spelled_for_them() -> None:
    watch = AnswerWatch(LIST, OwnWords(LIST, Asked(("Spell Quellingham in JSON",))))
    assert watch.read(json.dumps(list("Quellingham")), ended=True).leak is None


def test_a_name_that_is_an_ordinary_word_is_no_leak_by_its_letters() -> None:
    watchlist = Watchlist().updated({"scope": Watched((Alias("Blackbird", "exact"),))}, ())
    assert not sent(["b-l-a-c-k-b-i-r-d, and black + bird"], watchlist)[1]


def test_common_words_side_by_side_are_no_cut_name() -> None:
    watchlist = Watchlist().updated({"scope": Watched(("Windhouse",))}, ())
    for text in ("A wind house stood there.", "It is the wind, house by house."):
        assert sent(pieces_of(text, 3), watchlist) == (text, False)
    assert sent(["It is Windho use."], watchlist)[1]


names = st.lists(st.text("abc", min_size=6, max_size=7), min_size=1, max_size=3, unique=True)
texts = st.lists(
    st.sampled_from(
        'a|b|c|ab|abc|cab|bca|caab|abacc| | |-|\n|. |", "|, "|" |2.|*|[x]|[|]| + |, |aaa|aabbcc|axbxc'.split("|")
    ),
    max_size=30,
).map("".join)
places = st.lists(st.integers(0, 80), max_size=14)


def cut(text: str, places: Sequence[int]) -> list[str]:
    ends = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    return [text[a:b] for a, b in itertools.pairwise(ends)]


def found(threads: ThreadNames, pieces: Sequence[str]) -> list[tuple[str, int, int]]:
    """What the threads find in a text, with all of it at hand."""
    one, text, sightings = Threads(threads), "", []
    for piece in (*pieces, ""):
        text += piece
        sightings += one.read(text, 0, ended=piece == "" and text == "".join(pieces))[0]
    return sorted({(sighting.name, sighting.start, sighting.end) for sighting in sightings})


@settings(max_examples=1500, deadline=None)
@given(names=names, text=texts, places=places)
def test_what_is_found_does_not_depend_on_the_pieces(names: list[str], text: str, places: list[int]) -> None:
    threads = ThreadNames().updated({"scope": [*all_named("scope", names)]}, ())
    assert found(threads, cut(text, places)) == found(threads, [text] if text else [])


@settings(max_examples=1500, deadline=None)
@given(names=names, text=texts, places=places)
def test_what_was_sent_holds_no_name_and_all_else_is_sent(names: list[str], text: str, places: list[int]) -> None:
    threads = ThreadNames().updated({"scope": [*all_named("scope", names)]}, ())
    one, read, safe = Threads(threads), "", 0
    for piece in cut(text, places):
        read += piece
        sightings, open_from = one.read(read, 0, ended=False)
        if sightings:
            assert all(sighting.end > safe for sighting in sightings)  # never all of a name
            return
        safe = max(safe, open_from)
    sightings, open_from = one.read(read, 0, ended=True)
    assert all(sighting.end > safe for sighting in sightings)
    assert open_from == len(text)


def test_ordinary_answers_wait_for_no_thread() -> None:
    waits = tokens = 0
    threads = ThreadNames().updated({"scope": [*all_named("scope", NAMES)]}, ())
    for row in general_traffic()[:300]:
        one, read = Threads(threads), ""
        for token in re.findall(r"\s?\S{1,5}", row):
            read += token
            sightings, open_from = one.read(read, 0, ended=False)
            assert not sightings
            waits += open_from < len(read)
            tokens += 1
    assert waits < tokens / 100


@pytest.mark.parametrize("word", ["qxuxexlxlxixnxgxhxaxm", "qquueelllliinngghhaamm", "qqquuueeellllll"])
def test_of_a_longer_word_no_less_is_said(word: str) -> None:
    """Else a stream would forget what it holds."""
    whole = undressed(word)[0]
    for end in range(6, len(word)):
        assert any(whole.startswith(said[:-1]) for said in undressed(word[:end])), word[:end]


def test_names_of_scopes_come_and_go() -> None:
    one = ThreadNames().updated({"one": [*all_named("one", ["Quellingham"])]}, ())
    both = one.updated({"two": [*all_named("two", ["Dorvenna Skaith"])]}, ())
    new = both.updated({"one": [*all_named("one", ["Brackenfold"])]}, ["two"])
    for names, kept in ((one, ["Quellingham"]), (both, ["Quellingham", "Dorvenna Skaith"]), (new, ["Brackenfold"])):
        for name in ("Quellingham", "Dorvenna Skaith", "Brackenfold"):
            said = [name[:4] + "-" + name[4:], name[:3] + "*" + name[4:], name[:5] + name[6] + name[5] + name[7:]]
            assert [bool(found(names, [text])) for text in said] == [name in kept] * 3, name
