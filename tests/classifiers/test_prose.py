"""The short way to read prose says what the long one says: as much waits, and the same is found, whatever comes."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from classifiers.leaks import watch as watching
from classifiers.leaks.codes import ends_plainly, run_from
from classifiers.leaks.facts import facts_of
from classifiers.leaks.model import LeakModel
from classifiers.leaks.passages import passages_of
from classifiers.leaks.watch import AnswerWatch, Asked, OutputRule, OwnWords, Seen, Watched, Watchlist
from classifiers.names.ordinary import Alias
from classifiers.names.prose import prose_of
from classifiers.traffic import general_traffic

NAMES = (
    "Ann Lee",
    "Bo",
    "X",
    "Mira Tolund",
    "Harry Potter and the Cup",
    "Nimbus 2000",
    "The Boy Who Lived",
    "Quellingham",
)
NAMES += ("Hermione", "Łu Żak", "Анна Ли", "伏地魔", "Dolores", "A. B. Cee", "Lasso di Ego")
ORDINARY = (Alias("Snow", "exact"), Alias("The Cup", "exact"))
DOCUMENT = (
    "The lamplighter of Oxtermoor carried nine brass keys beneath his threadbare overcoat, and every evening he walked "
    "the crooked pier until the ferrymen had moored their barges below the customs house."
)
LEARNED = LeakModel(
    facts_of([("Where was Mira born?", "In a harbour called Oxtermoor near Vlissgate.")], (), bytes(16)),
    passages_of([DOCUMENT]),
)
WORDS = general_traffic()[17].split() + general_traffic()[999].split() + DOCUMENT.split()[:24]
WORDS += [word for name in NAMES for word in name.split()] + [
    "hermion",
    "Har",
    "har",
    "the",
    "boy",
    "who",
    "quelling",
    "lived",
]
WORDS += [
    "a",
    "I",
    "is",
    "of",
    "it",
    "be",
    "US",
    "NASA",
    "IDs",
    "don't",
    "it’s",
    "added",
    "face",
    "ad",
    "dead",
    "1995",
    "3",
    "4nn",
    "L33",
]
WORDS += [
    "10,000",
    "5ft",
    "M1ra",
    "T0lund!",
    "dnuloT",
    "arim",
    "zven",
    "gbyhaq",
    "caf\u00e9",
    "“so”",
    "x=1",
    "a/b",
    "<b>",
    "&nbsp;",
    "%20",
]
WORDS += [
    "TWlyYSBUb2x1bmQ=",
    "4d697261",
    "\\u004d",
    "— . - —",
    "- . -",
    "**",
    "##",
    "m i r a",
    "M.i.r.a",
    "h",
    "e",
    "r",
    "JavaScript",
    "U",
]
WORDS += [
    "".join(NAMES[0].split()) + "book",
    "theharrypotterandthecup",
    "Анна",
    "Ли",
    "伏地",
    "a" * 25,
    "it,it,it," * 9,
]
GAPS = [" "] * 12 + [
    "",
    "",
    ", ",
    ". ",
    "\n",
    "! ",
    "-",
    "'s ",
    "…",
    "  ",
    " (",
    ") ",
    "\t",
    "; ",
    ":",
    "'",
    "\n\n* ",
    "> ",
]
texts = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(GAPS)), max_size=14).map(
    lambda pairs: "".join(word + gap for word, gap in pairs)
)
cuts = st.lists(st.integers(1, 9), min_size=1, max_size=30)


def listed(rule: OutputRule, *, passages: bool) -> Watchlist:
    one = Watched((*NAMES, *ORDINARY), rule, lambda: LEARNED, has_passages=passages)
    return Watchlist().updated({"one": one, "two": Watched(("Snow", "Mira Vann"))}, ())


LISTS = {
    (rule, passages): listed(rule, passages=passages)
    for rule in ("names", "facts", "off")
    for passages in (False, True)
}


@contextmanager
def long_way_only() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watching, "prose_of", lambda *_: None)
        yield


def read(watchlist: Watchlist, asked: Asked, before: str, pieces: Sequence[str]) -> list[tuple[Seen, str]]:
    """What is said of each piece, and how much of the text is kept for the next."""
    one = AnswerWatch(watchlist, OwnWords(watchlist, asked), before=before)
    return [(one.read(piece), one.context) for piece in pieces] + [(one.read("", ended=True), one.context)]


def parted(text: str, sizes: Sequence[int]) -> list[str]:
    pieces, start = [], 0
    while start < len(text):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(text[start : start + size])
        start += size
    return pieces


@settings(max_examples=1500, deadline=None)
@given(
    before=texts,
    text=texts,
    sizes=cuts,
    watchlist=st.sampled_from(list(LISTS.values())),
    asked=st.sampled_from(
        [
            Asked(),
            Asked(("Who is Mira Tolund, and who is Bo?",)),
            Asked(("Snow?",), frozenset({"one"})),
            Asked(exempt="two".__eq__),
        ]
    ),
)
def test_the_short_way_and_the_long_one_decide_alike(
    before: str, text: str, sizes: list[int], watchlist: Watchlist, asked: Asked
) -> None:
    pieces = parted(text, sizes)
    found = read(watchlist, asked, before, pieces)
    with long_way_only():
        assert found == read(watchlist, asked, before, pieces)


@pytest.mark.parametrize("seed", range(3))
def test_so_they_do_on_ordinary_answers_with_a_name_at_the_end(seed: int) -> None:
    rng = random.Random(seed)
    watchlist = LISTS["names", True]
    for _ in range(40):
        text = " ".join([*rng.sample(general_traffic(), 3), rng.choice(NAMES), "it was."])
        pieces = parted(text, [rng.randint(1, 8) for _ in range(20)])
        found = read(watchlist, Asked(), "", pieces)
        assert found[-1][0].leak is not None
        with long_way_only():
            assert found == read(watchlist, Asked(), "", pieces)


def test_ordinary_answers_are_read_in_the_short_way() -> None:
    """Else the other tests would compare the long way with itself."""
    read_so = 0
    for row in general_traffic()[:400]:
        prose = prose_of(row, 0)
        read_so += (
            prose is not None
            and LISTS["names", False].disguises.open_in(LISTS["names", False].names, prose) is not None
        )
    assert read_so > 300


@settings(max_examples=800, deadline=None)
@example(text="howThe how ", settled=6)
@example(text="how-**:The", settled=0)
@given(text=texts, settled=st.integers(0, 80))
def test_prose_that_ends_plainly_ends_with_no_code(text: str, settled: int) -> None:
    prose = prose_of(text, settled)
    if prose and ends_plainly(prose):
        assert run_from(text) is None
