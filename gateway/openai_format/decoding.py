"""An upstream's answer, whole or streamed, as chunks."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import orjson

from gateway.core import Chunk, Delta, Request, TokenLogprob, Usage
from gateway.errors import UpstreamError

__all__ = ["DONE", "chunks_of", "objects", "payloads"]

Json = dict[str, Any]

DONE = b"data: [DONE]"


async def payloads(response: httpx.Response, *, stream: bool) -> AsyncGenerator[Json, None]:
    """The JSON objects of an answer: one, or one for each server-sent event.

    Raises UpstreamError for an error event, for what is not JSON, and for a stream without its [DONE].
    """
    async with aclosing(objects(response, stream=stream)) as found:
        async for payload in found:
            if "error" in payload:
                raise UpstreamError("the model server failed while it answered")
            yield payload


async def objects(response: httpx.Response, *, stream: bool) -> AsyncGenerator[Json, None]:
    """As `payloads`, error events among them."""
    if not stream:
        yield _object(await response.aread())
        return
    async for line in _lines(response.aiter_bytes()):
        if line == DONE:
            return
        if line.startswith(b"data:"):
            yield _object(line[len(b"data:") :])
    raise UpstreamError("the model server broke off its answer")


def chunks_of(payload: Json, request: Request, prompt_tokens: int) -> list[Chunk]:
    """A delta for each choice, then the usage if the payload has it, `prompt_tokens` in place of its own.

    The payload may come from another endpoint than the client asked; it is put in terms of the latter.
    """
    chunks: list[Chunk] = []
    try:
        for choice in payload["choices"]:
            if not _opens(choice):
                chunks.append(_delta(choice, request))
        if usage := payload.get("usage"):
            chunks.append(Usage(prompt_tokens, int(usage["completion_tokens"])))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UpstreamError("the model server's answer has an unknown shape") from error
    return chunks


async def _lines(data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines as server-sent events have them. (httpx would also break at U+2028, which may stand in JSON.)"""
    rest = b""
    async for piece in data:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.rstrip(b"\r")
    yield rest


def _object(data: bytes) -> Json:
    try:
        payload = orjson.loads(data)
    except ValueError as error:
        raise UpstreamError("the model server's answer is not JSON") from error
    if not isinstance(payload, dict):
        raise UpstreamError("the model server's answer is not an object")
    return payload


def _opens(choice: Json) -> bool:
    """Whether this is the event that only names the role; the gateway writes its own."""
    delta = choice.get("delta") or {}
    return "role" in delta and not delta.get("content") and choice["finish_reason"] is None


def _delta(choice: Json, request: Request) -> Delta:
    text = choice["text"] if "text" in choice else _message(choice).get("content")
    return Delta(
        int(choice["index"]),
        text or "",
        _logprobs(choice.get("logprobs"), request),
        choice["finish_reason"],
        choice.get("stop_reason"),
    )


def _message(choice: Json) -> Json:
    message: Json = choice["delta"] if "delta" in choice else choice["message"]
    return message


def _logprobs(found: Json | None, request: Request) -> tuple[TokenLogprob, ...]:
    """From either endpoint's layout. Alternatives keep vLLM's order: the token itself, then the likeliest.

    Where the token is not among the likeliest, /v1/completions has one alternative more than a chat.
    """
    count = request.sampling.logprobs
    if not found or count is None:
        return ()
    if "content" in found:
        return tuple(
            TokenLogprob(t["token"], t["logprob"], tuple((o["token"], o["logprob"]) for o in t["top_logprobs"]))
            for t in found["content"]
        )
    kept = count if request.endpoint == "chat" else count + 1
    rows = zip(found["tokens"], found["token_logprobs"], found["top_logprobs"], strict=True)
    return tuple(TokenLogprob(token, logprob, tuple((top or {}).items())[:kept]) for token, logprob, top in rows)
