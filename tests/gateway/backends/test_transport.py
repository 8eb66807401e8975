"""The network to a model server: a real socket on the loopback, and what goes wrong on it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from harness import free_port

from gateway.backends.vllm.transport import HttpTransport, Reply, pieces
from gateway.errors import UpstreamError, UpstreamTimeout

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[str]:
    """The address of a server that reads one request's head and then does as it is told."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"


@asynccontextmanager
async def transport(read_timeout_s: float = 5) -> AsyncIterator[HttpTransport]:
    made = HttpTransport(connect_timeout_s=5, read_timeout_s=read_timeout_s, max_connections=2)
    try:
        yield made
    finally:
        await made.aclose()


def said_by(serve: Serve, *, read_timeout_s: float = 5, timeout_s: float | None = None) -> tuple[int, list[bytes]]:
    """The status and the pieces of the body, from a server that answers so."""

    async def run() -> tuple[int, list[bytes]]:
        async with server(serve) as url, transport(read_timeout_s) as sender:
            reply = await sender.send("POST", url, headers={}, body=b"{}", timeout_s=timeout_s)
            try:
                return reply.status, [piece async for piece in pieces(reply)]
            finally:
                await reply.aclose()

    return asyncio.run(run())


async def stall(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def hang_up(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None: ...


async def hang_up_in_the_middle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + chunk(b"data: 1\n\n"))
    await writer.drain()


async def stall_in_the_middle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + chunk(b"data: 1\n\n"))
    await asyncio.sleep(30)


async def move(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 4\r\n\r\nover")
    await writer.drain()


def test_a_redirect_is_not_followed() -> None:
    assert said_by(move) == (307, [b"over"])


@pytest.mark.parametrize("serve", [hang_up, hang_up_in_the_middle])
def test_a_server_that_hangs_up_was_reached(serve: Serve) -> None:
    with pytest.raises(UpstreamError, match="broke off") as raised:
        said_by(serve)
    assert type(raised.value) is UpstreamError
    assert raised.value.reached


@pytest.mark.parametrize("serve", [stall, stall_in_the_middle])
def test_a_silent_server_was_reached(serve: Serve) -> None:
    with pytest.raises(UpstreamTimeout) as raised:
        said_by(serve, read_timeout_s=0.2)
    assert raised.value.reached


def test_a_limit_for_the_whole_answer() -> None:
    with pytest.raises(UpstreamTimeout):
        said_by(stall_in_the_middle, timeout_s=0.2)


def test_a_server_that_is_not_there_was_not_reached() -> None:
    async def run() -> None:
        async with transport() as sender:
            await sender.send("GET", f"http://127.0.0.1:{free_port()}/", headers={})

    with pytest.raises(UpstreamError) as raised:
        asyncio.run(run())
    assert not raised.value.reached


def test_a_pool_that_stays_full_was_not_reached() -> None:
    async def run() -> None:
        async with server(stall_in_the_middle) as url, transport(0.3) as sender:
            for _ in range(3):
                await sender.send("GET", url, headers={})

    with pytest.raises(UpstreamTimeout) as raised:
        asyncio.run(run())
    assert not raised.value.reached


def test_a_body_that_nobody_reads_makes_the_server_wait() -> None:
    """And to let go of it closes the connection, which the server sees."""
    gone = asyncio.Event()
    written = 0

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(HEAD)
        try:
            while True:
                writer.write(chunk(b"x" * 2**16))
                await writer.drain()
                written += 2**16
        except ConnectionError:
            gone.set()
            raise

    async def unread(reply: Reply) -> None:
        seen = -1
        while written > seen:  # until the server waits
            seen = written
            await asyncio.sleep(0.2)

    async def run() -> int:
        async with server(flood) as url, transport() as sender:
            reply = await sender.send("GET", url, headers={})
            await unread(reply)
            held = reply.held_bytes
            await reply.aclose()
            await asyncio.wait_for(gone.wait(), 30)
            return held

    assert 0 < asyncio.run(run()) <= 2**19
