"""What to tell a client of an upstream's error: a body that is no answer, or an event of a stream.

The words of an upstream may quote what the model wrote. So they travel as `UpstreamRefused`, whose message is screened
as an answer is (`gateway.screening.complaints`), whether or not the request is flagged.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import orjson

from gateway.errors import AnswerError, UpstreamError, UpstreamRefused
from gateway.openai_format.decoding import objects

__all__ = ["complaint", "payloads", "streamed_complaint", "words_of"]

_Json = dict[str, Any]


def complaint(status: int, body: bytes) -> AnswerError:
    """Of an answer that is not 200. Only what is said of the request travels on."""
    if status in (401, 403):
        return UpstreamError("the model server refused the gateway's key")
    if not 400 <= status < 500:
        return UpstreamError(f"the model server failed (status {status})")
    message, param = words_of(body)
    return UpstreamRefused(status, message, param=param) if message else UpstreamRefused.without_words(status)


def streamed_complaint(event: bytes) -> AnswerError:
    """Of a server-sent event; the status stands inside."""
    said = event.partition(b"data:")[2].partition(b"\n\n")[0]
    try:
        found = orjson.loads(said)
    except ValueError:
        found = None
    return _told_in(found if isinstance(found, dict) else {})


async def payloads(data: AsyncIterator[bytes], *, stream: bool) -> AsyncGenerator[_Json, None]:
    """The JSON objects of an answer's bytes: one, or one for each server-sent event.

    Raises the complaint of an error event, and UpstreamError for what is not JSON and for a stream without its end.
    """
    async with aclosing(objects(data, stream=stream)) as found:
        async for payload in found:
            if payload.get("error"):
                raise _told_in(payload)
            yield payload


def words_of(body: bytes) -> tuple[str, str | None]:
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


def _told_in(payload: _Json) -> AnswerError:
    error = payload.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return complaint(code if isinstance(code, int) else 500, orjson.dumps(payload))
