"""Chunks out: bodies and events in the backend's own shape."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.core import Delta, Endpoint, Event, Message, Request, Sampling, TokenLogprob, Usage
from gateway.openai_format.encoding import AnswerEncoder, sse, whole
from gateway.openai_format.shapes import CHAT_SHAPE, COMPLETIONS_SHAPE, Shape


def request_of(endpoint: Endpoint = "chat", *, usage: bool = False, **sampling: Any) -> Request:
    messages = (Message("user", "Who?"),)
    return Request("1", endpoint, "tiny", messages, Sampling(**sampling), include_usage=usage)


def shape_of(request: Request) -> Shape:
    return CHAT_SHAPE if request.endpoint == "chat" else COMPLETIONS_SHAPE


Part = Delta | Usage


async def source(parts: list[Part]) -> AsyncIterator[Event]:
    for part in parts:
        yield Event.of(part)


async def passed(*pieces: bytes) -> AsyncIterator[Event]:
    for piece in pieces:
        yield Event(data=piece)


def collected(request: Request, chunks: list[Part], shape: Shape | None = None) -> Any:
    return json.loads(asyncio.run(AnswerEncoder(request, shape or shape_of(request)).collect(source(chunks))))


def streamed(request: Request, chunks: list[Part], shape: Shape | None = None) -> list[Any]:
    """The payloads of the events, [DONE] left out but insisted on."""
    wire = AnswerEncoder(request, shape or shape_of(request))
    written = b"".join(wire.encode(Event.of(chunk)) for chunk in chunks) + wire.ending()
    *events, done, rest = written.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(one.removeprefix("data: ")) for one in events]


CHUNKS: list[Part] = [Delta(0, "Hel"), Delta(0, "lo"), Delta(0, "!", finish_reason="stop"), Usage(5, 3)]


def test_a_chat_answer() -> None:
    answer = collected(request_of(), CHUNKS)
    assert answer["id"].startswith("chatcmpl-")
    assert (answer["object"], answer["model"]) == ("chat.completion", "tiny")
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello!", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert answer["usage"] == {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


def test_a_completion_answer() -> None:
    answer = collected(request_of("completions"), CHUNKS)
    assert answer["id"].startswith("cmpl-")
    assert answer["object"] == "text_completion"
    assert answer["choices"] == [{"index": 0, "text": "Hello!", "logprobs": None, "finish_reason": "stop"}]


def test_a_chat_stream_opens_with_the_role_and_closes_with_a_reason() -> None:
    events = streamed(request_of(), CHUNKS)
    assert [one["choices"][0]["delta"] for one in events] == [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": "lo"},
        {"content": "!"},
    ]
    assert [one["choices"][0]["finish_reason"] for one in events] == [None, None, None, "stop"]
    assert {one["object"] for one in events} == {"chat.completion.chunk"}
    assert len({one["id"] for one in events}) == 1
    assert all("usage" not in one for one in events)


def test_a_completion_stream_has_no_opening() -> None:
    events = streamed(request_of("completions"), CHUNKS)
    assert [one["choices"][0]["text"] for one in events] == ["Hel", "lo", "!"]
    assert {one["object"] for one in events} == {"text_completion"}


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_usage_ends_the_stream_if_asked_for(endpoint: Endpoint) -> None:
    last = streamed(request_of(endpoint, usage=True), CHUNKS)[-1]
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


def test_several_choices_are_kept_apart() -> None:
    chunks: list[Part] = [
        Delta(1, "b"),
        Delta(0, "a"),
        Delta(1, "B", finish_reason="length"),
        Delta(0, "A", finish_reason="stop"),
        Usage(1, 4),
    ]
    request = request_of(n=2)
    choices = collected(request, chunks)["choices"]
    assert [(one["index"], one["message"]["content"], one["finish_reason"]) for one in choices] == [
        (0, "aA", "stop"),
        (1, "bB", "length"),
    ]
    events = streamed(request, chunks)
    assert [one["choices"][0]["index"] for one in events] == [0, 1, 1, 0, 1, 0]
    assert all(one["choices"][0]["delta"] == {"role": "assistant", "content": ""} for one in events[:2])


LOGPROBS: list[Part] = [
    Delta(0, "né", (TokenLogprob("né", -0.5, (("né", -0.5), ("x", -2.0))),)),
    Delta(0, "!", (TokenLogprob("!", -0.1, (("!", -0.1), ("?", -3.0))),), "stop"),
    Usage(1, 2),
]


def test_logprobs_of_a_chat() -> None:
    request = request_of(logprobs=2)
    whole_answer = collected(request, LOGPROBS)["choices"][0]["logprobs"]["content"]
    assert whole_answer[0] == {
        "token": "né",
        "logprob": -0.5,
        "bytes": [110, 195, 169],
        "top_logprobs": [
            {"token": "né", "logprob": -0.5, "bytes": [110, 195, 169]},
            {"token": "x", "logprob": -2.0, "bytes": [120]},
        ],
    }
    events = streamed(request, LOGPROBS)[1:]
    assert [token for one in events for token in one["choices"][0]["logprobs"]["content"]] == whole_answer


def test_logprobs_of_a_completion_count_their_offsets_through_the_stream() -> None:
    request = request_of("completions", logprobs=2)
    assert collected(request, LOGPROBS)["choices"][0]["logprobs"] == {
        "text_offset": [0, 2],
        "token_logprobs": [-0.5, -0.1],
        "tokens": ["né", "!"],
        "top_logprobs": [{"né": -0.5, "x": -2.0}, {"!": -0.1, "?": -3.0}],
    }
    assert [one["choices"][0]["logprobs"]["text_offset"] for one in streamed(request, LOGPROBS)] == [[0], [2]]


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_nobody_gets_logprobs_unasked(endpoint: Endpoint) -> None:
    assert collected(request_of(endpoint), LOGPROBS)["choices"][0]["logprobs"] is None


RAW = [b'data: {"x":1}\n\n', b"data: [DO", b"NE]\n\n"]


def test_an_untouched_answer_goes_through_byte_by_byte() -> None:
    wire = AnswerEncoder(request_of(), CHAT_SHAPE)
    assert [wire.encode(Event(data=piece)) for piece in RAW] == RAW
    assert wire.ending() == b""
    body = asyncio.run(AnswerEncoder(request_of(), CHAT_SHAPE).collect(passed(b'{"a"', b": 1}")))
    assert body == b'{"a": 1}'


UPSTREAM = Shape(
    answer={"id": "", "z": None, "object": "", "created": 0, "model": "", "choices": [], "usage": {}, "tail": []},
    choice={"stop_reason": None, "index": 0, "message": {}, "token_ids": None, "logprobs": None, "finish_reason": None},
    message={"role": "assistant", "reasoning": None, "content": ""},
    usage={"prompt_tokens": 0, "total_tokens": 0, "completion_tokens": 0, "details": None},
    event={"id": "", "choices": [], "model": "", "created": 0, "object": "", "extra": 1},
    event_choice={"delta": {}, "index": 0, "logprobs": None, "finish_reason": None},
    closing_event={"id": "", "choices": [], "model": "", "created": 0, "object": "", "closing": 2},
    closing_choice={"delta": {}, "index": 0, "logprobs": None, "finish_reason": None, "stop_reason": None},
    usage_event={"usage": {"total_tokens": 0}, "id": "", "choices": [], "model": "", "created": 0, "object": ""},
)


def test_an_answer_over_another_shape_keeps_its_keys_and_their_order() -> None:
    answer = collected(request_of(), [Delta(0, "x", finish_reason="stop", stop_reason="END"), Usage(1, 1)], UPSTREAM)
    assert list(answer) == list(UPSTREAM.answer)
    assert list(answer["choices"][0]) == list(UPSTREAM.choice)
    assert list(answer["choices"][0]["message"]) == list(UPSTREAM.message)
    assert list(answer["usage"]) == list(UPSTREAM.usage)
    assert answer["choices"][0]["stop_reason"] == "END"


def test_a_stream_over_another_shape_keeps_its_keys_and_their_order() -> None:
    first, last = streamed(request_of(), [Delta(0, "x"), Delta(0, "y", finish_reason="stop"), Usage(1, 1)], UPSTREAM)
    assert list(first) == list(UPSTREAM.event)
    assert list(first["choices"][0]) == list(UPSTREAM.event_choice)
    assert list(last) == list(UPSTREAM.closing_event)
    assert list(last["choices"][0]) == list(UPSTREAM.closing_choice)


def test_templates_are_never_written_to() -> None:
    before = repr((CHAT_SHAPE, COMPLETIONS_SHAPE))
    streamed(request_of(usage=True, logprobs=1), LOGPROBS)
    collected(request_of("completions", logprobs=1), LOGPROBS)
    assert repr((CHAT_SHAPE, COMPLETIONS_SHAPE)) == before


def test_answers_have_ids_of_their_own() -> None:
    assert collected(request_of(), CHUNKS)["id"] != collected(request_of(), CHUNKS)["id"]


def test_joining_deltas() -> None:
    token = TokenLogprob("a", 0.0)
    joined = whole([Delta(3, "a", (token,)), Delta(3, "b", (token,), "stop", 7)])
    assert joined == Delta(3, "ab", (token, token), "stop", 7)


def test_an_event_is_one_line_whatever_the_text() -> None:
    data = sse({"content": "a\n\ndata: b\r\n"})
    assert data.count(b"\n") == 2
    assert json.loads(data.removeprefix(b"data: ")) == {"content": "a\n\ndata: b\r\n"}
