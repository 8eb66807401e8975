"""HTTP in and out: the allow-listed paths, and nothing in them but parsing, the pipeline, and encoding."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest

from gateway.core import Answer, Endpoint, Event, Pass, Request
from gateway.errors import AnswerError, InvalidRequest, TooLarge, UpstreamError
from gateway.openai_format.encoding import AnswerEncoder, sse
from gateway.openai_format.limits import Limits
from gateway.openai_format.requests import parse_chat, parse_completion
from gateway.pipeline import Pipeline
from gateway.server.auth import Access
from gateway.telemetry.metrics import Metrics

__all__ = ["routes"]

_T = TypeVar("_T")


def routes(pipeline: Pipeline, access: Access, limits: Limits, metrics: Metrics) -> APIRouter:
    """The whole surface of the server."""
    router = APIRouter()

    @router.post("/v1/chat/completions")
    async def chat(http: HttpRequest) -> Response:
        return await answer(http, "chat")

    @router.post("/v1/completions")
    async def completions(http: HttpRequest) -> Response:
        return await answer(http, "completions")

    async def answer(http: HttpRequest, endpoint: Endpoint) -> Response:
        access.check_client(http.headers)
        body = await _body(http, limits.body_bytes)
        caller = access.caller(http.headers, http.client.host if http.client else "")
        request = replace(parse(body, endpoint), caller=caller)
        return await _respond(http, pipeline, access, request)

    def parse(body: bytes, endpoint: Endpoint) -> Request:
        request_id = uuid.uuid4().hex
        if endpoint == "chat":
            return parse_chat(body, request_id=request_id, limits=limits)
        served = pipeline.backend.served
        return parse_completion(
            body,
            request_id=request_id,
            limits=limits,
            tokenizer=served.tokenizer,
            vocabulary=served.vocabulary,
        )

    @router.get("/v1/models")
    async def models(http: HttpRequest) -> Response:
        access.check_client(http.headers)
        cards = [
            {"id": card.id, "object": "model", "created": int(time.time()), "owned_by": "unrecall"}
            for card in pipeline.backend.served.models
        ]
        return JSONResponse({"object": "list", "data": cards})

    @router.get("/healthz")
    async def healthz() -> Response:
        return JSONResponse({"alive": True})

    @router.get("/readyz")
    async def readyz(http: HttpRequest) -> Response:
        unready = await pipeline.problem()
        problems = [
            *pipeline.packs.problems.values(),
            *(await pipeline.comparison.problems() if pipeline.comparison else ()),
        ]
        body: dict[str, Any] = {"ready": unready is None, "healthy": unready is None and not problems}
        if access.may_see_inside(http.headers):
            body["problems"] = [problem for problem in (unready, *problems, *pipeline.unsupported()) if problem]
            body["packs"] = {
                scope: {"version": pack.manifest.version, "enabled": pack.enabled}
                for scope, pack in pipeline.packs.packs.items()
            }
        return JSONResponse(body, status_code=503 if unready else 200)

    @router.get("/metrics")
    async def expose(http: HttpRequest) -> Response:
        if not access.may_see_inside(http.headers):
            return Response(status_code=401)
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    return router


async def _respond(http: HttpRequest, pipeline: Pipeline, access: Access, request: Request) -> Response:
    """Errors before the first event still set the status; later ones end the stream with an error event."""
    answer, events = await _unless_disconnected(http, _begin(pipeline, request))
    headers = {"x-request-id": request.id}
    if access.is_admin(http.headers):
        headers |= _explanation(answer)
    encoder = AnswerEncoder(request, pipeline.backend.shape(request.endpoint))
    if request.stream:
        return StreamingResponse(_streamed(encoder, events), media_type="text/event-stream", headers=headers)
    async with aclosing(events):
        body = await _unless_disconnected(http, encoder.collect(events))
    return Response(body, media_type="application/json", headers=headers)


async def _begin(pipeline: Pipeline, request: Request) -> tuple[Answer, AsyncGenerator[Event, None]]:
    """The answer with its first event that says something already there: what was really done is known then."""
    answer = await pipeline.run(request)
    events = answer.events
    try:
        first = await anext(events, None)
        while first is not None and first.fallback:
            first = await anext(events, None)
    except BaseException:
        await events.aclose()
        raise
    return answer, _chained(first, events)


async def _chained(first: Event | None, rest: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    async with aclosing(rest):
        if first is not None:
            yield first
        async for event in rest:
            yield event


async def _streamed(encoder: AnswerEncoder, events: AsyncGenerator[Event, None]) -> AsyncIterator[bytes]:
    async with aclosing(events):
        try:
            async for data in encoder.stream(events):
                yield data
        except AnswerError as error:
            yield sse(error.body())
        except Exception:
            yield sse(UpstreamError("the answer broke off").body())
            raise


async def _unless_disconnected(http: HttpRequest, work: Coroutine[Any, Any, _T]) -> _T:
    """Runs the work, cancelling it once the client is gone: nobody pays for an answer that nobody reads."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(http))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(http: HttpRequest) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass


async def _body(http: HttpRequest, limit: int) -> bytes:
    """The body, read no further than the limit."""
    if int(http.headers.get("content-length") or 0) > limit:
        raise TooLarge(f"the request body is larger than {limit} bytes")
    body = bytearray()
    try:
        async for part in http.stream():
            body += part
            if len(body) > limit:
                raise TooLarge(f"the request body is larger than {limit} bytes")
    except ClientDisconnect as error:
        raise InvalidRequest("the client went away before the body was complete") from error
    return bytes(body)


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
    return headers


def _header_text(text: str) -> str:
    """A header holds one line of Latin letters."""
    return " ".join(text.split()).encode("ascii", "replace").decode("ascii")
