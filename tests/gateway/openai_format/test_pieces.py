"""An upstream's bytes are parted into events and joined again, and stay what they were."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from gateway.core import Delta, Event, Message, Request, Usage
from gateway.openai_format.pieces import joined, single_events

REQUEST = Request("1", "chat", "m", (Message("user", "Hi"),), stream=True)
SAID = ["The", " lamp", "\\n", " is lit", "."]


def stream(end: bytes) -> bytes:
    chunk = b'data: {"choices": [{"index": 0, "delta": {"content": "%b"}, "finish_reason": null}]}'
    return b"".join(chunk % text.encode() + end for text in SAID) + b"data: [DONE]" + end


def parted(data: bytes, size: int) -> list[list[Event]]:
    async def events() -> AsyncGenerator[Event, None]:
        for start in range(0, len(data), size):
            yield Event(data=data[start : start + size])

    async def read() -> list[list[Event]]:
        return [together async for together in single_events(events(), REQUEST)]

    return asyncio.run(read())


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\n\n\n"])
@pytest.mark.parametrize("size", [1, 7, 90, 10_000])
def test_events_are_one_each_and_their_bytes_what_came(end: bytes, size: int) -> None:
    data = stream(end)
    found = parted(data, size)
    singles = [event for together in found for event in together]
    assert b"".join(event.data or b"" for event in singles) == data
    texts = [delta.text for event in singles for delta in event.deltas]
    assert texts == [text.replace("\\n", "\n") for text in SAID]
    assert all(len(event.deltas) <= 1 for event in singles)
    if size > len(data):
        assert len(found[0]) == len(SAID) + 1


def test_only_an_upstream_s_own_bytes_are_joined() -> None:
    own = [Event(data=b"a", parts=(Delta(0, "a"),)), Event(data=b"b"), Event(data=b"c", parts=(Usage(1, 2),))]
    written = Event.of(Delta(0, "x"))
    first, second, third = joined([*own, written, own[0]])
    assert (first.data, first.parts) == (b"abc", (Delta(0, "a"), Usage(1, 2)))
    assert second is written
    assert third is own[0]
    assert joined([written]) == [written]
    assert joined([]) == []
