"""Load on an HTTP server over raw connections: a client that costs little, so that it measures the server.

Each connection asks again as soon as it has its answer. The client speaks HTTP/1.1 itself, because on two cores a
client library would take the time that is to be measured.
"""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson

from benchmarks.record import quantiles_ms

__all__ = ["Answered", "Load", "chat_bodies", "run_load"]

_END = b"\r\n\r\n"


@dataclass(slots=True)
class Answered:
    """What one load measured, in seconds: to the first byte of a body and to its end, for each request."""

    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    wall_s: float = 0.0
    failed: int = 0

    def summary(self) -> dict[str, object]:
        """Requests a second, and quantiles in milliseconds."""
        return {
            "requests_per_s": round(len(self.whole) / self.wall_s, 1) if self.wall_s else 0.0,
            "first_byte": quantiles_ms(self.first) if self.first else None,
            "whole": quantiles_ms(self.whole) if self.whole else None,
            "failed": self.failed,
        }


@dataclass(frozen=True, slots=True)
class Load:
    """`connections` that ask at once, for `seconds`; what comes in the first `warm_s` of them is not counted."""

    connections: int
    seconds: float = 5.0
    warm_s: float = 1.0


def chat_bodies(
    prompts: Sequence[str], *, model: str, stream: bool, first: int, max_tokens: int = 32
) -> Iterator[bytes]:
    """Bodies of chat requests, none of them twice: each has the number of its turn.

    Args:
        prompts: what is asked, in turn.
        model: the name that the server has for its model.
        stream: whether the answers are streamed.
        first: the first number. No other load of this run may use the same ones, so that nothing comes from a cache.
        max_tokens: of an answer.
    """
    for number in itertools.count(first):
        turn, place = divmod(number, len(prompts))
        messages = [{"role": "user", "content": f"{prompts[place]} ({turn})"}]
        fields = {"model": model, "messages": messages, "max_tokens": max_tokens, "temperature": 0}
        yield orjson.dumps(fields | ({"stream": True} if stream else {}))


async def run_load(
    url: str, bodies: Iterator[bytes], load: Load, *, path: str = "/v1/chat/completions", headers: str = ""
) -> Answered:
    """Asks a server and measures its answers. An answer that is not a 200 counts as failed and in nothing else.

    Args:
        url: of the server.
        bodies: of the requests, without an end.
        load: how many connections, for how long.
        path: what is asked.
        headers: further lines of the request's head, each with its line end.
    """
    loop = asyncio.get_running_loop()
    parts = urlsplit(url)
    head = f"POST {path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n{headers}"
    found = Answered()
    begun = time.perf_counter()
    window = (begun + load.warm_s, begun + load.warm_s + load.seconds)
    clients = []
    for _ in range(load.connections):
        _, client = await loop.create_connection(
            lambda: _Client(head.encode(), bodies, found, window), parts.hostname or "", parts.port or 80
        )
        clients.append(client)
    await asyncio.gather(*(client.done for client in clients))
    found.wall_s = load.seconds
    return found


class _Client(asyncio.Protocol):
    """One connection. It asks until the window is over."""

    def __init__(self, head: bytes, bodies: Iterator[bytes], found: Answered, window: tuple[float, float]) -> None:
        self._head = head
        self._bodies = bodies
        self._found = found
        self._from, self._until = window
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self._found.failed += 1
            self.done.set_result(None)

    def _ask(self) -> None:
        body = next(self._bodies)
        self._body = bytearray()
        self._in_body = False
        self._first = 0.0
        self._started = time.perf_counter()
        self._transport.write(self._head + b"content-length: %d\r\n\r\n" % len(body) + body)

    def data_received(self, data: bytes) -> None:
        self._body += data
        if not self._in_body:
            end = self._body.find(_END)
            if end < 0:
                return
            head = bytes(self._body[:end]).lower()
            del self._body[: end + 4]
            self._in_body = True
            self._good = head.startswith(b"http/1.1 200")
            self._chunked = b"transfer-encoding: chunked" in head
            place = head.find(b"content-length:")
            self._length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        if self._body and not self._first:
            self._first = time.perf_counter()
        if self._chunked:
            if not self._body.endswith(b"0\r\n\r\n"):
                return
        elif len(self._body) < self._length:
            return
        self._answered()

    def _answered(self) -> None:
        now = time.perf_counter()
        if now >= self._from and now < self._until:
            if self._good:
                self._found.first.append((self._first or now) - self._started)
                self._found.whole.append(now - self._started)
            else:
                self._found.failed += 1
        if now < self._until:
            self._ask()
        elif not self.done.done():
            self.done.set_result(None)
            self._transport.close()
