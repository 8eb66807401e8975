"""A call that the model must make is decoded by its schema, whatever the format in which it is asked."""

from typing import Any

import orjson
import pytest

from gateway.openai_format.limits import Limits
from gateway.openai_format.messages.request import parse_messages
from gateway.openai_format.requests import parse_chat
from gateway.openai_format.responses.request import parse_response
from gateway.openai_format.responses.store import ResponseStore

Json = dict[str, Any]
SCHEMA = {"type": "object", "properties": {"word": {"type": "string"}}}
TURNS = [{"role": "user", "content": "Paint."}]


def function(name: str, **more: Any) -> Json:
    return {"type": "function", "function": {"name": name, "parameters": SCHEMA, **more}}


def chat(**fields: Any) -> Json:
    body = {"model": "tiny", "messages": TURNS, "tools": [function("paint"), function("dip")], **fields}
    request = parse_chat(orjson.dumps(body), request_id="1", limits=Limits())
    assert (request.raw == orjson.dumps(body)) == (
        orjson.loads(request.raw) == body
    )  # bytes stay where nothing changed
    read: Json = orjson.loads(request.raw)
    return read


def stricts(body: Json) -> list[Any]:
    return [tool.get("function", tool).get("strict") for tool in body["tools"]]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", [None, None]),
        ("none", [None, None]),
        ("required", [True, True]),
        ({"type": "function", "function": {"name": "dip"}}, [None, True]),
    ],
)
def test_a_chat(choice: Any, expected: list[Any]) -> None:
    assert stricts(chat(tool_choice=choice)) == expected


def test_one_that_says_otherwise_or_has_no_arguments() -> None:
    tools = [function("paint", strict=False), {"type": "function", "function": {"name": "stop"}}]
    read = chat(tool_choice="required", tools=tools)
    assert stricts(read) == [True, True]
    assert read["tools"][1]["function"]["parameters"] == {"type": "object"}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, [None, None]),
        ({"type": "any"}, [True, True]),
        ({"type": "tool", "name": "paint"}, [True, None]),
    ],
)
def test_a_message_goes_alike_to_either_endpoint(choice: Json, expected: list[Any]) -> None:
    tools = [{"name": name, "input_schema": SCHEMA} for name in ("paint", "dip")]
    body = {"model": "tiny", "max_tokens": 9, "messages": TURNS, "tools": tools, "tool_choice": choice}
    request = parse_messages(orjson.dumps(body), request_id="1", limits=Limits())
    assert stricts(orjson.loads(request.native)) == stricts(orjson.loads(request.raw)) == expected


def test_a_response() -> None:
    tools = [{"type": "function", "name": "paint", "parameters": SCHEMA}]
    body = {"model": "tiny", "input": "Paint.", "tools": tools, "tool_choice": "required"}
    history = ResponseStore(of_each=0, size_bytes=0).of("me")
    request = parse_response(orjson.dumps(body), request_id="1", limits=Limits(), history=history)
    assert stricts(orjson.loads(request.raw)) == [True]


@pytest.mark.parametrize("tools", [[{}], [{"function": 3}], [{"function": {"name": "paint"}}, {}]])
def test_what_is_no_tool_is_let_be(tools: Any) -> None:
    """The upstream says what is wrong with it, in its own words."""
    assert chat(tool_choice="required", tools=tools)["tools"] == tools
