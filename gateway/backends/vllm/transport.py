"""Bytes to a model server and back: a pool of connections, its time limits, and its faults as our errors.

The rest of the backend speaks to `Transport` alone, so that a test can stand in for the network.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import aiohttp

from gateway.errors import UpstreamError, UpstreamTimeout

__all__ = ["HttpTransport", "Reply", "Transport", "pieces"]

# vLLM hangs up on an idle connection after 5 s; a request sent into that moment would fail.
_KEEPALIVE_S = 2
# Of an answer that nobody reads, twice as many bytes are taken in; then the server has to wait.
_READ_AHEAD_BYTES = 2**15


class Reply(Protocol):
    """An answer whose head has come. Whoever has one closes it."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def held_bytes(self) -> int:
        """How many bytes of the body have come and are not read yet; never many."""

    async def read(self) -> bytes:
        """All that is left of the body. Raises UpstreamError."""

    async def read_some(self) -> bytes:
        """The bytes that are there, at least one; none at the end of the body. Raises UpstreamError."""

    async def aclose(self) -> None:
        """Lets go. If the body is not at its end, the connection is closed: the server then aborts the generation."""


class Transport(Protocol):
    """Sends requests."""

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b"", timeout_s: float | None = None
    ) -> Reply:
        """Raises UpstreamError; its `reached` is false if no server got the request.

        Args:
            method: GET or POST.
            url: all of it.
            headers: all but those that the transport itself needs.
            body: of a POST.
            timeout_s: for the whole answer, in place of the transport's own limits.
        """

    async def aclose(self) -> None:
        """Closes every connection; servers abort what was running on them."""


async def pieces(reply: Reply) -> AsyncIterator[bytes]:
    """The body as it comes."""
    while piece := await reply.read_some():
        yield piece


class HttpTransport:
    """A pool of HTTP/1.1 connections. It belongs to the event loop of its first request, until it is closed."""

    def __init__(self, *, connect_timeout_s: float, read_timeout_s: float, max_connections: int) -> None:
        """`read_timeout_s` is the longest time without a byte, and the longest wait for a connection of the pool."""
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=read_timeout_s, sock_connect=connect_timeout_s, sock_read=read_timeout_s
        )
        self._max_connections = max_connections
        self._pool: aiohttp.ClientSession | None = None

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b"", timeout_s: float | None = None
    ) -> Reply:
        """See Transport."""
        timeout = self._timeout if timeout_s is None else aiohttp.ClientTimeout(total=timeout_s)
        try:
            response = await self._session().request(
                method, url, data=body or None, headers=headers, timeout=timeout, allow_redirects=False
            )
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            raise _fault(error) from error
        return _HttpReply(response)

    async def aclose(self) -> None:
        """See Transport."""
        if self._pool:
            await self._pool.close()
            self._pool = None

    def _session(self) -> aiohttp.ClientSession:
        """Made at the first request, because it belongs to an event loop."""
        if self._pool is None:
            self._pool = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections, keepalive_timeout=_KEEPALIVE_S),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("user-agent",),
                read_bufsize=_READ_AHEAD_BYTES,
                trust_env=False,  # prompts must not take the detour of somebody's HTTP_PROXY
            )
        return self._pool


class _HttpReply:
    """See Reply."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self._response = response
        self._content = response.content
        self._read_bytes = 0

    @property
    def held_bytes(self) -> int:
        return self._content.total_bytes - self._read_bytes

    async def read(self) -> bytes:
        try:
            body = await self._content.read()
        except (aiohttp.ClientError, OSError) as error:
            raise _fault(error) from error
        self._read_bytes += len(body)
        return body

    async def read_some(self) -> bytes:
        try:
            piece = await self._content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise _fault(error) from error
        self._read_bytes += len(piece)
        return piece

    async def aclose(self) -> None:
        self._response.close()


def _fault(error: Exception) -> UpstreamError:
    """What to tell the client of a failed call."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return UpstreamTimeout("the model server took too long", reached=False)
    if isinstance(error, TimeoutError):
        return UpstreamTimeout("the model server took too long")
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.InvalidURL):
        return UpstreamError("the model server cannot be reached", reached=False)
    return UpstreamError("the model server broke off its answer")
