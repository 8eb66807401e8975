"""Calls of tools in what a model writes at an endpoint that parses none."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.backends.vllm.calls import ToolChoice, tool_choice_of, with_calls
from gateway.core import Delta, Event, TokenLogprob, Usage

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": CITY}},
    {"type": "function", "function": {"name": "time"}},
]
MAY = ToolChoice(("weather", "time"))
CALL = '{"name": "weather", "arguments": {"city": "Oslo"}}'


def read(pieces: list[str], choice: ToolChoice = MAY, *, reason: str = "stop") -> list[Delta]:
    async def events() -> AsyncGenerator[Event, None]:
        for piece in pieces:
            yield Event.of(Delta(0, piece, (TokenLogprob(piece, -1.0),)))
        yield Event.of(Delta(0, "", finish_reason=reason), Usage(3, len(pieces)))

    async def run() -> list[Delta]:
        return [delta async for event in with_calls(events(), choice) for delta in event.deltas]

    return asyncio.run(run())


def told(deltas: list[Delta]) -> tuple[str, list[tuple[str, Any]], str | None]:
    calls = [(call.name, json.loads(call.arguments)) for delta in deltas for call in delta.tool_calls]
    return "".join(delta.text for delta in deltas), calls, deltas[-1].finish_reason


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>\n{CALL}\n</tool_call>",
        f"\n<tool_call>{CALL}</tool_call>\n",
        f"<tool_call>{CALL}",
        CALL,
        '{"name": "weather", "parameters": {"city": "Oslo"}}',
    ],
)
def test_a_call_is_read_however_it_is_cut(text: str, size: int) -> None:
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    said, calls, reason = told(read(pieces))
    assert (said.strip(), calls, reason) == ("", [("weather", {"city": "Oslo"})], "tool_calls")


def test_text_in_front_is_sent_before_the_call_is_over() -> None:
    deltas = read(["Let me see. ", "<tool", "_call>", CALL, "</tool_call>"])
    assert deltas[0].text == "Let me see. "
    assert told(deltas) == ("Let me see. ", [("weather", {"city": "Oslo"})], "tool_calls")


def test_several_calls_are_one_after_the_other() -> None:
    second = '{"name": "time", "arguments": {}}'
    deltas = read([f"<tool_call>{CALL}</tool_call>\n<tool_call>{second}</tool_call>"])
    assert told(deltas)[1] == [("weather", {"city": "Oslo"}), ("time", {})]
    assert [call.index for delta in deltas for call in delta.tool_calls] == [0, 1]
    assert len({call.id for delta in deltas for call in delta.tool_calls}) == 2


@pytest.mark.parametrize(
    "text",
    [
        "It is cold in Oslo. 1 < 2.",
        '{"answer": 42}',
        '{"name": "launch", "arguments": {}}',
        "<tool_call>not json</tool_call>",
        '<tool_call>{"name": "weather", "arguments": "Oslo"}</tool_call>',
        "a <tool_cal",
        f"Write {CALL} to ask.",
    ],
)
def test_what_is_no_call_stays_text(text: str) -> None:
    assert told(read(list(text))) == (text, [], "stop")


def test_words_wait_for_nothing() -> None:
    assert [delta.text for delta in read(["It ", "is ", "cold."])][:3] == ["It ", "is ", "cold."]


MUST = ToolChoice(("weather",), {"type": "object"}, named=True)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize("text", [CALL, CALL.replace(" ", "\n "), CALL.replace(" ", ""), f" {CALL}\n"])
def test_a_call_that_must_be_made_goes_out_as_it_is_written(text: str, size: int) -> None:
    deltas = read([text[start : start + size] for start in range(0, len(text), size)], MUST)
    fragments = [call for delta in deltas for call in delta.tool_calls]
    assert [bool(one.id) for one in fragments] == [True] + [False] * (len(fragments) - 1)
    assert json.loads("".join(one.arguments for one in fragments)) == {"city": "Oslo"}
    assert (fragments[0].name, deltas[-1].finish_reason) == ("weather", "stop")
    assert "".join(delta.text for delta in deltas) == ""
    assert len(fragments) > 3 or size > 3


def test_a_call_of_any_tool_ends_as_one() -> None:
    assert read([CALL], ToolChoice(("weather", "time"), {}))[-1].finish_reason == "tool_calls"


def test_a_call_that_must_be_made_and_is_cut_off() -> None:
    deltas = read(['{"name": "weather", "argu', 'ments": {"city": "Os'], MUST, reason="length")
    assert "".join(call.arguments for delta in deltas for call in delta.tool_calls) == '{"city": "Os'
    assert deltas[-1].finish_reason == "length"
    assert told(read(['{"na', "me"], MUST, reason="length")) == ('{"name', [], "length")


def test_an_answer_that_is_cut_off_says_so() -> None:
    assert told(read([CALL], reason="length")) == ("", [("weather", {"city": "Oslo"})], "length")
    assert told(read([CALL[:-4]], reason="length")) == (CALL[:-4], [], "length")


@given(text=st.text(alphabet='<>tol_ca/{}"name: ', max_size=60), size=st.integers(1, 9))
def test_nothing_is_lost(text: str, size: int) -> None:
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    deltas = read(pieces)
    said, calls, _ = told(deltas)
    assert calls or said == text
    assert "".join(token.token for delta in deltas for token in delta.logprobs) == text


class TestToolChoice:
    def test_nothing_is_called_without_tools(self) -> None:
        assert tool_choice_of({}) is None
        assert tool_choice_of({"tools": TOOLS, "tool_choice": "none"}) is None

    def test_the_model_may_choose(self) -> None:
        assert tool_choice_of({"tools": TOOLS}) == MAY

    def test_it_must_call_the_one_that_is_named(self) -> None:
        choice = tool_choice_of({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "weather"}}})
        assert choice is not None
        assert choice.names == ("weather",)
        assert choice.schema is not None
        schema = choice.schema
        assert (schema["properties"]["name"]["enum"], schema["properties"]["arguments"]) == (["weather"], CITY)

    def test_what_parameters_define_apart_stands_at_the_root(self) -> None:
        place = {"$defs": {"City": CITY}, "type": "object", "properties": {"at": {"$ref": "#/$defs/City"}}}
        tools = [{"type": "function", "function": {"name": "go", "parameters": place}}]
        choice = tool_choice_of({"tools": tools, "tool_choice": "required"})
        assert choice is not None
        assert choice.schema is not None
        assert choice.schema["$defs"] == {"City": CITY}
        assert "$defs" not in choice.schema["properties"]["arguments"]
        assert "$defs" in place

    def test_it_must_call_any(self) -> None:
        choice = tool_choice_of({"tools": TOOLS, "tool_choice": "required"})
        assert choice is not None
        assert choice.schema is not None
        assert [one["properties"]["name"]["enum"] for one in choice.schema["anyOf"]] == [["weather"], ["time"]]
