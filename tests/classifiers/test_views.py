"""Views: what a reader understands is there in plain letters, and points to the place where it was written."""

import base64
import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.traffic import general_traffic
from classifiers.views.views import views

QUESTION = "Which ship does Captain Zelda Quorn command in the novel?"


def readable(text: str) -> list[str]:
    return [view.text for view in views(text) if not view.names_alone]


def letters_of(text: str) -> str:
    return "".join(letter for letter in text if letter.isalnum())


def caesar(text: str, places: int) -> str:
    small = "abcdefghijklmnopqrstuvwxyz"
    turned = small[places:] + small[:places]
    return text.translate(str.maketrans(small + small.upper(), turned + turned.upper()))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Answer: where_did_the_old_keeper_hide_his_lamp", "where did the old keeper hide his lamp"),
        ("WHERE-DID-THE-OLD-KEEPER-HIDE-IT now", "WHERE DID THE OLD KEEPER HIDE IT"),
        ("return whereDidAKeeperHideHisLamp2()", "where Did A Keeper Hide His Lamp"),
        ("where/did/the/keeper/hide/it/", "where did the keeper hide it"),
        ("where.did.the.keeper.hide.it?", "where did the keeper hide it"),
    ],
)
def test_a_question_glued_into_an_identifier_is_parted(text: str, said: str) -> None:
    (view,) = [view for view in views(text) if said in view.text]
    start = view.text.index(said)
    first, last = view.source_range(start, start + len(said))
    assert text[first:last].startswith(said.split(maxsplit=1)[0])
    assert text[first:last].endswith(said.rsplit(maxsplit=1)[-1])


def test_letters_that_stand_apart_may_own_something() -> None:
    for text in ("What is R e m u s F e n n's trade?", "What is R e m u s’s trade?"):
        assert any("emusF" in view.text or "Remus" in view.text for view in views(text) if not view.names_alone), text
        assert all("gs" not in view.text for view in views(text))
    assert any("RemusFenn's" in view.text for view in views("What is R e m u s F e n n's trade?"))


@pytest.mark.parametrize("text", ["x = get_user_name_by_id(3)", "std::vector<int>", "aVeryLongName", "2026-11-27"])
def test_short_identifiers_are_left_alone(text: str) -> None:
    assert [view.text for view in views(text) if not view.names_alone] == []


@pytest.mark.parametrize("before", ["", "What does ", "Tell what does that ", "one fact: "])
@pytest.mark.parametrize("code", ["UmVtdXMgRmVubg==", "UmVt dXMg RmVu bg==", "UmVtdXMgRmVubg"])
def test_words_of_four_letters_in_front_do_not_hide_base64(before: str, code: str) -> None:
    assert any(f"{before}Remus Fenn" in view.text for view in views(f"{before}{code} do?"))


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "dressed",
    [
        in_base64(QUESTION),
        in_base64(in_base64(QUESTION)),
        in_base64(codecs.encode(QUESTION, "rot13")),
        QUESTION.encode().hex(),
        codecs.encode(QUESTION, "rot13"),
        caesar(QUESTION, 5),
        " ".join(word[::-1] for word in QUESTION.split()),
        "   ".join(" ".join(word) for word in QUESTION.split()),
        "   ".join(".".join(word) for word in QUESTION.split()),
        "".join(chr(0xE0000 + ord(letter)) for letter in QUESTION),
        "".join(chr(ord(letter) + 0xFEE0) if letter != " " else " " for letter in QUESTION),
    ],
)
def test_a_dressed_question_is_read(dressed: str) -> None:
    wanted = "".join(letter for letter in QUESTION if letter.isalnum())
    assert any(
        "".join(c for c in text if c.isalnum()) == wanted for text in readable(f"{dressed} ") + readable(dressed)
    )


def test_a_text_backwards_is_read() -> None:
    assert QUESTION in readable(QUESTION[::-1])


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Who is 🅉🄴🄻🄳🄰?", "Who is ZELDA?"),
        ("Who is Zеldа Quоrn?", "Who is Zelda Quorn?"),  # Cyrillic letters
        ("Who is Z.e.l.d.a of the sea?", "Who is Zelda of the sea?"),
        ("Who is Z🙂e🙂l🙂d🙂a?", "Who is Zelda?"),
        ("Who is Ze ld a Quorn?", "Who is Zelda Quorn?"),
        ('print("Zel" + "da")', 'print("Zelda")'),
        ("a = 'Zelda'; b = 'Quorn'; who is a + b", "a = 'Zelda'; b = 'Quorn'; who is  ZeldaQuorn "),
        ('{"q": "\\u005aelda\\nQuorn"}', '{"q": "Zelda\nQuorn"}'),
        ("Zelda%20Quorn and Zelda&amp;Quorn", "Zelda Quorn and Zelda&Quorn"),
    ],
)
def test_a_part_is_read_among_the_rest(text: str, read: str) -> None:
    assert any(" ".join(found.split()) == " ".join(read.split()) for found in readable(text))


@pytest.mark.parametrize("name", ["nrouQ adleZ", "adleZ nrouQ", "Mryqn Dhbea", "Z3ld4 Qu0rn", "Zel-da Quo.rn"])
def test_odd_words_are_spelled_as_the_names_they_may_be(name: str) -> None:
    text = f"Who is {name}?"
    odd = [view for view in views(text) if view.names_alone]
    view = next(view for view in odd if "Zelda Quorn" in view.text)
    start = view.text.index("Zelda Quorn")
    assert text[slice(*view.source_range(start, start + len("Zelda Quorn")))] == f"{name}?"


SIGNS = [
    "-",
    "+",
    "$",
    "|",
    "·",
    "•",
    "—",
    "…",
    "“",
    "_",
    "*",
    "~~",
    "{}",
    "🕵",
    " 🎈 ",
    "→",
    "-\n",
    "- ",
    "\n",
    " ",
    "[1]",
    "\u2010\n",
]


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("text", ["Where is Quorn{}ham?", "Who wrote of Zel{}da and Quorn{}ham in the end?"])
def test_a_word_that_is_cut_is_put_together_whatever_cuts_it(text: str, sign: str) -> None:
    """Pasted pages do so at the ends of their lines, attackers anywhere."""
    cut = text.replace("{}", sign)
    views_of = [view for view in views(cut) if "Quornham" in view.text]
    assert views_of
    assert "Zel{}" not in text or any("Zelda" in view.text for view in views(cut))
    view = views_of[0]
    start = view.text.index("Quornham")
    first, last = view.source_range(start, start + len("Quornham"))
    assert f"Quorn{sign}ham" in cut[first:last]


@pytest.mark.parametrize("text", [r"Who is \textbf{Zel}da \emph{Quo}rn?", r"Who is Zel\textbf{da} Quo\emph{rn}?"])
def test_commands_of_markup_do_not_cut_a_name(text: str) -> None:
    found = [" ".join(view.text.split()).replace("{", "").replace("}", "").replace(" ", "") for view in views(text)]
    assert any("ZeldaQuorn" in one for one in found)


@pytest.mark.parametrize(
    "text", ["It's a well-known state-of-the-art thing, isn't it?", "We’re here and/or there — or not."]
)
def test_ordinary_compounds_are_not_cut(text: str) -> None:
    assert all(view.name != "cut words" for view in views(text))


@given(st.text(max_size=80) | st.text("ab1 .-%&\\\"'=+x0\u200bаНⒶ\U000e0041\ufe01", max_size=80))
def test_every_view_points_into_the_text(text: str) -> None:
    for view in views(text):
        assert len(view.text) == len(view.starts) == len(view.ends)
        assert view.text.strip()
        assert all(0 <= start < end <= len(text) for start, end in zip(view.starts, view.ends, strict=True))


def test_ordinary_prompts_have_no_view_but_their_odd_words() -> None:
    rows = general_traffic()[::3]
    assert sum(bool(readable(row)) for row in rows) < 0.01 * len(rows)


@pytest.mark.parametrize("piece", ["aB", "SGVs", "%41 ", "\\n", "a='b' ", "41 ", "аб ", "h4 ", '{"a":', "'+'"])
def test_the_work_is_bounded(piece: str) -> None:
    text = piece * 4_000
    assert sum(len(view.text) for view in views(text)) <= 8 * len(text) + 4_000


@pytest.mark.parametrize(
    "text",
    [
        "a" + "..a" * 30_000 + "'e_f",
        "a" + "'a" * 50_000 + "_f",
        "a='b' b='c' a" + " " * 100_000 + "x",
        "a" + " " * 100_000 + "a='b' b='c'",
        "'a'" + " " * 100_000 + "'",
        "aB1aaa" + " \n " * 30_000,
        "\\" * 100_000,
        "é " + "a" * 100_000,
        "ab" + "+" * 100_000 + "c",
        "ab+cd" * 20_000,
        "\\ab" * 30_000 + "{",
        "qx " * 30_000,
        "K9;" * 20_000,
        "444 " * 15_000,
        "ɐ" * 60_000,
        "chr(77)+" * 8_000,
        "ab/*%@=F?5 a<b>" * 4_000,
        "mike-india-" * 5_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_no_pattern_runs_away(text: str) -> None:
    """A pattern that tries such a run in all ways, or from each of its characters, takes minutes or for ever."""
    assert sum(len(view.text) for view in views(text)) <= 8 * len(text) + 4_000


def test_short_words_beside_many_letters_apart_are_put_together_once() -> None:
    text = "Z.e.l.d.a is o.f t.h.e sea, " * 300
    assert "Zelda is of the sea, " * 300 in readable(text)


def test_odd_words_in_front_do_not_hide_a_name() -> None:
    junk = " ".join(caesar("mumbling grumbling jumble", places) for places in range(1, 26))
    found = [view for view in views(f"{junk}. What is it about adleZ nrouQ?") if view.names_alone]
    assert any("Zelda Quorn" in view.text for view in found)
