"""Stubs of an upstream, written as httpx transports, in place of the network."""

from collections.abc import AsyncIterator, Mapping

import httpx

from gateway.errors import UpstreamError, UpstreamTimeout


class Stubbed:
    """A transport of the vLLM backend whose server is a stub. `opened` and `closed` count replies."""

    def __init__(self, stub: httpx.AsyncBaseTransport) -> None:
        self._stub = stub
        self.opened = self.closed = 0

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b"", timeout_s: float | None = None
    ) -> "StubbedReply":
        request = httpx.Request(method, url, headers=headers, content=body)
        try:
            response = await self._stub.handle_async_request(request)
        except httpx.HTTPError as error:
            raise _fault(error) from error
        self.opened += 1
        return StubbedReply(response, self)

    async def aclose(self) -> None:
        await self._stub.aclose()


class StubbedReply:
    def __init__(self, response: httpx.Response, transport: Stubbed) -> None:
        self.status = response.status_code
        self.held_bytes = 0
        self._stream = response.stream
        self._pieces: AsyncIterator[bytes] = self._read(response.stream)
        self._transport = transport

    async def _read(self, stream: object) -> AsyncIterator[bytes]:
        assert isinstance(stream, httpx.AsyncByteStream)
        async for piece in stream:
            yield piece

    async def read(self) -> bytes:
        pieces = []
        while piece := await self.read_some():
            pieces.append(piece)
        return b"".join(pieces)

    async def read_some(self) -> bytes:
        try:
            return await anext(self._pieces, b"")
        except httpx.HTTPError as error:
            raise _fault(error) from error

    async def aclose(self) -> None:
        self._transport.closed += 1
        if isinstance(self._stream, httpx.AsyncByteStream):
            await self._stream.aclose()


def _fault(error: httpx.HTTPError) -> UpstreamError:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        kind = UpstreamTimeout if isinstance(error, httpx.ConnectTimeout) else UpstreamError
        return kind("the model server cannot be reached", reached=False)
    if isinstance(error, httpx.TimeoutException):
        return UpstreamTimeout("the model server took too long")
    return UpstreamError("the model server broke off its answer")
