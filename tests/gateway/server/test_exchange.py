"""A client that leaves ends the work on its request, and nothing else."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import pytest

from gateway.core import Delta, Event, Message, Request, Sampling
from gateway.openai_format.encoding import AnswerEncoder
from gateway.openai_format.shapes import CHAT_SHAPE
from gateway.server.exchange import Departure
from gateway.server.pace import Pace
from gateway.server.prompts import _stream


class Client:
    """What an ASGI server would receive from a client that leaves when it is told to."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}


def test_work_ends_when_the_client_leaves_and_the_task_goes_on() -> None:
    async def run() -> list[str]:
        client, seen = Client(), []
        asyncio.get_running_loop().call_soon(client.left.set)
        async with Departure(client.receive):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise
            seen.append("done")
        await asyncio.sleep(0)
        return [*seen, "on"]

    assert asyncio.run(run()) == ["cancelled", "on"]


@pytest.mark.parametrize("leaves", [False, True])
def test_nothing_is_left_of_work_that_ends_of_itself(leaves: bool) -> None:
    """Also if it does not heed that it is cancelled."""

    async def run() -> set[asyncio.Task[Any]]:
        client, tasks = Client(), asyncio.all_tasks()
        if leaves:
            client.left.set()
        async with Departure(client.receive):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        return asyncio.all_tasks() - tasks

    assert asyncio.run(run()) == set()


def test_an_error_of_the_work_is_raised() -> None:
    async def run() -> None:
        async with Departure(Client().receive):
            raise KeyError("of the work")

    with pytest.raises(KeyError):
        asyncio.run(run())


@pytest.mark.parametrize("leaves", [False, True])
def test_a_server_that_stops_cancels_all_of_it(leaves: bool) -> None:
    async def run() -> bool:
        client = Client()

        async def work() -> None:
            async with Departure(client.receive):
                await asyncio.sleep(60)
            raise AssertionError("the server's own cancellation was lost")

        task = asyncio.create_task(work())
        await asyncio.sleep(0.01)
        if leaves:
            client.left.set()
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(run())


class Written:
    """What a writer would send, write by write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    async def write(self, data: bytes) -> None:
        self.writes.append(data)


def writes_of(*events: Event, n: int = 1) -> list[bytes]:
    request = Request("7", "chat", "tiny", (Message("user", "Who?"),), sampling=Sampling(n=n), stream=True)
    writer = Written()

    async def all_of() -> AsyncGenerator[Event, None]:
        for event in events:
            yield event

    async def run() -> None:
        times = Pace().schedule(request, 0.0, done="Corrupt", body_bytes=None)
        await _stream(all_of(), n, AnswerEncoder(request, CHAT_SHAPE), writer, times)  # type: ignore[arg-type]

    asyncio.run(run())
    return writer.writes


def test_a_planned_answer_comes_in_the_pieces_of_one_that_passes_however_its_upstream_parts_it() -> None:
    """A client that counts its reads would know one from the other."""
    planned = writes_of(
        Event.of(Delta(0, "No")), Event.of(Delta(0, "body")), Event.of(Delta(0, ".", finish_reason="stop"))
    )
    assert [write.count(b"data: ") for write in planned] == [2, 1, 2]
    assert b'"role"' in planned[0]
    assert planned[-1].endswith(b"data: [DONE]\n\n")
    own = [piece + b"\n\n" for piece in b"".join(planned).split(b"\n\n")[:-1]]
    apart = writes_of(*(Event(data=piece) for piece in own))
    assert apart == planned
    together = writes_of(Event(data=own[0] + own[1]), Event(data=own[2]), Event(data=b"".join(own[3:])))
    assert together == planned


def test_one_of_several_choices_that_ends_holds_nothing_back() -> None:
    events = [Event.of(Delta(0, "a", finish_reason="stop")), Event.of(Delta(1, "b")), Event.of(Delta(1, "c"))]
    assert len(writes_of(*events, Event.of(Delta(1, "", finish_reason="stop")), n=2)) == 4


def test_words_that_look_like_an_end_are_none() -> None:
    said = 'He wrote "finish_reason":"stop" and "role":"assistant" on the wall.'
    writes = writes_of(Event.of(Delta(0, said)), Event.of(Delta(0, said)), Event.of(Delta(0, "", finish_reason="stop")))
    assert len(writes) == 3
