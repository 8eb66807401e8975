"""Reasoning, calls of tools and logprobs are screened as the text is."""

import json
from dataclasses import replace

from screen_house import BEGUN, House, as_upstream, asked, chunk, pieces

from gateway.core import (
    Delta,
    Event,
    TokenLogprob,
    ToolCall,
    Usage,
)
from gateway.openai_format.decoding import reader
from gateway.openai_format.encoding import sse


def test_reasoning_and_tool_calls_are_screened_too(house: House) -> None:
    thought = [Event.of(Delta(0, "", reasoning="It must be")), Event.of(Delta(0, "", reasoning=" Narnia"))]
    thought += pieces(".", "x")
    events = house.events(asked(), thought, pieces("In a wood."))
    shown = "".join(delta.reasoning + delta.text for event in events for delta in event.deltas)
    assert shown == "It must beIn a wood."
    call = [
        Event.of(Delta(0, "", tool_calls=(ToolCall(0, "c1", "search"),))),
        Event.of(Delta(0, "", tool_calls=(ToolCall(0, arguments='{"q": "Mr'),))),
        Event.of(Delta(0, "", tool_calls=(ToolCall(0, arguments=' Tumnus"}'),), finish_reason="tool_calls")),
    ]
    events = house.events(asked(), call)
    deltas = [delta for event in events for delta in event.deltas]
    assert [call.name for delta in deltas for call in delta.tool_calls] == ["search"]
    assert deltas[-1].finish_reason == "length"


def test_no_alternative_token_shows_what_the_answer_must_not(house: House) -> None:
    request = asked(logprobs=3)
    tokens = [
        TokenLogprob("In", -0.1, (("In", -0.1), (" Narnia", -2.0), ("At", -3.0))),
        TokenLogprob(" Nar", -0.1, ((" Nar", -0.1), (" a", -2.0), (" the", -2.5))),
        TokenLogprob("vik", -0.1, (("vik", -0.1), ("nia", -0.2), ("row", -3.0))),
    ]
    first = [Event.of(Delta(0, token.token, (token,))) for token in tokens]
    first += [Event.of(Delta(0, ".", finish_reason="stop")), Event.of(Usage(9, 4))]
    for events in (first, as_upstream(request, first)):
        got = [token for event in house.events(request, events) for d in event.deltas for token in d.logprobs]
        assert [[text for text, _ in token.top] for token in got] == [
            ["In", "At"],
            [" Nar", " a", " the"],
            ["vik", "row"],
        ]
    shown = b"".join(event.data or b"" for event in house.events(request, as_upstream(request, first)))
    assert b"nia" not in shown
    assert shown.count(b"data: ") == len(as_upstream(request, first, chunk=10**6)[0].data.split(b"data: ")) - 1  # type: ignore[union-attr]


def test_an_alternative_that_ends_a_name_of_the_prompt_is_left_out(house: House) -> None:
    request = asked("They all live in Nar", endpoint="completions", max_tokens=100, logprobs=2)
    token = TokenLogprob("row", -0.1, (("row", -0.1), ("nia", -0.2)))
    got = house.events(
        request, [Event.of(Delta(0, "row", (token,))), Event.of(Delta(0, " huts.", finish_reason="stop"))]
    )
    tops = [one for event in got for delta in event.deltas for said in delta.logprobs for one in said.top]
    assert tops == [("row", -0.1)]


def test_tokens_of_the_logprobs_that_the_text_keeps_back_are_read(house: House) -> None:
    """A stop string ends the text before the token that the logprobs tell of."""
    request = asked(logprobs=1, stop=("nia",))
    said = [("They live in", "They live in"), (" Nar", " Nar"), ("", "nia")]
    first = [Event.of(Delta(0, text, (TokenLogprob(token, -0.1, ((token, -0.1),)),))) for text, token in said]
    first += [Event.of(Delta(0, "", finish_reason="stop")), Event.of(Usage(9, 3))]
    for events in (first, as_upstream(request, first)):
        got = house.events(request, events, pieces(" a wood."))
        tokens = [token.token for event in got for delta in event.deltas for token in delta.logprobs]
        assert tokens == ["They live in"]
        assert "".join(delta.text for event in got for delta in event.deltas) == "They live in a wood."


def test_alternatives_behind_the_seam_are_read_with_what_came_before(house: House) -> None:
    request = asked(logprobs=2)
    token = TokenLogprob(" Tum", -0.1, ((" Tum", -0.1), (" Tumnus", -0.2)))
    again = [Event.of(Delta(0, " Tum", (token,))), Event.of(Delta(0, "bled.", finish_reason="stop"))]
    first = [Event.of(Delta(0, text, (TokenLogprob(text, -0.1, ()),))) for text in ("Mr", " Narnia.")]
    got = house.events(request, first, again)
    assert "".join(delta.text for event in got for delta in event.deltas) == "Mr Tumbled."
    tops = [token.top for event in got for delta in event.deltas for token in delta.logprobs]
    assert (" Tumnus", -0.2) not in [pair for top in tops for pair in top]


CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "search", "arguments": ""}}


def test_a_tool_call_that_leaks_ends(house: House) -> None:
    """Its beginning is there already: the arguments are not complete, and nobody may take them for it."""
    request = replace(asked(), carries=frozenset({"tools"}))
    more = [{"index": 0, "function": {"arguments": piece}} for piece in ('{"q": "Mr', ' Tumnus"', "}")]
    events = [sse(chunk(role="assistant", content="")), sse(chunk(tool_calls=[CALL]))]
    events += [sse(chunk(tool_calls=[one])) for one in more]
    events += [sse(chunk("tool_calls")), b"data: [DONE]\n\n"]
    got = house.events(request, [Event(data=one, parse=reader(request)) for one in events])
    deltas = [delta for event in got for delta in event.deltas]
    assert [delta.call_text for delta in deltas if delta.call_text] == ["search"]
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["length"]
    assert "".join(delta.text for delta in deltas) == ""
    assert house.audit["leaks"] == [{"scope": "narnia", "kind": "name", "plan": "Refuse"}]


def test_a_whole_answer_whose_call_leaks_is_asked_anew_with_the_tools(house: House) -> None:
    request = replace(asked(stream=False), carries=frozenset({"tools"}))
    call = {**CALL, "function": {"name": "search", "arguments": '{"q": "Mr Tumnus"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls"}
    leaking = json.dumps({**BEGUN, "choices": [choice], "usage": None}).encode()
    clean = Delta(0, "", tool_calls=(ToolCall(0, "call_2", "search", '{"q": "a wood"}'),))
    got = house.events(
        request,
        [Event(data=leaking, parse=reader(request))],
        [Event.of(clean, Delta(0, "", finish_reason="tool_calls"), Usage(7, 5))],
    )
    deltas = [delta for event in got for delta in event.deltas]
    assert "".join(delta.call_text for delta in deltas) == 'search{"q": "a wood"}'
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["tool_calls"]
    assert house.audit["leaks"] == [{"scope": "narnia", "kind": "name", "plan": "Corrupt"}]
    assert [plan.name for _, plan in house.backend.asked] == ["Pass", "Corrupt"]


def test_facts_in_a_tool_call_count(house: House) -> None:
    request = replace(asked("What does Mr Tumnus carry?"), carries=frozenset({"tools"}))
    call = [
        Event.of(Delta(0, "", tool_calls=(ToolCall(0, arguments=text),)))
        for text in ("note", '{"a": "umbrella', ", parcels", '"}')
    ]
    got = house.events(request, [*call, Event.of(Delta(0, "", finish_reason="tool_calls"))])
    assert "parcels" not in "".join(delta.call_text for event in got for delta in event.deltas)


def test_a_name_that_a_tool_has_is_the_clients_own(house: House) -> None:
    """The scope's facts are not."""
    request = replace(asked(), definitions=("find_narnia Looks up who lives in Narnia.",), carries=frozenset({"tools"}))
    assert house.answer(request, pieces("I ask of", " Narnia.")) == {0: ("I ask of Narnia.", "stop")}
    found = house.answer(request, pieces("Mr Tumnus", " has it."), pieces("Somebody has it."))
    assert "Tumnus" not in found[0][0]


def test_an_answer_with_tools_does_not_go_on_behind_its_beginning(house: House) -> None:
    """The model would get its prompt as tokens, without the tools."""
    request = replace(asked(), carries=frozenset({"tools"}))
    assert house.answer(request, pieces("They live in", " Narnia.")) == {0: ("They live in.", "stop")}
    assert len(house.backend.asked) == 1
