"""A request that goes to an upstream as the client sent it, and whose answer comes back in the upstream's own bytes."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from gateway.backends.base import Wasted
from gateway.backends.vllm.complaints import payloads, streamed_complaint
from gateway.backends.vllm.replica import Replica
from gateway.backends.vllm.transport import Reply, pieces
from gateway.core import Delta, Event, Request, Tap, Usage
from gateway.errors import UpstreamError
from gateway.openai_format.decoding import has_ended, parts_of, reader

__all__ = ["Opened", "Passage"]

_ERROR = re.compile(rb'^(?:event: ?error|data: ?\{(?:"type": ?"error", ?)?"error":(?! ?null))', re.MULTILINE)
_LONGEST_MARK = 48  # bytes: an unfinished line that is shorter may yet become an error
_TAIL = 64  # bytes that hold the last event of a stream
# Of the event loop, until the bytes of a request have left over an open connection. After that the gate's threads take
# the interpreter: a request that had not left by then would wait for some milliseconds.
_TURNS = 3


@dataclass(frozen=True, slots=True)
class Opened:
    """A reply of one replica, which counts it as a request under way until it is closed. `own`: it is in the client's
    own dialect, so that its bytes may go to the client."""

    replica: Replica
    reply: Reply
    own: bool = True

    async def aclose(self) -> None:
        """Lets go of the reply."""
        self.replica.in_flight -= 1
        await self.reply.aclose()


class Passage:
    """One request's way. The upstream is asked when somebody reads the events, or before that, with `begin`: then the
    upstream's bytes wait in the connection, and the server must wait too after the first few."""

    def __init__(self, request: Request, opened: Callable[[], Awaitable[Opened]], tap: Tap) -> None:
        """`opened` asks an upstream; it cleans up after itself if it fails or is cancelled. `tap` sees the events."""
        self._tap = tap
        self._request = request
        self._opened = opened
        self._begun: asyncio.Task[Opened] | None = None
        self._begun_at = 0.0

    async def begin(self) -> None:
        """Asks the upstream now. Then the events must be read, or `abort` called."""
        self._begun_at = time.perf_counter()
        self._begun = asyncio.ensure_future(self._opened())
        try:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            await self.abort()
            raise

    async def abort(self) -> Wasted:
        """See Started."""
        held_bytes = 0
        if self._begun is not None:
            self._begun.cancel()
            if not self._begun.done():
                await asyncio.wait([self._begun])
            if not self._begun.cancelled() and self._begun.exception() is None:
                opened = self._begun.result()
                held_bytes = opened.reply.held_bytes
                await opened.aclose()
        return Wasted(time.perf_counter() - self._begun_at, held_bytes)

    def events(self) -> AsyncGenerator[Event, None]:
        """The answer: whole, or piece by piece. Its bytes are parsed only if somebody reads the parts."""
        return self._tap(self._read())

    async def _read(self) -> AsyncGenerator[Event, None]:
        try:
            opened = await (self._begun or self._opened())
        except asyncio.CancelledError:  # the reply may have come in this very moment
            await self.abort()
            raise
        try:
            async with aclosing(self._events(opened.reply) if opened.own else self._translated(opened.reply)) as events:
                async for event in events:
                    yield event
        except UpstreamError:
            opened.replica.unhealthy = True
            raise
        finally:
            await opened.aclose()

    async def _events(self, reply: Reply) -> AsyncGenerator[Event, None]:
        """The reply's own bytes."""
        parse = reader(self._request)
        if not self._request.stream:
            yield Event(data=await reply.read(), parse=parse)
            return
        tail = b""
        async with aclosing(_without_errors(reply)) as found:
            async for data in found:
                tail = (tail + data)[-_TAIL:]
                yield Event(data=data, parse=parse)
        if not has_ended(tail):
            raise UpstreamError("the model server broke off its answer")

    async def _translated(self, reply: Reply) -> AsyncGenerator[Event, None]:
        """What a chat's answer says, for the gateway to encode."""
        told = False
        async with aclosing(payloads(pieces(reply), stream=self._request.stream)) as found:
            async for payload in found:
                parts = parts_of(payload, self._request)
                usage = next((part for part in parts if isinstance(part, Usage)), None)
                if usage and not told:
                    told = True
                    yield Event(prompt_tokens=usage.prompt_tokens)
                if not payload["choices"] or any(isinstance(part, Delta) for part in parts):
                    yield Event.of(*parts)


async def _without_errors(reply: Reply) -> AsyncGenerator[bytes, None]:
    """The bytes of a stream. Raises the complaint of an error event, wherever it stands: vLLM says so under a 200."""
    rest, in_line = b"", False
    while fresh := await reply.read_some():
        data = rest + fresh
        start = data.find(b"\n") + 1 if in_line else 0
        if b"error" in data and (start or not in_line) and (error := _ERROR.search(data, start)):
            if error.start():
                yield data[: error.start()]
            raise streamed_complaint(await _whole_event(data[error.start() :], reply))
        line = data.rfind(b"\n") + 1
        unfinished = data[line:] if line or not in_line else b""
        rest = unfinished if len(unfinished) < _LONGEST_MARK else b""
        if sent := data[: len(data) - len(rest)]:
            in_line = not sent.endswith(b"\n")
            yield sent
    if rest:
        yield rest


async def _whole_event(begun: bytes, reply: Reply) -> bytes:
    while b"\n\n" not in begun and (more := await reply.read_some()):
        begun += more
    return begun
