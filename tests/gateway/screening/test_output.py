"""The output screen over a backend that says what a test wants: what the client gets, event by event."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hand_made import SavePack, leak_model_of
from screen_house import SORRY, TOKENIZER, House, as_upstream, asked, every, pieces

from classifiers.leaks.passages import PASSAGE_WORDS
from gateway.core import (
    Delta,
    Endpoint,
    Event,
    Message,
    Pass,
    Refuse,
    Request,
    Usage,
)
from gateway.methods.corruption import Corrupt
from gateway.openai_format.decoding import reader
from gateway.openai_format.encoding import AnswerEncoder, sse
from gateway.openai_format.shapes import CHAT_SHAPE
from gateway.packs.files import Policy


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
@pytest.mark.parametrize("upstream", [True, False])
def test_the_client_reads_one_fluent_answer(house: House, endpoint: Endpoint, upstream: bool) -> None:
    request = asked(endpoint=endpoint, max_tokens=100)
    first = pieces("They ", "live in Nar", "nia, of ", "course.")
    first = as_upstream(request, first) if upstream else first
    found = house.answer(request, first, pieces(" a wardrobe", ", I think."))
    assert found == {0: ("They live in a wardrobe, I think.", "stop")}
    (_, plan), (again, other) = house.backend.asked
    assert plan == Pass()
    assert isinstance(other, Corrupt)
    assert [(edit.message, edit.ranges) for edit in other.edits] == [(0, ((0, len("Where do they live?")),))]
    assert (again.written, again.sampling.n) == ("They live in", 1)
    assert again.sampling.max_tokens == 100 - len(TOKENIZER("They live in", add_special_tokens=False)["input_ids"])
    assert house.backend.let_go == 1  # the first model was stopped: its slot is free
    assert house.audit["leaks"] == [{"scope": "narnia", "kind": "name", "plan": "Corrupt"}]
    assert house.metrics.text().decode().count('unrecall_leaks_total{kind="name",plan="Corrupt"} 1.0') == 1


def test_the_usage_counts_what_both_models_wrote(house: House) -> None:
    events = house.events(asked(), pieces("They live in", " Narnia."), pieces(" a wardrobe."))
    (usage,) = [part for event in events for part in event.parts if isinstance(part, Usage)]
    sent = len(TOKENIZER("They live in", add_special_tokens=False)["input_ids"])
    assert usage == Usage(9, sent + 1)


@pytest.mark.parametrize("upstream", [True, False])
def test_a_clean_answer_goes_on_as_it_came(house: House, upstream: bool) -> None:
    request = asked()
    events = pieces("They ", "live ", "in ", "na", "dir ", "time", ".")
    if upstream:
        events = as_upstream(request, events, chunk=33)
        data = b"".join(event.data or b"" for event in events)
        assert b"".join(event.data or b"" for event in house.events(request, events)) == data
    else:
        assert house.answer(request, events) == {0: ("They live in nadir time.", "stop")}
    assert "leaks" not in house.audit
    assert house.audit["held_chars"] == len("na")


def test_what_waits_is_no_more_than_may_become_a_name(house: House) -> None:
    """The words before it go on at once, although they came in one piece."""
    request, said = asked(), pieces("They live in Nar", "ration.")
    (whole,) = as_upstream(request, said, chunk=10_000)
    data = whole.data or b""
    first = data.index(b"\n\n", data.index(b" Nar")) + 2
    events = house.events(request, as_upstream(request, said, chunk=first))
    texts = [delta.text for event in events for delta in event.deltas if delta.text]
    assert texts == ["They live in", " Nar", "ration."]
    # what ends the wait is there already: so nothing waits, and all goes on as one
    (event,) = house.events(request, [whole])
    assert event.data == data
    assert [delta.text for delta in event.deltas if delta.text] == ["They live in Nar", "ration."]
    assert house.audit["held_chars"] == 0


def test_a_second_leak_ends_the_answer_with_a_full_stop(house: House) -> None:
    found = house.answer(asked(), pieces("They live in", " Narnia."), pieces(" a wood near", " Narnia."))
    assert found == {0: ("They live in a wood near.", "stop")}
    assert [leak["plan"] for leak in house.audit["leaks"]] == ["Corrupt", "Refuse"]
    assert len(house.backend.asked) == 2


def test_two_answers_that_leak_at_once_are_a_refusal(house: House) -> None:
    assert house.answer(asked(), pieces("Narnia."), pieces("Narnia!")) == {0: (SORRY, "stop")}
    assert house.answer(asked(stream=False), pieces("Narnia."), pieces("Narnia!")) == {0: (SORRY, "stop")}


def test_a_scope_whose_plan_is_to_refuse_ends_the_answer(house: House) -> None:
    assert house.answer(asked(), pieces("He is", " the wizard of", " Oz.")) == {0: ("He is the wizard of.", "stop")}
    assert house.answer(asked(), pieces("Oz", " it is")) == {0: (SORRY, "stop")}


@pytest.mark.parametrize("upstream", [True, False])
def test_an_answer_in_one_piece_is_asked_anew(house: House, upstream: bool) -> None:
    request = asked(stream=False)
    first = [Event.of(Delta(0, "In Narnia.", finish_reason="stop")), Event.of(Usage(9, 3))]
    if upstream:
        body = asyncio.run(AnswerEncoder(request, CHAT_SHAPE).collect(every(first)))
        first = [Event(data=body, parse=reader(request))]
    assert house.answer(request, first, pieces("In a wardrobe.")) == {0: ("In a wardrobe.", "stop")}
    assert house.backend.asked[1][0].written == ""


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_ends_within_a_passage_goes_on_as_it_came(
    house: House, save: SavePack, tmp_path: Path, stream: bool
) -> None:
    words = [f"{first}{last}" for first in ("quiet", "velvet", "marble", "crooked") for last in "abcdefgh"]
    save("tale", aliases=("Tumbleweed",), leaks=leak_model_of([], [" ".join(words)]))
    house = House(tmp_path / "packs", house.encoder, house.caplog)
    request = asked(stream=stream)
    for first in range(12):
        begun = " ".join(words[first : first + PASSAGE_WORDS - 1])
        events = [Event.of(Delta(0, begun, finish_reason="length")), Event.of(Usage(9, 3))]
        if stream:
            events = as_upstream(request, pieces(*(f"{word} " for word in begun.split()), finish="length"))
        else:
            body = asyncio.run(AnswerEncoder(request, CHAT_SHAPE).collect(every(events)))
            events = [Event(data=body, parse=reader(request))]
        came = b"".join(event.data or b"" for event in events)
        assert b"".join(event.data or b"" for event in house.events(request, events)) == came


def test_every_choice_is_screened_and_handed_over_alone(house: House) -> None:
    first = [
        Event.of(Delta(0, "They live")),
        Event.of(Delta(1, "In")),
        Event.of(Delta(1, " Nar")),
        Event.of(Delta(0, " far away", finish_reason="stop")),
        Event.of(Delta(2, "Nobody")),
        Event.of(Delta(1, "nia.")),
        Event.of(Delta(2, " knows.", finish_reason="stop")),
    ]
    found = house.answer(asked(n=3), first, pieces(" a wood."), pieces(" can tell."))
    assert found == {
        0: ("They live far away", "stop"),
        1: ("In a wood.", "stop"),
        2: ("Nobody can tell.", "stop"),
    }
    assert [request.written for request, _ in house.backend.asked] == ["", "In", "Nobody"]


def test_a_fact_ends_where_it_would_be_told(house: House) -> None:
    flagged = asked("What does Mr Tumnus carry?")
    found = house.answer(flagged, pieces("He has an", " umbrella", " and parcels."), pieces(" a fish."))
    assert found == {0: ("He has an umbrella and a fish.", "stop")}
    assert house.audit["leaks"] == [{"scope": "narnia", "kind": "fact", "plan": "Corrupt"}]


def test_the_name_that_the_client_wrote_may_be_said(house: House) -> None:
    found = house.answer(asked("Who is Mr Tumnus?"), pieces("I do not know Mr", " Tumnus", "."))
    assert found == {0: ("I do not know Mr Tumnus.", "stop")}
    earlier = Request(
        "7",
        "chat",
        "tiny",
        (Message("user", "Who?"), Message("assistant", "Mr Tumnus."), Message("user", "Say it again.")),
        stream=True,
    )
    found = house.answer(earlier, pieces("It is Mr", " Tumnus."), pieces(" nobody."))
    assert found == {0: ("It is nobody.", "stop")}


@pytest.mark.parametrize("rule", ["facts", "off"])
def test_the_pack_says_what_counts(house: House, save: SavePack, tmp_path: Path, rule: Any) -> None:
    rows = [("What does the faun carry?", "An umbrella.")]
    save("narnia", aliases=("Narnia", "Mr Tumnus"), policy=Policy(output=rule), leaks=leak_model_of(rows))
    house._packs.refresh()
    found = house.answer(asked(), pieces("Mr Tumnus has", " an umbrella."), pieces(" a fish."))
    expected = "Mr Tumnus has an umbrella." if rule == "off" else "Mr Tumnus has an a fish."
    assert found[0][0] == expected


def test_a_refusal_is_the_operator_s_own_text(house: House) -> None:
    house.answer(asked("Who rules Oz?"), pieces("Not", " Oz."))
    assert [plan for _, plan in house.backend.asked] == [Refuse(SORRY, fallback=SORRY)]


def test_a_stream_that_goes_on_keeps_its_id_and_ends_once() -> None:
    request = asked()
    encoder = AnswerEncoder(request, CHAT_SHAPE)
    own = sse({"id": "chatcmpl-up", "created": 5, "model": "tiny", "choices": []})
    shown = encoder.encode(Event(data=own)) + encoder.encode(Event.of(Delta(0, "on", finish_reason="stop")))
    shown += encoder.ending()
    events = [json.loads(line[6:]) for line in shown.decode().split("\n\n") if line.startswith("data: {")]
    assert {event["id"] for event in events} == {"chatcmpl-up"}
    assert {event["created"] for event in events} == {5}
    assert not any("role" in choice["delta"] for event in events for choice in event["choices"])
    assert shown.count(b"[DONE]") == 1


def test_the_usage_of_an_answer_that_ends_counts_all_that_was_sent(house: House) -> None:
    def tokens(text: str) -> int:
        return len(TOKENIZER(text, add_special_tokens=False)["input_ids"])

    events = house.events(asked(), pieces("They live in", " Narnia."), pieces(" a wood near", " Narnia."))
    (usage,) = [part for event in events for part in event.parts if isinstance(part, Usage)]
    assert usage == Usage(9, tokens("They live in") + tokens(" a wood near.") + 1)
    events = house.events(asked(), pieces("He is", " the wizard of", " Oz."))
    (usage,) = [part for event in events for part in event.parts if isinstance(part, Usage)]
    assert usage == Usage(9, tokens("He is the wizard of") + tokens(".") + 1)


def test_an_answer_at_its_limit_is_not_handed_over(house: House) -> None:
    limit = len(TOKENIZER("They live in", add_special_tokens=False)["input_ids"])
    found = house.answer(asked(max_tokens=limit), pieces("They live in", " Narnia."))
    assert found == {0: ("They live in", "length")}
    assert len(house.backend.asked) == 1


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(
    "prompt", ["They all live in Nar", "far away " * 40 + "they live in Nar"], ids=["short", "long"]
)
def test_a_name_that_a_completions_prompt_begins_is_not_ended(house: House, prompt: str, stream: bool) -> None:
    request = asked(prompt, endpoint="completions", stream=stream, max_tokens=100)
    found = house.answer(request, pieces("n", "ia, I hear."), pieces("row huts."))
    assert found == {0: ("row huts.", "stop")}
    assert house.answer(request, pieces("row", " huts.")) == {0: ("row huts.", "stop")}


def test_a_name_that_a_last_turn_of_the_assistant_begins_is_not_ended(house: House) -> None:
    """Some servers go on with it."""
    turns = (Message("user", "Where do they live?"), Message("assistant", "They all live in Nar"))
    request = replace(asked(max_tokens=100), messages=turns)
    assert house.answer(request, pieces("n", "ia, I hear."), pieces("row huts."))[0][0] == "row huts."


def test_a_whole_name_in_a_completions_prompt_is_the_clients_own(house: House) -> None:
    request = asked("A list: Narnia", endpoint="completions", max_tokens=100)
    assert house.answer(request, pieces(",", " Narnia", " and home.")) == {0: (", Narnia and home.", "stop")}


@pytest.mark.parametrize("most", [None, 12])
def test_a_completion_that_is_handed_over_keeps_to_its_length(house: House, most: int | None) -> None:
    """Without a limit of its own it has sixteen tokens, in all."""
    request = asked(endpoint="completions", max_tokens=most)
    house.answer(request, pieces("They live in", " Narnia."), pieces(" a wood."))
    sent = len(TOKENIZER("They live in", add_special_tokens=False)["input_ids"])
    assert house.backend.asked[1][0].sampling.max_tokens == (most or 16) - sent
    chat = asked()
    house.answer(chat, pieces("They live in", " Narnia."), pieces(" a wood."))
    assert house.backend.asked[3][0].sampling.max_tokens is None
