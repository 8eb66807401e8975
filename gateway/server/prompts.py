"""The paths that bear prompts: from bytes to a parsed request, through the pipeline, and back to bytes.

Nearly all traffic takes these paths, so they are an ASGI application of their own, without a framework in front.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager

import orjson
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from gateway.core import Answer, Event, Pass, Request
from gateway.errors import (
    AnswerError,
    InvalidRequest,
    ModelError,
    NotReady,
    TooLarge,
    TooSlow,
    UpstreamError,
    WrongMedia,
)
from gateway.openai_format.cleaning import UnknownFields
from gateway.openai_format.limits import Limits
from gateway.openai_format.responses.store import ResponseStore
from gateway.pipeline import Pipeline
from gateway.server.auth import Access
from gateway.server.exchange import Departure, Writer
from gateway.server.pace import Pace, Schedule, read_ahead
from gateway.server.quota import Quota
from gateway.server.surfaces import PATHS, Encoder, Surfaces, error_body

__all__ = ["Prompts"]

_log = logging.getLogger("unrecall")
_STOPS = NotReady("the gateway stops; ask again in a moment")
_EVENT, _END = b"data: ", b"\n\n"
# In a text the quotes would be escaped.
_ROLE, _NO_WORDS, _FINISHED = b'"role":"assistant"', b'"content":""', b'"finish_reason":"'


class Prompts:
    """An ASGI application that answers a POST on one of `PATHS`, with an id of the gateway's own."""

    def __init__(
        self,
        pipeline: Pipeline,
        access: Access,
        limits: Limits,
        unknown: UnknownFields = "refuse",
        quota: Quota | None = None,
        *,
        pace: Pace | None = None,
        client_timeout_s: float = 60.0,
        store: ResponseStore | None = None,
    ) -> None:
        """
        Args:
            pipeline: answers a parsed request.
            access: who may ask.
            limits: what one request may ask for.
            unknown: what becomes of request fields that the gateway does not know.
            quota: how many requests each caller may send. None: any number.
            pace: when answers begin and go on.
            client_timeout_s: how long a body may take.
            store: keeps responses that a next request may follow. None: none is kept.
        """
        self._pipeline = pipeline
        self._access = access
        self._limits = limits
        self._surfaces = Surfaces(pipeline, limits, unknown, store or ResponseStore(of_each=0, size_bytes=0))
        self._pace = pace or Pace()
        self._quota = quota
        self._client_timeout_s = client_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. An error before the first event sets the status; a later one ends the stream with an error
        event."""
        arrived = time.perf_counter()
        writer = Writer(send, request_id=uuid.uuid4().hex)
        surface = PATHS[scope["path"].rstrip("/")]
        try:
            headers = Headers(scope=scope)
            caller = self._caller(headers, scope)
            _check_media(headers)
            body = await self._body(headers, receive)
            request = self._surfaces.parsed(surface, body, request_id=writer.request_id, caller=caller)
            async with Departure(receive):
                if surface == "count_tokens":
                    await writer.whole(await self._pipeline.count_tokens(request), headers={})
                else:
                    await self._answer(request, writer, arrived, explain=self._access.is_admin(headers))
            await writer.end()
        except asyncio.CancelledError:  # a server that stops has waited long enough; nobody else cancels here
            if not writer.begun:
                body = orjson.dumps(error_body(_STOPS, surface))
                await writer.whole(body, status=_STOPS.status, headers=_STOPS.headers)
            await writer.end()
        except Exception as error:
            if writer.begun:
                raise
            await self._pace.held(arrived)
            known = _told(error, writer.request_id)
            await writer.whole(orjson.dumps(error_body(known, surface)), status=known.status, headers=known.headers)
            if not isinstance(error, AnswerError | ModelError):
                raise

    def _caller(self, headers: Headers, scope: Scope) -> str:
        """Who asks. Raises Unauthorized, RateExceeded or QuotaUsed."""
        self._access.check_client(headers)
        caller = self._access.caller(headers, scope["client"][0] if scope.get("client") else "")
        if self._quota:
            self._quota.take(caller)
        return caller

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        try:
            async with asyncio.timeout(self._client_timeout_s):
                return await _body(headers, receive, self._limits.body_bytes)
        except TimeoutError as error:
            raise TooSlow(f"the body did not come within {self._client_timeout_s:g} s") from error

    async def _answer(self, request: Request, writer: Writer, arrived: float, *, explain: bool) -> None:
        """Runs the pipeline and writes what comes of it."""
        encoder = self._surfaces.encoder(request)
        answer = await self._pipeline.run(request)
        async with aclosing(answer.events):
            first = await _first(answer, encoder)
            body = None if request.stream else await encoder.collect(answer.events, first)
            size = None if body is None else len(body)
            times = self._pace.schedule(request, arrived, done=answer.account.done, body_bytes=size)
            headers = _explanation(answer) if explain else {}
            if body is not None:
                await times.begun()
                await writer.whole(body, headers=headers)
            elif self._pace.equal:
                async with read_ahead(_all(first, answer.events)) as events:
                    await times.begun()
                    await writer.start(headers)
                    async with _told_in_stream(writer, encoder):
                        await _singly(events, encoder, writer, times)
            else:
                await times.begun()
                await writer.start(headers)
                async with _told_in_stream(writer, encoder):
                    await _stream(_all(first, answer.events), request.sampling.n, encoder, writer, times)


def _check_media(headers: Mapping[str, str]) -> None:
    """Raises WrongMedia unless the body is declared as plain JSON. A browser must ask before it sends such a request to
    another site, so that no web page reaches an open gateway."""
    encodings = {coding.strip().lower() for coding in headers.get("content-encoding", "").split(",")}
    if encodings - {"", "identity"}:
        raise WrongMedia("the body is compressed; send it plain, without content-encoding")
    kind, _, parameters = headers.get("content-type", "").lower().partition(";")
    charset = parameters.partition("charset=")[2].strip(' "')
    if kind.strip() != "application/json" or charset not in ("", "utf-8", "utf8"):
        raise WrongMedia("send the body as JSON in UTF-8, with 'content-type: application/json'")


async def _body(headers: Mapping[str, str], receive: Receive, limit: int) -> bytes:
    """The body, read no further than the limit."""
    declared = headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit()):
        raise InvalidRequest("the content-length header must be a whole number")
    if len(declared) > 18 or int(declared) > limit:
        raise TooLarge(f"the request body is larger than {limit} bytes")
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("the client went away before the body was complete")
        body += message.get("body", b"")
        if len(body) > limit:
            raise TooLarge(f"the request body is larger than {limit} bytes")
        if not message.get("more_body", False):
            return bytes(body)


async def _first(answer: Answer, encoder: Encoder) -> Event | None:
    """The first event that says something: once it is there, it is known what was really done. The encoder is told of
    those before it."""
    async for event in answer.events:
        if event.data is not None or event.parts:
            return event
        encoder.encode(event)
    return None


async def _stream(
    events: AsyncIterator[Event], choices: int, encoder: Encoder, writer: Writer, times: Schedule
) -> None:
    """Each event as it comes. What names the role alone goes with the first words, and what follows the last ones with
    them: upstreams write these apart or together, as it happens, and would so tell their own answers from others."""
    held, ends, begun = b"", 0, False
    async for event in events:
        if data := encoder.encode(event):
            times.came(time.perf_counter(), data.count(_EVENT) if begun else 0)
            if begun:
                await times.next()
            held += data
            ends += data.count(_FINISHED)
            begun = begun or not _names_the_role(data)
            if begun and ends < choices:
                await writer.write(held)
                held = b""
    await writer.write(held + encoder.ending())


def _names_the_role(data: bytes) -> bool:
    return data.count(_EVENT) == 1 and _ROLE in data and _NO_WORDS in data


async def _singly(
    events: AsyncIterator[tuple[Event, float]], encoder: Encoder, writer: Writer, times: Schedule
) -> None:
    """Each event alone and at its time, however many came at once."""
    begun = False
    rest = b""
    async for event, at in events:
        data = encoder.encode(event)
        times.came(at, data.count(_EVENT))
        *pieces, rest = (rest + data).split(_END)
        for piece in pieces:
            if begun:
                await times.next()
            begun = True
            await writer.write(piece + _END)
    if ending := rest + encoder.ending():
        await times.next()  # a passing answer's end is one of its upstream's pieces
        await writer.write(ending)


async def _all(first: Event | None, others: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    if first is not None:
        yield first
    async for event in others:
        yield event


@asynccontextmanager
async def _told_in_stream(writer: Writer, encoder: Encoder) -> AsyncIterator[None]:
    """An error that comes after the head is an event of the stream."""
    try:
        yield
    except AnswerError as error:
        await writer.write(encoder.failed(error))
    except asyncio.CancelledError:
        await writer.write(encoder.failed(_STOPS))
        raise
    except Exception:
        await writer.write(encoder.failed(UpstreamError("the answer broke off")))
        raise


def _told(error: Exception, request_id: str) -> AnswerError:
    """What the client is told of an error."""
    if isinstance(error, AnswerError):
        return error
    if isinstance(error, ModelError):
        _log.error("%s: %s", request_id, error)
        return InvalidRequest(str(error))
    return AnswerError("the gateway failed; its log says why")


def _explanation(answer: Answer) -> dict[str, str]:
    """For the operator: what was really done, and why."""
    matched = answer.screening.matched
    headers = {
        "x-unrecall-plan": answer.account.done,
        "x-unrecall-flagged": str(not isinstance(answer.plan, Pass)).lower(),
        "x-unrecall-scopes": ",".join(answer.screening.scopes),
        "x-unrecall-detectors": ",".join(sorted({finding.detector for finding in matched})),
    }
    if answer.account.fallback:
        headers["x-unrecall-decided-plan"] = answer.plan.name
        headers["x-unrecall-fallback"] = _header_text(answer.account.fallback)
    if answer.screening.error is not None:
        headers["x-unrecall-screen-error"] = _header_text(answer.screening.error)
    return headers


def _header_text(text: str) -> str:
    """A header holds one line of Latin letters."""
    return " ".join(text.split()).encode("ascii", "replace").decode("ascii")
