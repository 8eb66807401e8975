"""Custom tools of OpenAI's Responses: a function of one text to the model, plain text to the client."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from gateway.core import Delta, Event, Request, ToolCall, Usage
from gateway.errors import InvalidRequest
from gateway.openai_format.limits import Limits
from gateway.openai_format.responses.answer import ResponseEncoder
from gateway.openai_format.responses.request import parse_response
from gateway.openai_format.responses.store import ResponseStore

Json = dict[str, Any]
PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edits files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "*** Begin" LINE+'},
}
TEXT = '*** Begin\n+ print("Straße")\n'


def parsed(given: Any = "Mend it.", *, store: ResponseStore | None = None, **fields: Any) -> Request:
    body = orjson.dumps({"model": "tiny", "input": given, "tools": [PATCH], **fields})
    history = (store or ResponseStore(of_each=4, size_bytes=10_000)).of("me")
    return parse_response(body, request_id="1", limits=Limits(), history=history)


def chat_of(request: Request) -> Json:
    chat: Json = orjson.loads(request.raw)
    return chat


def said(arguments: str, *, parts: int = 1) -> list[Event]:
    size = -(-len(arguments) // parts)
    pieces = [arguments[at : at + size] for at in range(0, len(arguments), size)]
    calls = [ToolCall(0, "call_1", "apply_patch"), *(ToolCall(0, arguments=piece) for piece in pieces)]
    return [
        *(Event.of(Delta(0, "", tool_calls=(call,))) for call in calls),
        Event.of(Delta(0, "", finish_reason="tool_calls"), Usage(3, 4)),
    ]


def test_the_model_is_shown_a_function_with_the_grammar() -> None:
    (tool,) = chat_of(parsed())["tools"]
    assert tool["type"] == "function"
    assert tool["function"]["name"] == "apply_patch"
    assert tool["function"]["description"].startswith("Edits files.\n")
    assert 'start: "*** Begin" LINE+' in tool["function"]["description"]
    assert tool["function"]["parameters"]["required"] == ["input"]
    assert any("Begin" in text for text in parsed().definitions)


@pytest.mark.parametrize("parts", [1, 5])
def test_a_stream_tells_the_input_as_openai_does(parts: int) -> None:
    encoder = ResponseEncoder(parsed(stream=True), keep=None)
    events = said(orjson.dumps({"input": TEXT}).decode(), parts=parts)
    data = b"".join([*map(encoder.encode, events), encoder.ending()])
    payloads = [orjson.loads(block.partition(b"data: ")[2]) for block in data.split(b"\n\n") if block]
    read = [TypeAdapter(ResponseStreamEvent).validate_python(payload) for payload in payloads]
    assert [event.type for event in read][2:6] == [
        "response.output_item.added",
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
        "response.output_item.done",
    ]
    (call,) = payloads[-1]["response"]["output"]
    assert (call["type"], call["call_id"], call["name"], call["input"]) == (
        *("custom_tool_call", "call_1", "apply_patch", TEXT),
    )
    assert payloads[-1]["response"]["tools"] == [PATCH]


def test_a_whole_answer_has_it_too_and_a_next_request_may_follow() -> None:
    store = ResponseStore(of_each=4, size_bytes=10_000)
    encoder = ResponseEncoder(parsed(store=store), keep=store.of("me").keep)

    async def events() -> AsyncIterator[Event]:
        for event in said(orjson.dumps({"input": TEXT}).decode()):
            yield event

    response = orjson.loads(asyncio.run(encoder.collect(events())))
    assert response["output"][0]["input"] == TEXT
    output = {"type": "custom_tool_call_output", "call_id": "call_1", "output": "Done"}
    request = parsed([output], store=store, previous_response_id=response["id"])
    turns = chat_of(request)["messages"]
    assert orjson.loads(turns[1]["tool_calls"][0]["function"]["arguments"]) == {"input": TEXT}
    assert turns[2] == {"role": "tool", "tool_call_id": "call_1", "content": "Done"}
    assert any("Straße" in text for text in request.side_texts)  # the gate reads it


def test_arguments_of_another_kind_are_the_input_themselves() -> None:
    encoder = ResponseEncoder(parsed(), keep=None)
    for event in said('{"patch": 1}'):
        encoder.encode(event)
    final = orjson.loads(encoder.ending().rpartition(b"data: ")[2])["response"]
    assert final["output"][0]["input"] == '{"patch": 1}'


def test_one_may_be_asked_for() -> None:
    chat = chat_of(parsed(tool_choice={"type": "custom", "name": "apply_patch"}))
    assert chat["tool_choice"] == {"type": "function", "function": {"name": "apply_patch"}}


def test_a_tool_that_nobody_runs_here_is_refused_with_the_way_out() -> None:
    with pytest.raises(InvalidRequest, match=r"'web_search' are not run here.*unknown_fields: drop"):
        parsed(tools=[PATCH, {"type": "web_search"}])
