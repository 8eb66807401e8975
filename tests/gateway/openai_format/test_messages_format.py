"""Messages of a request: what a server sent is accepted back, and the gate and the model read the same text."""

from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessage
from parsing import USER, chat, chat_body, raw

from gateway.core import Message
from gateway.errors import InvalidRequest
from gateway.openai_format.fields import ECHOED

MESSAGE = {"role": "assistant", "content": "Rowling."}
ECHOES: dict[str, dict[str, Any]] = {
    "openai": ChatCompletionMessage(role="assistant", content="Rowling.").model_dump(),
    "vllm": {
        **ChatCompletionMessage(role="assistant", content="Rowling.").model_dump(),
        "reasoning": "They ask about Harry Potter.",
        "tool_calls": [],
    },
    "litellm": {
        **MESSAGE,
        "tool_calls": None,
        "function_call": None,
        "provider_specific_fields": {"refusal": None, "reasoning": "Harry Potter"},
        "annotations": [],
        "images": [],
        "thinking_blocks": [{"type": "thinking", "thinking": "Harry Potter", "signature": "x"}],
        "reasoning_content": "Harry Potter",
    },
    "parsed": {**MESSAGE, "parsed": {"author": "Rowling"}, "refusal": None, "audio": None},
    "searched": {**MESSAGE, "annotations": [{"type": "url_citation", "url_citation": {"title": "Harry Potter"}}]},
    "spoken": {**MESSAGE, "audio": {"id": "a", "transcript": "Harry Potter"}},
    "mistral": {**MESSAGE, "prefix": False, "tool_calls": []},
    "cached": {**MESSAGE, "cache_control": {"type": "ephemeral"}},
    "all null": {**MESSAGE, **dict.fromkeys((*ECHOED, "name", "tool_calls", "tool_call_id", "function_call", "x"))},
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
def test_a_message_that_a_server_sent_is_accepted_back(echo: dict[str, Any]) -> None:
    """Texts that no model has to read are dropped: from what the gate reads, and from what an upstream reads."""
    turns = [USER[0], echo, {"role": "user", "content": "And then?"}]
    request = chat(messages=turns)
    assert request.messages == (
        Message("user", "Who?"),
        Message("assistant", "Rowling."),
        Message("user", "And then?"),
    )
    assert raw(request)["messages"] == [USER[0], MESSAGE, {"role": "user", "content": "And then?"}]
    assert request.side_texts == ()
    assert request.carries == frozenset()


def test_a_refusal_that_a_server_sent_is_accepted_back() -> None:
    request = chat(messages=[USER[0], {"role": "assistant", "content": None, "refusal": "No."}, USER[0]])
    assert request.messages[1] == Message("assistant", "")
    assert raw(request)["messages"][1] == {"role": "assistant", "content": None}


@pytest.mark.parametrize("role", ["user", "system", "developer", "tool"])
def test_null_content_is_no_content(role: str) -> None:
    """vLLM refuses the one and takes the other."""
    request = chat(messages=[USER[0], {"role": role, "content": None}])
    assert request.messages[1] == Message(role, "")
    assert raw(request)["messages"][1] == {"role": role}


def test_tool_calls_that_a_server_sent_are_accepted_back() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "go", "arguments": "{}"}}
    sent = {
        **call,
        "function": {**call["function"], "parsed_arguments": {"to": "x"}},
        "provider_specific_fields": {"a": 1},
        "custom": None,
    }
    assistant = {**ChatCompletionMessage(role="assistant").model_dump(), "tool_calls": [sent]}
    request = chat(messages=[USER[0], assistant, {"role": "tool", "tool_call_id": "c", "content": "4", "name": None}])
    assert raw(request)["messages"][1] == {"role": "assistant", "content": None, "tool_calls": [call]}
    assert request.side_texts == ("go {}", "c")


def test_a_tool_call_without_arguments() -> None:
    for function in ({"name": "go"}, {"name": "go", "arguments": None}, {"name": "go", "arguments": ""}):
        call = {"id": "c", "type": "function", "function": function}
        assert chat(messages=[USER[0], {"role": "assistant", "tool_calls": [call]}]).carries == {"tools"}


def test_text_parts_of_other_kinds_are_texts() -> None:
    parts = [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        {"type": "output_text", "text": "b", "annotations": []},
        {"type": "refusal", "refusal": "c"},
        {"type": "input_text", "text": "d", "annotations": None},
    ]
    request = chat(messages=[{"role": "user", "content": parts}])
    assert request.messages[0].text == "a\nb\nc\nd"
    assert raw(request)["messages"][0]["content"] == "a\nb\nc\nd"


@pytest.mark.parametrize(
    ("texts", "text"),
    [
        (["Harry", "Potter"], "Harry\nPotter"),
        (["", "Harry", "", "Potter", ""], "Harry\nPotter"),
        (["", ""], ""),
        ([], ""),
    ],
)
def test_several_parts_are_one_text_for_the_gate_and_for_the_model(texts: list[str], text: str) -> None:
    """A chat template may join parts without a space: 'Harry Pot' and 'ter'."""
    for role in ("user", "system", "tool"):
        request = chat(messages=[{"role": role, "content": [{"type": "text", "text": one} for one in texts]}])
        assert request.messages[0].text == text
        assert raw(request)["messages"][0]["content"] == text


def test_one_part_goes_on_as_it_came() -> None:
    body = b'{"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "Who?"}]}]}'
    assert chat_body(body).raw == body


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({**MESSAGE, "prefix": True}, "messages[0].prefix"),
        ({**MESSAGE, "partial": 1}, "messages[0].partial"),
        ({**MESSAGE, "function_call": {"name": "a", "arguments": "Harry Potter"}}, "messages[0].function_call"),
        ({**MESSAGE, "content": [{"type": "text", "text": "a", "more": "b"}]}, "messages[0].content[0].more"),
        ({**MESSAGE, "tool_calls": [{"id": "c", "extra": "d"}]}, "messages[0].tool_calls[0].extra"),
    ],
)
def test_other_fields_inside_a_message_are_refused(message: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest, match="not supported") as error:
        chat(messages=[message])
    assert error.value.param == param


@pytest.mark.parametrize("kind", [{}, [], 1, True, {"type": "text"}])
def test_a_part_of_a_type_that_is_no_text_is_refused(kind: Any) -> None:
    with pytest.raises(InvalidRequest):
        chat(messages=[{"role": "user", "content": [{"type": kind, "text": "a"}]}])
