"""An upstream's bytes as what they say: text, reasoning, tool calls, logprobs, finish, usage, however they are cut."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from gateway.core import Delta, Message, Request, Sampling, TokenLogprob, ToolCall, Usage
from gateway.errors import UpstreamError
from gateway.openai_format.decoding import reader


def request_of(*, stream: bool = True, logprobs: int | None = None) -> Request:
    sampling = Sampling(logprobs=logprobs)
    return Request("1", "chat", "tiny", (Message("user", "Who?"),), sampling, stream=stream)


def chunk(index: int = 0, finish: str | None = None, logprobs: Any = None, **delta: Any) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
    return b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\n"


CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look_up", "arguments": ""}}
STREAM = (
    chunk(role="assistant", content=""),
    chunk(reasoning="Hm. "),
    chunk(reasoning_content="A lion?"),
    chunk(content="As"),
    chunk(content="lan\u2028."),
    chunk(tool_calls=[CALL]),
    chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"name": "As'}}]),
    chunk(finish="tool_calls", tool_calls=[{"index": 0, "function": {"arguments": 'lan"}'}}]),
    b'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 9}}\n\n',
    b"data: [DONE]\n\n",
)


def parts_of(pieces: list[bytes], request: Request) -> list[Delta | Usage]:
    parse = reader(request)
    return [part for piece in pieces for part in parse(piece)]


@pytest.mark.parametrize("size", [1, 5, 64, 10_000])
def test_a_stream_says_the_same_however_it_is_cut(size: int) -> None:
    data = b"".join(STREAM)
    parts = parts_of([data[start : start + size] for start in range(0, len(data), size)], request_of())
    deltas = [part for part in parts if isinstance(part, Delta)]
    assert "".join(delta.text for delta in deltas) == "Aslan\u2028."
    assert "".join(delta.reasoning for delta in deltas) == "Hm. A lion?"
    assert [delta.call_text for delta in deltas if delta.tool_calls] == ["look_up", '{"name": "As', 'lan"}']
    assert deltas[-1].finish_reason == "tool_calls"
    assert parts[-1] == Usage(7, 9)


def test_a_whole_answer_is_read_choice_by_choice() -> None:
    def choice(index: int, **message: Any) -> dict[str, Any]:
        return {"index": index, "message": {"role": "assistant", **message}, "finish_reason": "stop"}

    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    choices = [choice(0, content="One"), choice(1, content=None, reasoning="Why?", tool_calls=[call])]
    body = orjson.dumps({"choices": choices, "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
    assert parts_of([body], request_of(stream=False)) == [
        Delta(0, "One", finish_reason="stop"),
        Delta(1, "", finish_reason="stop", reasoning="Why?", tool_calls=(ToolCall(0, "c", "f", "{}"),)),
        Usage(3, 2),
    ]


def test_logprobs_are_read_where_the_client_asked_for_them() -> None:
    found = {"content": [{"token": "As", "logprob": -0.5, "top_logprobs": [{"token": "Oz", "logprob": -1.0}]}]}
    pieces = [chunk(content="As", logprobs=found)]
    (asked,), (unasked,) = parts_of(pieces, request_of(logprobs=1)), parts_of(pieces, request_of())
    assert isinstance(asked, Delta)
    assert isinstance(unasked, Delta)
    assert asked.logprobs == (TokenLogprob("As", -0.5, (("Oz", -1.0),)),)
    assert unasked.logprobs == ()


@pytest.mark.parametrize("data", [b"data: <html>\n\n", b'data: {"error": "gone"}\n\n', b'data: {"x": 1}\n\n'])
def test_bytes_of_no_known_shape_are_an_upstream_error(data: bytes) -> None:
    with pytest.raises(UpstreamError):
        parts_of([data], request_of())


LOGPROBS = {"content": [{"token": "A", "logprob": -0.1, "top_logprobs": [{"token": "B", "logprob": -2.0}]}]}
WHOLE = {
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "One", "reasoning": "Why?", "tool_calls": [CALL]},
            "logprobs": LOGPROBS,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2},
}
MESSAGE = {
    "type": "message",
    "content": [
        {"type": "text", "text": "One"},
        {"type": "thinking", "thinking": "Why?"},
        {"type": "tool_use", "id": "t", "name": "look_up", "input": {"a": 1}},
    ],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 2},
}
OTHERS = (3, True, -1.5, "x", ["x"], [{"type": "text", "text": "x"}], {"x": "y"}, [], {}, None)


def places(value: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    """Where each value stands in a payload."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inside:
        yield (*path, name)
        yield from places(one, *path, name)


def put(payload: Any, path: tuple[Any, ...], other: Any) -> Any:
    copied = orjson.loads(orjson.dumps(payload))
    inside = copied
    for name in path[:-1]:
        inside = inside[name]
    inside[path[-1]] = other
    return copied


@pytest.mark.parametrize("payload", [WHOLE, MESSAGE], ids=["chat", "message"])
@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_what_is_no_text_is_never_taken_for_one(payload: Any, other: Any) -> None:
    """A list of parts where a text belongs, say: nobody would screen it."""
    for path in places(payload):
        try:
            deltas = parts_of([orjson.dumps(put(payload, path, other))], request_of(stream=False, logprobs=1))
        except UpstreamError:
            continue
        for delta in deltas:
            if isinstance(delta, Delta):
                said = [delta.text, delta.reasoning, delta.call_text, delta.others]
                said += [token.token for token in delta.logprobs]
                assert all(isinstance(one, str) for one in said), path


def test_a_content_of_parts_says_what_to_do() -> None:
    parts = [{"type": "text", "text": "One"}]
    with pytest.raises(UpstreamError, match=r"its content is no text; ask .* plain text"):
        parts_of([orjson.dumps(put(WHOLE, ("choices", 0, "message", "content"), parts))], request_of(stream=False))


def test_a_choice_with_a_text_and_a_delta_is_an_upstream_error() -> None:
    choice = {"index": 0, "text": "harmless", "delta": {"content": "and else"}, "finish_reason": None}
    with pytest.raises(UpstreamError, match="two things"):
        parts_of([b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\n"], request_of())
