"""One exchange with a client over ASGI: writing the answer, and noticing that the client left."""

import asyncio
from collections.abc import Mapping
from types import TracebackType

from starlette.types import Receive, Send

from gateway.server.edge import REQUEST_ID

__all__ = ["Departure", "Writer"]

_ID = REQUEST_ID.encode()
_JSON = b"application/json"
_EVENTS = b"text/event-stream; charset=utf-8"


class Writer:
    """Writes one answer: whole, or bit by bit. `begun` says that its head is sent, which sets the status."""

    def __init__(self, send: Send, *, request_id: str) -> None:
        self.request_id = request_id
        self.begun = False
        self._ended = False
        self._send = send

    async def whole(self, body: bytes, *, status: int = 200, headers: Mapping[str, str]) -> None:
        """All of an answer in JSON."""
        self._ended = True
        await self._head(status, _JSON, headers, (b"content-length", str(len(body)).encode()))
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def start(self, headers: Mapping[str, str]) -> None:
        """The head of a stream of events."""
        await self._head(200, _EVENTS, headers)

    async def write(self, data: bytes) -> None:
        """More of a stream."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """The end of a stream, if one has begun."""
        if self.begun and not self._ended:
            self._ended = True
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _head(self, status: int, kind: bytes, headers: Mapping[str, str], *further: tuple[bytes, bytes]) -> None:
        self.begun = True
        named = ((name.lower().encode(), value.encode("latin-1")) for name, value in headers.items())
        lines = [(_ID, self.request_id.encode()), *named, *further, (b"content-type", kind)]
        await self._send({"type": "http.response.start", "status": status, "headers": lines})


class Departure:
    """A context that is left as soon as the client is gone: nobody would read the answer. What runs inside is
    cancelled, and the context ends without an error.

    It reads what the client sends; so the request's body must be read before. `gone` says that the client left.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.gone = False

    async def __aenter__(self) -> "Departure":
        self._work = asyncio.current_task()
        self._watch = asyncio.ensure_future(self._left())
        return self

    async def _left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        if self._work:
            self._work.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._watch.cancel()
        if not self.gone or self._work is None:
            return False
        others = self._work.uncancel()  # the server may cancel it too
        return kind is asyncio.CancelledError and not others
