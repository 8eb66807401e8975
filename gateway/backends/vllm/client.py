"""HTTP to one upstream model server: a connection pool, its time limits, and its faults as our errors."""

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal

import httpx
import orjson

from gateway.core import Endpoint
from gateway.errors import AnswerError, UpstreamError, UpstreamRefused, UpstreamTimeout

__all__ = ["Upstream", "complaint", "streamed_complaint"]

_PATHS: dict[Endpoint, str] = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}
_HEALTH_TIMEOUT_S = 2
# vLLM hangs up on an idle connection after 5 s; a request sent into that moment would fail.
_KEEPALIVE_S = 2


class Upstream:
    """The requests that the gateway sends. None carries a header of the client's."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None,
        connect_timeout_s: float,
        read_timeout_s: float,
        max_connections: int,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        """
        Args:
            url: the server's base URL, without /v1.
            api_key: the bearer key that it asks for.
            connect_timeout_s: the longest time to connect.
            read_timeout_s: the longest time without a byte.
            max_connections: how many are open at once.
            transport: in place of the network, for tests.
        """
        self.url = url.rstrip("/")
        self._client = httpx.AsyncClient(
            base_url=self.url,
            headers={"accept-encoding": "identity"} | ({"authorization": f"Bearer {api_key}"} if api_key else {}),
            timeout=httpx.Timeout(read_timeout_s, connect=connect_timeout_s),
            limits=httpx.Limits(
                max_connections=max_connections,
                max_keepalive_connections=max_connections,
                keepalive_expiry=_KEEPALIVE_S,
            ),
            transport=transport,
            trust_env=False,  # prompts must not take the detour of somebody's HTTP_PROXY
        )

    async def aclose(self) -> None:
        """Closes every connection; the server aborts what was running on them."""
        await self._client.aclose()

    async def models(self) -> list[dict[str, Any]]:
        """The entries of /v1/models."""
        with _faults():
            response = await self._client.get("/v1/models")
        if response.status_code != 200:
            raise complaint(response.status_code, response.content)
        try:
            return list(orjson.loads(response.content)["data"])
        except (ValueError, KeyError, TypeError) as error:
            raise UpstreamError("it does not list its models as vLLM does") from error

    async def health(self) -> None:
        """Raises UpstreamError unless the server says within two seconds that it is well."""
        with _faults():
            response = await self._client.get("/health", timeout=_HEALTH_TIMEOUT_S)
        if response.status_code != 200:
            raise UpstreamError(f"the model server is not well (status {response.status_code})")

    async def adapter(self, verb: Literal["load", "unload"], fields: dict[str, str]) -> tuple[int, str]:
        """Loads or unloads an adapter at run time: the answer's status and what it says. Raises UpstreamError if there
        is no answer."""
        with _faults():
            response = await self._client.post(f"/v1/{verb}_lora_adapter", json=fields)
        return response.status_code, _words(response.content)[0]

    @asynccontextmanager
    async def post(self, endpoint: Endpoint, body: bytes) -> AsyncIterator[httpx.Response]:
        """An answer with status 200, its body still to be read. Leaving the context aborts the generation."""
        # vLLM makes this the answer's id: of the length that its own ids have.
        headers = {"content-type": "application/json", "x-request-id": uuid.uuid4().hex[:16]}
        with _faults():
            async with self._client.stream("POST", _PATHS[endpoint], content=body, headers=headers) as response:
                if response.status_code != 200:
                    raise complaint(response.status_code, await response.aread())
                yield response


def complaint(status: int, body: bytes) -> AnswerError:
    """What to tell the client of an answer that is not 200. Only a complaint about the request travels on."""
    if status in (401, 403):
        return UpstreamError("the model server refused the gateway's key")
    if not 400 <= status < 500:
        return UpstreamError(f"the model server failed (status {status})")
    message, param = _words(body)
    return UpstreamRefused(status, message or f"the model server refused the request (status {status})", param=param)


def streamed_complaint(event: bytes) -> AnswerError:
    """The same, of an error that comes as the first event of a stream; its status stands inside."""
    said = event.removeprefix(b"data:").partition(b"\n\n")[0]
    try:
        code = orjson.loads(said)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        code = 500
    return complaint(code if isinstance(code, int) else 500, said)


def _words(body: bytes) -> tuple[str, str | None]:
    """Message and param, out of any of the shapes that vLLM's versions and FastAPI itself use."""
    try:
        said = orjson.loads(body)
    except ValueError:
        return "", None
    inner = said.get("error", said) if isinstance(said, dict) else said
    if not isinstance(inner, dict):
        return (inner if isinstance(inner, str) else ""), None
    message, param = inner.get("message") or inner.get("detail"), inner.get("param")
    return (message if isinstance(message, str) else ""), (param if isinstance(param, str) else None)


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except (httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise UpstreamTimeout("the model server took too long", reached=False) from error
    except httpx.TimeoutException as error:
        raise UpstreamTimeout("the model server took too long") from error
    except (httpx.ConnectError, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise UpstreamError("the model server cannot be reached", reached=False) from error
    except httpx.HTTPError as error:
        raise UpstreamError("the model server broke off its answer") from error
