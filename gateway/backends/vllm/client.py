"""What the gateway asks of one upstream model server."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import orjson

from gateway.backends.vllm.complaints import complaint, words_of
from gateway.backends.vllm.transport import Reply, Transport
from gateway.core import Dialect, Endpoint
from gateway.errors import UpstreamError

__all__ = ["Target", "Upstream"]

Target = Endpoint | Dialect
"""Where a body is posted: an endpoint of OpenAI's, or that of another dialect."""
_PATHS: dict[Target, str] = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "messages": "/v1/messages",
}
_COUNT_PATH = "/v1/messages/count_tokens"
_HEALTH_TIMEOUT_S = 2


class Upstream:
    """The requests that the gateway sends. None carries a header of the client's."""

    def __init__(self, url: str, transport: Transport, *, api_key: str | None) -> None:
        """`url` is the server's base URL, without /v1; `api_key` the bearer key that it asks for."""
        self.url = url.rstrip("/")
        self._transport = transport
        self._headers = {"accept-encoding": "identity"} | ({"authorization": f"Bearer {api_key}"} if api_key else {})
        self._json_headers = {**self._headers, "content-type": "application/json"}

    async def aclose(self) -> None:
        """Closes every connection; the server aborts what was running on them."""
        await self._transport.aclose()

    async def models(self) -> list[dict[str, Any]]:
        """The entries of /v1/models."""
        status, body = await self._whole("GET", "/v1/models")
        if status != 200:
            raise complaint(status, body)
        try:
            return list(orjson.loads(body)["data"])
        except (ValueError, KeyError, TypeError) as error:
            raise UpstreamError("it does not list its models as vLLM does") from error

    async def version(self) -> str:
        """The server's version, empty if it does not tell. Raises UpstreamError if there is no answer."""
        status, body = await self._whole("GET", "/version", timeout_s=_HEALTH_TIMEOUT_S)
        try:
            return str(orjson.loads(body)["version"]) if status == 200 else ""
        except (ValueError, KeyError, TypeError):
            return ""

    async def health(self) -> None:
        """Raises UpstreamError unless the server says within two seconds that it is well."""
        status, _ = await self._whole("GET", "/health", timeout_s=_HEALTH_TIMEOUT_S)
        if status != 200:
            raise UpstreamError(f"the model server is not well (status {status})")

    async def adapter(self, verb: Literal["load", "unload"], fields: dict[str, str]) -> tuple[int, str]:
        """Loads or unloads an adapter at run time: the answer's status and what it says. Raises UpstreamError if there
        is no answer."""
        status, body = await self._whole("POST", f"/v1/{verb}_lora_adapter", orjson.dumps(fields))
        return status, words_of(body)[0]

    async def open(self, target: Target, body: bytes) -> Reply:
        """An answer with status 200, its body still to be read. Whoever has it closes it, which aborts the
        generation."""
        # vLLM makes this the answer's id: of the length that its own ids have.
        headers = {**self._json_headers, "x-request-id": uuid.uuid4().hex[:16]}
        reply = await self._transport.send("POST", self.url + _PATHS[target], headers=headers, body=body)
        if reply.status == 200:
            return reply
        try:
            raise complaint(reply.status, await reply.read())
        finally:
            await reply.aclose()

    @asynccontextmanager
    async def post(self, target: Target, body: bytes) -> AsyncIterator[Reply]:
        """As `open`; leaving the context closes it."""
        reply = await self.open(target, body)
        try:
            yield reply
        finally:
            await reply.aclose()

    async def count_tokens(self, body: bytes) -> bytes:
        """What the server says of the tokens of messages in Anthropic's format. Raises AnswerError."""
        status, said = await self._whole("POST", _COUNT_PATH, body)
        if status != 200:
            raise complaint(status, said)
        return said

    async def _whole(
        self, method: str, path: str, body: bytes = b"", *, timeout_s: float | None = None
    ) -> tuple[int, bytes]:
        headers = self._json_headers if body else self._headers
        reply = await self._transport.send(method, self.url + path, headers=headers, body=body, timeout_s=timeout_s)
        try:
            return reply.status, await reply.read()
        finally:
            await reply.aclose()
