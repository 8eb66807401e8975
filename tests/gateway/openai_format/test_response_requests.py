"""OpenAI's Responses as requests: items become the turns of a chat, and nothing that cannot be read goes through."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.core import Message, Request
from gateway.errors import InvalidRequest
from gateway.openai_format.limits import Limits
from gateway.openai_format.messages import request as messages
from gateway.openai_format.responses import request as responses
from gateway.openai_format.responses.request import parse_response
from gateway.openai_format.responses.store import ResponseStore

Json = dict[str, Any]
DOCS = Path(__file__).parents[3] / "docs/requests.md"
FUNCTION = {"type": "function", "name": "look_up", "parameters": {"type": "object"}, "strict": True}


def parsed(given: Any = "Hi", *, store: ResponseStore | None = None, unknown: Any = "refuse", **fields: Any) -> Request:
    body = orjson.dumps({"model": "tiny", "input": given, **fields})
    history = (store or ResponseStore(of_each=4, size_bytes=10_000)).of("me")
    return parse_response(body, request_id="1", limits=Limits(), history=history, unknown=unknown)


def test_items_become_turns() -> None:
    items = [
        {"role": "developer", "content": "Be brief."},
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "Who"}, {"type": "input_text", "text": "is it?"}],
        },
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "They ask of Narnia"}]},
        {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "c1",
            "name": "look_up",
            "arguments": '{"name": "Aslan"}',
            "status": "completed",
        },
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "A lion"}]},
        {"type": "function_call", "call_id": "c2", "name": "look_up", "arguments": "{}"},
    ]
    request = parsed(items, instructions="You are a guide.", tools=[FUNCTION])
    assert request.messages == (
        Message("system", "You are a guide."),
        Message("developer", "Be brief."),
        Message("user", "Who\nis it?"),
        Message("assistant", "I look."),
        Message("tool", "A lion"),
        Message("assistant", ""),
    )
    turns = orjson.loads(request.raw)["messages"]
    assert [call["id"] for call in turns[3]["tool_calls"]] == ["c1"]
    assert any("Aslan" in text for text in request.side_texts)
    assert request.carries == {"tools", "tool_choice"}
    assert (request.dialect, request.endpoint, request.surface) == ("responses", "chat", "responses")


def test_settings_are_those_of_a_chat() -> None:
    request = parsed(max_output_tokens=5, temperature=0.5, top_k=3, seed=7, stop=["END"], stream=True, user="u")
    assert (request.sampling.max_tokens, request.sampling.temperature, request.sampling.seed) == (5, 0.5, 7)
    assert (request.sampling.extra, request.sampling.stop) == ((("top_k", 3),), ("END",))
    assert (request.stream, request.include_usage, request.user) == (True, True, "u")
    assert parsed(include=["message.output_text.logprobs"], top_logprobs=2).sampling.logprobs == 2
    assert parsed(include=["reasoning.encrypted_content"]).sampling.logprobs is None


def test_a_schema_is_screened() -> None:
    schema = {"type": "object", "properties": {"narnian": {"type": "string"}}}
    request = parsed(text={"format": {"type": "json_schema", "name": "beast", "schema": schema}, "verbosity": "low"})
    assert request.carries == {"response_format"}
    assert any("narnian" in text for text in request.side_texts)
    assert parsed(text={"format": {"type": "text"}}).carries == frozenset()


def test_an_earlier_response_stands_in_front() -> None:
    store = ResponseStore(of_each=4, size_bytes=10_000)
    said = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Paris"}],
    }
    store.of("me").keep("resp_1", [{"type": "message", "role": "user", "content": "Capital?"}, said])
    request = parsed("Why?", store=store, previous_response_id="resp_1")
    assert [message.text for message in request.messages] == ["Capital?", "Paris", "Why?"]
    with pytest.raises(InvalidRequest) as caught:
        parsed("Why?", previous_response_id="resp_1")
    assert (caught.value.param, caught.value.code) == ("previous_response_id", "previous_response_not_found")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"vllm_xargs": {"a": 1}}, "vllm_xargs"),
        ({"previous_input_messages": [{}]}, "previous_input_messages"),
        ({"something_new": 1}, "something_new"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": [{"type": "custom", "name": "x", "defer": 1}]}, "tools[0].defer"),
        ({"tools": [{**FUNCTION, "defer": 1}]}, "tools[0].defer"),
        ({"tool_choice": {"type": "hosted"}, "tools": [FUNCTION]}, None),
        ({"given": []}, "input"),
        ({"given": 3}, "input"),
        ({"given": [{"type": "message", "role": "critic", "content": "x"}]}, None),
        ({"given": [{"type": "function_call", "name": "x", "arguments": "{}"}]}, None),
        ({"given": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0]"),
        ({"given": [{"type": "mcp_call"}]}, "input[0].type"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
    ],
)
def test_what_cannot_be_read_is_refused(fields: Json, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parsed(**fields)
    assert param is None or caught.value.param == param


def test_functions_of_a_namespace_are_functions() -> None:
    tools = [{"type": "namespace", "name": "books", "description": "A library.", "tools": [FUNCTION]}, FUNCTION]
    call = {"type": "function_call", "call_id": "c1", "name": "look_up", "namespace": "books", "arguments": "{}"}
    request = parsed([{"role": "user", "content": "Hi"}, call], tools=tools)
    chat = orjson.loads(request.raw)
    assert [tool["function"]["name"] for tool in chat["tools"]] == ["books__look_up", "look_up"]
    assert chat["messages"][-1]["tool_calls"][0]["function"]["name"] == "books__look_up"
    assert orjson.loads(request.native)["tools"] == tools


def test_a_namespace_holds_nothing_unread() -> None:
    namespace = {"type": "namespace", "name": "books", "tools": [{"type": "web_search"}, FUNCTION]}
    with pytest.raises(InvalidRequest, match="web_search"):
        parsed(tools=[namespace])
    (tool,) = orjson.loads(parsed(tools=[namespace], unknown="drop").raw)["tools"]
    assert tool["function"]["name"] == "books__look_up"
    with pytest.raises(InvalidRequest, match="more"):
        parsed(tools=[{**namespace, "tools": [FUNCTION], "more": 1}])


def test_tools_that_nobody_runs_may_be_left_out() -> None:
    request = parsed(tools=[{"type": "web_search"}, FUNCTION], unknown="drop")
    assert [tool["function"]["name"] for tool in orjson.loads(request.raw)["tools"]] == ["look_up"]
    assert parsed(tools=[{"type": "web_search"}], tool_choice="auto", unknown="drop").carries == frozenset()


@pytest.mark.parametrize(("title", "module"), [("Messages", messages), ("Responses", responses)])
def test_the_page_names_every_field(title: str, module: Any) -> None:
    page = DOCS.read_text(encoding="utf-8")
    section = dict(part.split("\n", 1) for part in page.split("\n## ")[1:])[title]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = [name.strip(" `") for row in rows for name in row.split(",")]
    assert sorted(named) == sorted([*module.READ, *module.DROPPED, *module.REFUSED])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"max_output_tokens": 1.5}, "max_output_tokens: must be a whole number, got 1.5"),
        ({"tools": [{**FUNCTION, "name": ""}]}, "tools[0].name: must not be empty"),
        ({"logit_bias": {"a": 1}}, "logit_bias.a: a key must be a token id, a whole number of at most 10 digits"),
    ],
)
def test_a_wrong_value_is_named_in_plain_words(fields: Json, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parsed(**fields)
    assert caught.value.message == words
