"""Anthropic's requests: every text that reaches the model is read as vLLM joins it, and nothing else goes through."""

from typing import Any

import orjson
import pytest

from gateway.core import Message, Request
from gateway.errors import InvalidRequest
from gateway.openai_format.limits import Limits
from gateway.openai_format.messages.request import parse_messages

Json = dict[str, Any]
HI = [{"role": "user", "content": "Hi"}]
TOOL = {
    "name": "look_up",
    "description": "Finds a person.",
    "input_schema": {"properties": {"name": {"type": "string"}}},
}


def parsed(**fields: Any) -> Request:
    options = {name: fields.pop(name) for name in ("unknown", "system_first", "counts") if name in fields}
    body = orjson.dumps({"model": "tiny", "max_tokens": 9, "messages": HI, **fields})
    return parse_messages(body, request_id="1", limits=Limits(), **options)


def text(*texts: str, **more: Any) -> list[Json]:
    return [{"type": "text", "text": one, **more} for one in texts]


def test_bytes_stay_as_they_came_where_nothing_is_dropped() -> None:
    body = b'{ "model":"tiny", "max_tokens": 9,\n "messages": [{"role":"user","content":"Hi"}] }'
    assert parse_messages(body, request_id="1", limits=Limits()).native == body


@pytest.mark.parametrize(
    "fields",
    [
        {"metadata": {"user_id": "u"}},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"service_tier": "auto"},
        {"context_management": {"edits": []}},
        {"output_config": {"effort": "high"}},
        {"mcp_servers": []},
        {"tool_choice": {"type": "auto"}},
        {"system": text("x-anthropic-billing-header: a")},
        {"messages": [*HI, {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "Narnia"}]}]},
        {"messages": [{"role": "user", "content": text("Hi", cache_control={"type": "ephemeral"})}]},
    ],
)
def test_what_the_model_does_not_read_goes_no_further(fields: Json) -> None:
    native = orjson.loads(parsed(**fields).native)
    for word in ("user_id", "thinking", "tier", "edits", "effort", "mcp", "auto", "billing", "Narnia", "ephemeral"):
        assert word not in orjson.dumps(native).decode()


def test_whose_request_it_is() -> None:
    assert parsed(metadata={"user_id": "u-1"}).user == "u-1"


def test_texts_are_joined_as_the_model_reads_them() -> None:
    turns = [
        {"role": "user", "content": text("What is", "", "this?")},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm", "signature": "s"}, *text("A lamp.")]},
        {"role": "system", "content": text("Be ", "brief.")},
        {"role": "user", "content": "And that?"},
    ]
    request = parsed(messages=turns, system=text("You are ", "a guide."))
    assert request.messages == (
        Message("system", "You are a guide."),
        Message("user", "What is\nthis?"),
        Message("assistant", "A lamp."),
        Message("system", "Be brief."),
        Message("user", "And that?"),
    )
    first = parsed(messages=turns, system=text("You are ", "a guide."), system_first=True).messages[0]
    assert first == Message("system", "You are a guide.Be brief.")


def test_the_upstream_gets_one_text_of_several() -> None:
    """A chat template could join them otherwise, and make a name of two halves."""
    turn = {"role": "user", "content": [*text("Nar"), {"type": "tool_result", "tool_use_id": "t"}, *text("nia")]}
    native = orjson.loads(parsed(messages=[turn]).native)
    assert native["messages"][0]["content"][0] == {"type": "text", "text": "Nar\nnia"}
    assert [block["type"] for block in native["messages"][0]["content"]] == ["text", "tool_result"]


def test_tools_their_calls_and_results_are_read() -> None:
    turns = [
        *HI,
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t1", "name": "look_up", "input": {"name": "Aslan"}}],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": text("A lion", "of Narnia")},
                *text("So?"),
            ],
        },
    ]
    request = parsed(messages=turns, tools=[TOOL], tool_choice={"type": "any", "disable_parallel_tool_use": True})
    assert request.carries == {"tools", "tool_choice", "parallel_tool_calls"}
    assert [(one.role, one.text) for one in request.messages[2:]] == [("tool", "A lion\nof Narnia"), ("user", "So?")]
    assert any("Aslan" in text for text in request.side_texts)
    assert any("Finds a person." in text for text in request.side_texts)
    body = orjson.loads(request.raw)
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("required", False)
    assert body["tools"][0]["function"]["parameters"]["type"] == "object"


def test_a_schema_is_read() -> None:
    schema = {"type": "object", "properties": {"narnian": {"type": "string"}}}
    request = parsed(output_config={"format": {"type": "json_schema", "schema": schema}})
    assert request.carries == {"response_format"}
    assert any("narnian" in text for text in request.side_texts)


def test_tokens_may_be_counted_without_a_limit() -> None:
    body = orjson.dumps({"model": "tiny", "messages": HI})
    assert parse_messages(body, request_id="1", limits=Limits(), counts=True).messages == (Message("user", "Hi"),)
    with pytest.raises(InvalidRequest, match="max_tokens"):
        parse_messages(body, request_id="1", limits=Limits())


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"cache_salt": "x"}, "cache_salt"),
        ({"vllm_xargs": {"a": 1}}, "vllm_xargs"),
        ({"chat_template_kwargs": {"a": 1}}, "chat_template_kwargs"),
        ({"something_new": "x"}, "something_new"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0].input_schema"),
        ({"tools": [{**TOOL, "defer_loading": True}]}, "tools[0].defer_loading"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, None),
        ({"messages": [{"role": "system", "content": [{"type": "tool_addition", "tool": {}}]}]}, None),
        ({"messages": [{"role": "assistant", "content": [{"type": "tool_result", "tool_use_id": "t"}]}]}, None),
        ({"messages": []}, "messages"),
        ({"temperature": 3}, "temperature"),
    ],
)
def test_what_cannot_be_read_is_refused(fields: Json, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parsed(**fields)
    assert param is None or caught.value.param == param


def test_unknown_fields_may_be_dropped() -> None:
    assert b"something_new" not in parsed(something_new="x", unknown="drop").native
    with pytest.raises(InvalidRequest):
        parsed(cache_salt="x", unknown="drop")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"max_tokens": 1.5}, "max_tokens: must be a whole number, got 1.5"),
        ({"tools": [{"name": "", "input_schema": {}}]}, "tools[0].name: must not be empty"),
        ({"tools": [{**TOOL, "defer_loading": True}]}, "tools[0].defer_loading: must be false"),
        ({"messages": [{"role": "user", "content": ["Hi"]}]}, "messages[0].content[0]: must be an object, got text"),
        ({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}, "messages[0].content[0]: its type is missing"),
    ],
)
def test_a_wrong_value_is_named_in_plain_words(fields: Json, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parsed(**fields)
    assert caught.value.message == words
