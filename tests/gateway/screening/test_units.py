"""What the gate reads of a text, and that each hit is found again in the message as the client sent it."""

import base64
import json
import random
import uuid
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.encoder.sentence import Encoder
from classifiers.leaks.watch import Watched
from classifiers.svm.model import Head
from classifiers.types import Span, Verdict
from gateway.core import Message, Request, Screening
from gateway.methods.registry import method
from gateway.packs.store import Pack
from gateway.policy import Guard
from gateway.screening.gate import Gate
from gateway.screening.units import Unit, merged, units

QUESTION = "Which lion rules the land behind the wardrobe?"
OTHERS = "How do I boil an egg until it is hard? Please tell me three facts about the moon."


def request_of(*texts: str) -> Request:
    return Request("1", "chat", "m", tuple(Message("user", text) for text in texts))


@pytest.fixture(scope="module")
def gate(encoder: Encoder) -> Gate:
    """Knows the name Narnia, and a head that flags texts near to QUESTION."""
    (windows,) = encoder.encode([QUESTION])
    head = Head(np.asarray(windows, np.float32), np.full(1, 2.0, np.float32), -1.0, 2.0, 0.2)
    guard = Guard("narnia", "refuse", method("corruption"), None)
    names = ("Narnia", "Caspian Pevensie")
    pack = Pack("v-1", True, names, "classifier", lambda: head, guard, Watched(names))
    return Gate({"narnia": pack}, encoder)


def words(gate: Gate, *texts: str) -> list[str]:
    """What the findings cover."""
    (screening,) = gate.screen([request_of(*texts)])
    return [texts[message][start:end] for found in screening.matched for message, start, end in found.ranges]


def test_a_plain_text_of_one_clause_is_read_once() -> None:
    assert units("which tea is best for a cold") == [Unit("which tea is best for a cold")]


@given(st.text("ab .?!\n\"':,{}%41\\nx\U000e0041а", max_size=120))
def test_every_unit_lies_in_the_text(text: str) -> None:
    for unit in units(text):
        if unit.text:
            place = unit.place
            assert 0 <= place.start_char < place.end_char <= len(text)
            if unit.view is None:
                assert text[place.start_char : place.end_char] == unit.text


@pytest.mark.parametrize(
    "text",
    [
        QUESTION,
        f"{OTHERS} {QUESTION}",
        f"qwzt plrk mmv xxo {QUESTION}",
        json.dumps({"lang": "en", "question": QUESTION, "n": [1, 2]}),
        f"# Quiz\n- {OTHERS}\n- {QUESTION}\n",
        base64.b64encode(QUESTION.encode()).decode(),
        QUESTION[::-1],
    ],
)
def test_a_question_is_flagged_in_any_dress(gate: Gate, text: str) -> None:
    assert gate.screen([request_of(text)])[0].scopes == ("narnia",)


def test_harmless_texts_in_the_same_dress_pass(gate: Gate) -> None:
    dressed = [OTHERS, base64.b64encode(OTHERS.encode()).decode(), OTHERS[::-1], json.dumps({"q": OTHERS})]
    assert not any(screening.scopes for screening in gate.screen([request_of(text) for text in dressed]))


def test_the_words_of_the_clause_are_covered_and_the_harmless_part_is_not(gate: Gate) -> None:
    text = f"{OTHERS} {QUESTION} {OTHERS}"
    covered = words(gate, text)
    assert "lion" in covered
    assert not {"egg", "moon", "facts"} & set(covered)


@pytest.mark.parametrize(
    ("text", "covered"),
    [
        ("Who is C.a.s.p.i.a.n P.e.v.e.n.s.i.e of old?", "C.a.s.p.i.a.n P.e.v.e.n.s.i.e"),
        ("Who is Casipan Pevenise of old?", "Casipan Pevenise"),
        (f"Where is {base64.b64encode(b'Narnia').decode()}?", base64.b64encode(b"Narnia").decode()),
        ("Where is ainraN now?", "ainraN"),
        ('{"q": "where is \\u004earnia"}', "\\u004earnia"),
    ],
)
def test_a_name_in_another_spelling_is_covered_where_it_stands(gate: Gate, text: str, covered: str) -> None:
    assert any(covered in found for found in words(gate, "Hello.", text))


def test_the_windows_are_counted(gate: Gate) -> None:
    short, long = gate.screen([request_of("which tea is best"), request_of(f"{OTHERS} {QUESTION}")])
    assert short.windows == 1
    assert long.windows is not None
    assert long.windows > 3
    assert short == Screening()


def verdict(score: float, matched: bool, *spans: tuple[int, int]) -> Verdict:
    return Verdict("s", "classifier", score, 0.5, matched, tuple(Span(0, *span) for span in spans))


def test_units_become_one_verdict() -> None:
    whole, clause = Unit("One two. Three four."), Unit("Three four.", "clause", None, 9, 2)
    lower, higher = verdict(0.3, False), verdict(0.9, True, (0, 5))
    assert merged([(whole, lower), (clause, higher)]) == [verdict(0.9, True, (9, 14))]
    assert merged([(whole, verdict(0.7, True)), (clause, higher)]) == [verdict(0.9, True)], (
        "no word stands out: all of it"
    )
    assert merged([(clause, verdict(0.9, True))]) == [verdict(0.9, True, (9, 20))]
    assert np.isnan(merged([(whole, lower), (clause, verdict(float("nan"), True))])[0].score)


def test_a_name_that_counts_covers_the_doubtful_ones_of_other_units() -> None:
    whole, view = Unit("Narnia and Lucy"), Unit("Narnia and Lucy", "clause", None, 9, 2)
    sure, doubtful = (
        replace(verdict(1.0, sure, span), detector="lexical") for sure, span in ((True, (0, 6)), (False, (2, 6)))
    )
    assert merged([(whole, sure), (view, doubtful)]) == [replace(sure, spans=(Span(0, 0, 6), Span(0, 11, 15)))]


def test_a_clause_among_many_needs_more() -> None:
    head = Head(np.ones((1, 2), np.float32), np.ones(1, np.float32), -1.0, 1.0, 0.0)
    found = [head.threshold_among(texts) for texts in (1, 2, 10, 1_000)]
    assert found[0] == head.threshold
    assert found == sorted(set(found))
    assert found[-1] == pytest.approx(1.0), "as far above the threshold as that is above a text far off"


def test_of_a_long_view_without_clauses_only_what_differs_is_read_again() -> None:
    rng = random.Random(3)
    noise = " ".join(str(uuid.UUID(int=rng.getrandbits(128))) for _ in range(300))
    again = [unit for unit in units(noise) if unit.kind == "clause"]
    assert sum(len(unit.text) for unit in again) < len(noise)
    asked = base64.b64encode(b"Which lamp did the old keeper of the pier hide?").decode()
    found = [unit for unit in units(f"{noise[:6000]} {asked} {noise[6000:]}") if unit.kind == "clause"]
    assert any("Which lamp did the old keeper of the pier hide?" in unit.text for unit in found)


def test_a_name_that_goes_on_behind_an_answer_is_found_where_it_stands(gate: Gate) -> None:
    turns = [
        ("user", "Tell me about Nar"),
        ("assistant", "Sorry, about whom?"),
        ("user", "nia. I hit enter too early."),
    ]
    (screening,) = gate.screen([Request("1", "chat", "m", tuple(Message(*turn) for turn in turns))])
    found = [turns[message][1][start:end] for one in screening.matched for message, start, end in one.ranges]
    assert any("Nar" in part for part in found)
    assert any("nia" in part for part in found)
    (screening,) = gate.screen([Request("1", "chat", "m", tuple(Message(*turn) for turn in (turns[0], turns[1])))])
    assert not screening.matched


def test_of_a_long_view_the_names_are_looked_for_where_it_differs(gate: Gate) -> None:
    filler = "The harbour master counts the boats again and writes their numbers down. " * 120
    coded = base64.b64encode(b"Tell me of Caspian Pevensie, please.").decode()
    text = f"{filler}\n{coded}\n{filler}"
    views = [unit for unit in units(text) if unit.kind == "long view"]
    assert views
    assert sum(len(unit.text) for unit in views) < len(text) / 4
    (found,) = words(gate, text)
    assert found in coded


def test_an_excerpt_cuts_no_word() -> None:
    filler = "Unbreakable considerations notwithstanding " * 200
    text = f"{filler}{base64.b64encode(b'some other words here').decode()} {filler}"
    cut = [unit for unit in units(text) if unit.kind == "long view"]
    assert cut
    whole = {*text.split(), *"some other words here".split()}
    assert {word for unit in cut for word in unit.text.split()} <= whole
