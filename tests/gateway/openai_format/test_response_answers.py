"""What a response says of itself: every field that the Open Responses specification requires, at every end."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from gateway.core import Delta, Event, ToolCall, Usage
from gateway.openai_format.limits import Limits
from gateway.openai_format.responses.answer import ResponseEncoder
from gateway.openai_format.responses.request import parse_response
from gateway.openai_format.responses.store import ResponseStore

Json = dict[str, Any]
REQUIRED = set(
    "id object created_at completed_at status incomplete_details model previous_response_id instructions output error "
    "tools tool_choice truncation parallel_tool_calls text top_p presence_penalty frequency_penalty top_logprobs "
    "temperature reasoning usage max_output_tokens max_tool_calls store background service_tier metadata "
    "safety_identifier prompt_cache_key".split()
)


def encoder(**fields: Any) -> ResponseEncoder:
    body = orjson.dumps({"model": "tiny", "input": "Hi", **fields})
    history = ResponseStore(of_each=1, size_bytes=1_000).of("me")
    return ResponseEncoder(parse_response(body, request_id="1", limits=Limits(), history=history), keep=None)


def answer(finish: str, **fields: Any) -> Json:
    async def said() -> AsyncIterator[Event]:
        yield Event.of(Delta(0, "Yes", finish_reason=finish), Usage(1, 1))

    found: Json = orjson.loads(asyncio.run(encoder(**fields).collect(said())))
    return found


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_nothing_that_is_required_is_left_out(finish: str) -> None:
    assert set(answer(finish)) >= REQUIRED


def test_it_tells_when_it_was_completed() -> None:
    done, cut = answer("stop"), answer("length")
    assert done["completed_at"] >= done["created_at"]
    assert (cut["status"], cut["completed_at"]) == ("incomplete", None)


def test_penalties_are_those_asked_for() -> None:
    asked = answer("stop", presence_penalty=0.5, frequency_penalty=None)
    assert (asked["presence_penalty"], asked["frequency_penalty"]) == (0.5, 0.0)


def test_what_is_dropped_is_not_said_to_count() -> None:
    asked = answer("stop", max_tool_calls=3, prompt_cache_key="k", safety_identifier="s")
    assert [asked[name] for name in ("max_tool_calls", "prompt_cache_key", "safety_identifier")] == [None] * 3


def test_a_call_names_the_namespace_of_its_function() -> None:
    function = {"type": "function", "name": "look_up", "parameters": {"type": "object"}}
    tools = [{"type": "namespace", "name": "books", "tools": [function]}, function]
    encoding = encoder(tools=tools)
    calls = (ToolCall(0, "c1", "books__look_up", "{}"), ToolCall(1, "c2", "look_up", "{}"))
    encoding.encode(Event.of(Delta(0, "", tool_calls=calls), Delta(0, "", finish_reason="tool_calls")))
    final = orjson.loads(encoding.ending().rpartition(b"data: ")[2])["response"]
    assert [(one["name"], one.get("namespace")) for one in final["output"]] == [("look_up", "books"), ("look_up", None)]
    assert [one["type"] for one in final["tools"]] == ["namespace", "function"]
    assert final["tools"][1] == {"description": None, "strict": None, **function}
