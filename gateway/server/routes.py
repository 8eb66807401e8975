"""HTTP in and out: the allow-listed paths, and nothing in them but parsing, the pipeline, and encoding."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar, cast

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest

from gateway.core import Answer, Chunk, Endpoint, Pass, Request
from gateway.errors import AnswerError, InvalidRequest, TooLarge, UpstreamError
from gateway.openai_format.cleaning import UnknownFields
from gateway.openai_format.encoding import Wire, event
from gateway.openai_format.requests import Limits, parse_chat, parse_completion
from gateway.pipeline import Pipeline
from gateway.server.auth import Access
from gateway.telemetry.metrics import Metrics

__all__ = ["routes"]

_T = TypeVar("_T")


def routes(
    pipeline: Pipeline, access: Access, limits: Limits, metrics: Metrics, unknown: UnknownFields = "refuse"
) -> APIRouter:
    """The whole surface of the server.

    Args:
        pipeline: answers a parsed request.
        access: who may ask.
        limits: what one request may ask for.
        metrics: what /metrics shows.
        unknown: what becomes of request fields that the gateway does not know.
    """
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
            return parse_chat(body, request_id=request_id, limits=limits, unknown=unknown)
        served = pipeline.backend.served
        return parse_completion(
            body,
            request_id=request_id,
            limits=limits,
            tokenizer=served.tokenizer,
            vocabulary=served.vocabulary,
            unknown=unknown,
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
        trouble = await pipeline.trouble()
        problems = [*pipeline.roster.troubles.values(), *await pipeline.experiment.troubles()]
        body: dict[str, Any] = {"ready": trouble is None, "healthy": trouble is None and not problems}
        if access.may_see_inside(http.headers):
            cannot = [f"{what}: {why}" for what, why in pipeline.backend.served.cannot.items() if what[0].isupper()]
            body["problems"] = [problem for problem in (trouble, *problems, *cannot) if problem]
            body["packs"] = {
                scope: {"version": pack.manifest.version, "enabled": pack.enabled}
                for scope, pack in pipeline.roster.packs.items()
            }
        return JSONResponse(body, status_code=503 if trouble else 200)

    @router.get("/metrics")
    async def expose(http: HttpRequest) -> Response:
        if not access.may_see_inside(http.headers):
            return Response(status_code=401)
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    return router


async def _respond(http: HttpRequest, pipeline: Pipeline, access: Access, request: Request) -> Response:
    """Errors before the first chunk still set the status; later ones end the stream with an error event."""
    outcome = await _unless_disconnected(http, _begin(pipeline, request))
    answer, chunks = outcome
    headers = {"x-request-id": request.id}
    if access.is_admin(http.headers):
        headers |= _explanation(answer)
    wire = Wire(request, pipeline.backend.shape(request.endpoint))
    if request.stream:
        return StreamingResponse(_events(wire, chunks), media_type="text/event-stream", headers=headers)
    async with aclosing(chunks):
        body = await _unless_disconnected(http, wire.collect(chunks))
    return Response(body, media_type="application/json", headers=headers)


async def _begin(pipeline: Pipeline, request: Request) -> tuple[Answer, AsyncGenerator[Chunk, None]]:
    """The answer with its first chunk already there."""
    answer = await pipeline.run(request)
    chunks = cast("AsyncGenerator[Chunk, None]", answer.chunks)
    try:
        first = await anext(chunks, None)
    except BaseException:
        await chunks.aclose()
        raise
    return answer, _chained(first, chunks)


async def _chained(first: Chunk | None, rest: AsyncGenerator[Chunk, None]) -> AsyncGenerator[Chunk, None]:
    async with aclosing(rest):
        if first is not None:
            yield first
        async for chunk in rest:
            yield chunk


async def _events(wire: Wire, chunks: AsyncGenerator[Chunk, None]) -> AsyncIterator[bytes]:
    async with aclosing(chunks):
        try:
            async for data in wire.stream(chunks):
                yield data
        except AnswerError as error:
            yield event(error.body())
        except Exception:
            yield event(UpstreamError("the answer broke off").body())
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
    matched = [finding for finding in answer.findings if finding.matched]
    return {
        "x-unrecall-plan": type(answer.plan).__name__,
        "x-unrecall-flagged": str(not isinstance(answer.plan, Pass)).lower(),
        "x-unrecall-scopes": ",".join(sorted({finding.scope for finding in matched})),
        "x-unrecall-detectors": ",".join(sorted({finding.detector for finding in matched})),
    }
