"""A client that leaves ends the work on its request, and nothing else."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from gateway.core import Delta, Event, Message, Request
from gateway.openai_format.encoding import AnswerEncoder
from gateway.openai_format.shapes import CHAT_SHAPE
from gateway.server.exchange import Departure
from gateway.server.prompts import _apart


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


def test_the_first_token_comes_behind_the_role_and_not_with_it() -> None:
    """A client that counts its reads would know a planned answer from one that passed."""
    request = Request("7", "chat", "tiny", (Message("user", "Who?"),), stream=True)
    planned = Event.of(Delta(0, "Nobody"))
    pieces = _apart(planned, AnswerEncoder(request, CHAT_SHAPE).encode(planned))
    assert [b'"role"' in piece for piece in pieces] == [True, False]
    assert all(piece.startswith(b"data: ") and piece.endswith(b"\n\n") for piece in pieces)
    passed = Event(data=b"".join(pieces))
    assert _apart(passed, passed.data or b"") == [passed.data]
