"""The fault matrix counts what it says."""

from typing import Any

from benchmarks.product.broken import BREAKS
from benchmarks.product.fault_limits import CLOCK
from benchmarks.product.fault_load import Asked, row_of
from benchmarks.product.faults import _BROKEN, _UNREAD, _UPSTREAM
from benchmarks.product.stub import FAULTS


def asked(**fields: Any) -> Asked:
    return Asked(**{"inside": False, "stream": False, "outcome": "200", "plan": "Pass", "ending": "whole", **fields})


def test_every_fault_of_the_stub_and_of_the_broken_gateway_has_its_row() -> None:
    assert set(_UPSTREAM) == {"none", *FAULTS}
    assert {*_BROKEN, *_UNREAD, CLOCK} == set(BREAKS)


def test_an_answer_inside_the_scope_that_was_passed_on_is_unguarded() -> None:
    inside = [
        asked(id="1", inside=True),
        asked(id="2", inside=True, plan="Corrupt"),
        asked(id="3", inside=True, plan=""),
    ]
    assert row_of("", [*inside, asked(id="4")], [])["unguarded"] == 2
    assert row_of("", [asked(id="4"), asked(id="5", plan="Refuse")], [], all_inside=True)["unguarded"] == 1
    unread = [asked(id="8", said=" word word"), asked(id="9", said="."), asked(id="10", said="I cannot help.")]
    assert row_of("", unread, [], all_unread=True)["unguarded"] == 2
    late = asked(id="6", inside=True, ended=11.0)
    assert row_of("", [late], [], guarded_until=10.0)["unguarded"] == 0
    refused = asked(id="7", inside=True, outcome="502", plan="")
    assert row_of("", [refused], [])["unguarded"] == 0


def test_lines_that_are_missing_or_doubled_are_counted() -> None:
    clients = [asked(id="1"), asked(id="2"), asked(id="3", outcome="429"), asked(id="4", outcome="503")]
    row = row_of("", clients, [{"id": "1"}, {"id": "1"}])
    assert (row["accepted"], row["without_a_line"], row["with_two_lines"], row["lines"]) == (2, 1, 1, 2)


def test_how_a_stream_ended() -> None:
    clients = [asked(id=ending, stream=True, ending=ending) for ending in ("whole", "told", "broken", "garbled")]
    row = row_of("", [*clients, asked(outcome="no answer", ending="")], [])
    assert (row["answered"], row["told_in_stream"], row["broken_off"], row["garbled"]) == (1, 1, 1, 1)
    assert row["others"] == {"no answer": 1}
