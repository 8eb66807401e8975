"""An upstream's bytes as what they say: text, reasoning, tool calls, logprobs, finish, usage, however they are cut."""

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
