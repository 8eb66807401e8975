"""What of a request is screened, and that every span finds its way back to its message."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from classifiers.encoder.sentence import Encoder
from classifiers.names.ordinary import Alias
from classifiers.types import Span
from gateway.core import Message, Request, Screening
from gateway.packs.files import Policy
from gateway.packs.folders import set_enabled
from gateway.packs.store import load_packs
from gateway.screening.gate import Gate
from gateway.screening.texts import screened_texts


def request_of(*texts: str, side: tuple[str, ...] = ()) -> Request:
    messages = tuple(Message("user", text) for text in texts)
    return Request(id="1", endpoint="chat", model="m", messages=messages, side_texts=side)


def test_one_message_is_screened_once() -> None:
    assert [text.text for text in screened_texts(request_of("Who?"))] == ["Who?"]


def test_turns_are_screened_alone_and_together_and_so_are_the_texts_beside_them() -> None:
    texts = screened_texts(request_of("Narnia?", "  ", "Who rules there?", side=("a tool", " ")))
    assert [(text.text, text.message) for text in texts] == [
        ("Narnia?", 0),
        ("Who rules there?", 2),
        ("Narnia?\nWho rules there?", None),
        ("a tool", None),
    ]


def test_nothing_to_screen() -> None:
    assert screened_texts(request_of("", " \n")) == []


@pytest.mark.parametrize(
    ("span", "ranges"),
    [
        ((0, 7), ((0, 0, 7),)),
        ((8, 11), ((2, 0, 3),)),
        ((3, 12), ((0, 3, 7), (2, 0, 4))),
        ((7, 8), ()),  # the line break that joins them
        ((20, 24), ((2, 12, 16),)),
    ],
)
def test_a_span_of_the_conversation_is_located_in_its_messages(
    span: tuple[int, int], ranges: tuple[tuple[int, int, int], ...]
) -> None:
    whole = screened_texts(request_of("Narnia?", "", "Who rules there?"))[2]
    assert whole.locate(Span(0, *span)) == ranges
    sources = ["Narnia?", "", "Who rules there?"]
    assert "".join(sources[message][a:b] for message, a, b in ranges) == whole.text[slice(*span)].replace("\n", "")


def test_findings_name_the_scope_and_the_place(encoder: Encoder, tmp_path: Path, save: Any) -> None:
    save("narnia", aliases=("Narnia",))
    save("oz", aliases=("Emerald City",))
    gate = Gate(load_packs(tmp_path / "packs", base_fingerprint=None, encoder_fingerprint=None), encoder)
    asked = request_of("Where?", "In Nárnia, near the Emerald City")
    screening, other = gate.screen([asked, request_of("Where?")])
    found = {message: [f for f in screening.matched if f.message == message] for message in (0, 1, None)}
    assert found[0] == []
    assert [(finding.scope, finding.ranges) for finding in found[1]] == [
        ("narnia", ((1, 3, 9),)),
        ("oz", ((1, 20, 32),)),
    ]
    assert [finding.ranges for finding in found[None]] == [finding.ranges for finding in found[1]]
    assert {finding.detector for finding in screening.findings} == {"lexical"}, (
        "a classifier that is far off says nothing"
    )
    assert screening.scopes == ("narnia", "oz")
    assert other.scopes == ()


def test_a_name_that_needs_a_second_sign_is_found_with_one(encoder: Encoder, tmp_path: Path, save: Any) -> None:
    save("narnia", aliases=("Aslan", Alias("Lucy", "confirmed")))
    gate = Gate(load_packs(tmp_path / "packs", base_fingerprint=None, encoder_fingerprint=None), encoder)
    alone, together = gate.screen([request_of("Who is Lucy?"), request_of("Who are Lucy and Aslan?")])
    assert not any(finding.matched for finding in alone.findings)
    assert [finding.ranges for finding in together.findings if finding.matched] == [((0, 8, 12), (0, 17, 22))]
    assert gate.named(["Who is Lucy?"]) == [()]


def test_a_disabled_pack_guards_nothing(encoder: Encoder, tmp_path: Path, save: Any) -> None:
    save("narnia")
    set_enabled(tmp_path / "packs" / "narnia", False)
    gate = Gate(load_packs(tmp_path / "packs", base_fingerprint=None, encoder_fingerprint=None), encoder)
    assert gate.guards == {}
    assert gate.screen([request_of("Narnia")]) == [Screening()]


def test_a_definition_of_a_tool_calls_no_plan_where_answers_are_screened(
    encoder: Encoder, tmp_path: Path, save: Any
) -> None:
    save("narnia", aliases=("Narnia",))
    save("oz", aliases=("Oz",), policy=Policy(output="off"))
    gate = Gate(load_packs(tmp_path / "packs", base_fingerprint=None, encoder_fingerprint=None), encoder)
    plain = request_of("Hello")
    for name, scopes in (("Narnia", ()), ("Oz", ("oz",))):
        (found,) = gate.screen([replace(plain, definitions=(f"Looks a person of {name} up.",))])
        assert found.scopes == scopes
    (found,) = gate.screen([replace(plain, definitions=("Narnia",), messages=(Message("user", "Of Narnia?"),))])
    assert found.scopes == ("narnia",)


@pytest.mark.parametrize("output", ["names", "off"])
def test_the_classifiers_read_definitions_of_tools_where_it_can_count(
    encoder: Encoder, tmp_path: Path, save: Any, output: Any
) -> None:
    save("oz", aliases=("Oz",), policy=Policy(output=output))
    gate = Gate(load_packs(tmp_path / "packs", base_fingerprint=None, encoder_fingerprint=None), encoder)
    plain = request_of("Hello")
    (bare,) = gate.screen([plain])
    with_tool = replace(plain, definitions=(f"Turns the lamp {output}, whoever may sit beneath it.",))
    counts = output == "off"
    of_message, of_both = (sum(map(len, gate.read_ahead(one))) for one in (plain, with_tool))
    assert (of_both > of_message) == counts
    (tooled,) = gate.screen([with_tool])
    assert (tooled.windows > bare.windows) == counts
