"""Anthropic's messages: an upstream's own events are read as what they say, and an answer that was handed over goes on
where those stopped."""

import asyncio
from typing import Any

import orjson
import pytest

from gateway.core import Delta, Event, Message, Request, ToolCall, Usage
from gateway.errors import UpstreamError
from gateway.openai_format.decoding import has_ended, reader
from gateway.openai_format.messages.answer import MessageEncoder
from gateway.openai_format.messages.shape import MESSAGE_SHAPE
from gateway.openai_format.pieces import cut, single_events

Json = dict[str, Any]
CALL = ToolCall(0, "call_1", "look_up", "")


def request_of(*, stream: bool = True) -> Request:
    return Request("1", "chat", "tiny", (Message("user", "Hi"),), stream=stream, dialect="messages", native=b"{}")


def written(*parts: Delta | Usage) -> bytes:
    """A stream of the gateway's own."""
    encoder = MessageEncoder(request_of(), MESSAGE_SHAPE)
    return b"".join(
        [encoder.encode(Event(prompt_tokens=7)), *map(encoder.encode, map(Event.of, parts)), encoder.ending()]
    )


def payloads(data: bytes) -> list[Json]:
    return [orjson.loads(line.removeprefix(b"data: ")) for line in data.split(b"\n") if line.startswith(b"data: ")]


SAID = (
    Delta(0, "", reasoning="Hm."),
    Delta(0, "Let me "),
    Delta(0, "look."),
    Delta(0, "", tool_calls=(CALL,)),
    Delta(0, "", tool_calls=(ToolCall(0, arguments='{"name": '),)),
    Delta(0, "", tool_calls=(ToolCall(0, arguments='"Aslan"}'),)),
    Delta(0, "", finish_reason="tool_calls"),
    Usage(7, 9),
)


@pytest.mark.parametrize("chunk", [1, 17, 10_000])
def test_what_is_written_is_read_back(chunk: int) -> None:
    data = written(*SAID)
    read = reader(request_of())
    parts = [part for at in range(0, len(data), chunk) for part in read(data[at : at + chunk])]
    deltas = [part for part in parts if isinstance(part, Delta)]
    assert "".join(delta.text for delta in deltas) == "Let me look."
    assert "".join(delta.reasoning for delta in deltas) == "Hm."
    assert "".join(delta.call_text for delta in deltas) == 'look_up{"name": "Aslan"}'
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["tool_calls"]
    assert parts[-1] == Usage(7, 9)
    assert has_ended(data[-64:])
    assert not has_ended(data[:-64][-64:])


def test_a_whole_message_says_the_same() -> None:
    encoder = MessageEncoder(request_of(stream=False), MESSAGE_SHAPE)

    async def events() -> Any:
        for part in SAID:
            yield Event.of(part)

    body = asyncio.run(encoder.collect(events()))
    message = orjson.loads(body)
    assert [block["type"] for block in message["content"]] == ["thinking", "text", "tool_use"]
    assert message["content"][2]["input"] == {"name": "Aslan"}
    assert (message["stop_reason"], message["usage"]["output_tokens"]) == ("tool_use", 9)
    delta, usage = reader(request_of(stream=False))(body)
    assert isinstance(delta, Delta)
    assert (delta.text, delta.reasoning, delta.call_text) == ("Let me look.", "Hm.", 'look_up{"name":"Aslan"}')
    assert usage == Usage(7, 9)


def test_blocks_follow_each_other_and_none_stays_open() -> None:
    kinds = [(one["type"], one.get("index")) for one in payloads(written(*SAID))]
    opened = [index for kind, index in kinds if kind == "content_block_start"]
    assert opened == [index for kind, index in kinds if kind == "content_block_stop"] == [0, 1, 2]
    assert [kind for kind, _ in kinds][-2:] == ["message_delta", "message_stop"]


def test_an_upstreams_events_go_on_as_they_came_and_may_be_cut() -> None:
    data = written(Delta(0, "They live in Narnia"), Delta(0, "", finish_reason="stop"), Usage(7, 4))

    async def events() -> Any:
        for at in range(0, len(data), 50):
            yield Event(data=data[at : at + 50])

    async def parted() -> list[Event]:
        return [event async for together in single_events(events(), request_of()) for event in together]

    singles = asyncio.run(parted())
    assert b"".join(event.data or b"" for event in singles) == data
    (said,) = [event for event in singles if any(delta.text for delta in event.deltas)]
    first, rest = cut(said, len("They live in"))
    assert [payloads(one.data or b"")[0]["delta"]["text"] for one in (first, rest)] == ["They live in", " Narnia"]
    assert (first.data or b"").startswith(b"event: content_block_delta\ndata: ")


def test_an_answer_goes_on_where_the_upstreams_stopped() -> None:
    own = written(Delta(0, "They live in"), Delta(0, " Narnia"), Delta(0, "", finish_reason="stop"), Usage(7, 4))
    own = own[: own.index(b"event: content_block_delta", own.index(b"live in"))]
    encoder = MessageEncoder(request_of(), MESSAGE_SHAPE)
    sent = [encoder.encode(Event(data=own[:100])), encoder.encode(Event(data=own[100:]))]
    sent += [
        encoder.encode(Event.of(Delta(0, " a wood."))),
        encoder.encode(Event.of(Delta(0, "", finish_reason="stop"))),
    ]
    sent += [encoder.encode(Event.of(Usage(7, 6))), encoder.ending()]
    found = payloads(b"".join(sent))
    assert [one["type"] for one in found] == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 2,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert {one["index"] for one in found if "index" in one} == {0}
    assert found[-2]["usage"]["output_tokens"] == 6


def test_an_end_of_the_upstreams_own_is_not_told_twice() -> None:
    data = written(Delta(0, "Hello"), Delta(0, "", finish_reason="stop"), Usage(7, 1))
    encoder = MessageEncoder(request_of(), MESSAGE_SHAPE)
    assert encoder.encode(Event(data=data)) == data
    assert encoder.ending() == b""


@pytest.mark.parametrize(
    ("delta", "calls", "reason"),
    [
        (Delta(0, "", finish_reason="length"), True, "max_tokens"),
        (Delta(0, "", finish_reason="stop", stop_reason="END"), False, "stop_sequence"),
        (Delta(0, "", finish_reason="stop", stop_reason=2), False, "end_turn"),
        (Delta(0, "", finish_reason="tool_calls"), True, "tool_use"),
    ],
)
def test_why_an_answer_ended(delta: Delta, calls: bool, reason: str) -> None:
    said = [Delta(0, "", tool_calls=(CALL,))] if calls else [Delta(0, "Hello")]
    closing = payloads(written(*said, delta, Usage(1, 1)))[-2]
    assert closing["delta"]["stop_reason"] == reason
    assert closing["delta"]["stop_sequence"] == ("END" if reason == "stop_sequence" else None)


@pytest.mark.parametrize(
    "payload",
    [
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "server_tool_use", "id": "a", "name": "b"},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": "Narnia"}},
        {"type": "something_new", "text": "Narnia"},
        {"type": "message_delta"},
    ],
)
def test_what_cannot_be_read_never_passes(payload: Json) -> None:
    """It could hold a text that nobody screened."""
    with pytest.raises(UpstreamError):
        list(reader(request_of())(b"data: " + orjson.dumps(payload) + b"\n\n"))
