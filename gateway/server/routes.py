"""HTTP in and out: the allow-listed paths. A path parses, runs the pipeline, and encodes."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from contextlib import aclosing
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest

from gateway.backends.base import ModelCard
from gateway.core import Answer, Endpoint, Event, Pass, Request
from gateway.errors import AnswerError, InvalidRequest, TooLarge, Unauthorized, UnknownModel, UpstreamError, WrongMedia
from gateway.openai_format.cleaning import UnknownFields
from gateway.openai_format.encoding import AnswerEncoder, sse
from gateway.openai_format.limits import Limits
from gateway.openai_format.requests import parse_chat, parse_completion
from gateway.pipeline import Pipeline
from gateway.prompts.rendering import Tokenizer
from gateway.server.auth import ADMIN_HEADER, Access
from gateway.telemetry.metrics import Metrics

__all__ = ["NO_CHAT_TEMPLATE", "has_chat_template", "routes"]

_T = TypeVar("_T")
_GET = ["GET", "HEAD"]
_SHOWN = 100  # packs and problems on /readyz; the log has all
NO_CHAT_TEMPLATE = "this model has no chat template, so that it takes no messages; send a prompt to /v1/completions"


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
    _add_prompts(router, pipeline, access, limits, unknown)
    _add_models(router, pipeline, access)
    _add_insights(router, pipeline, access, metrics)
    return router


def _add_prompts(router: APIRouter, pipeline: Pipeline, access: Access, limits: Limits, unknown: UnknownFields) -> None:
    """The two paths that bear prompts."""

    @router.post("/v1/chat/completions")
    async def chat(http: HttpRequest) -> Response:
        return await answer(http, "chat")

    @router.post("/v1/completions")
    async def completions(http: HttpRequest) -> Response:
        return await answer(http, "completions")

    async def answer(http: HttpRequest, endpoint: Endpoint) -> Response:
        access.check_client(http.headers)
        _check_media(http.headers)
        body = await _body(http, limits.body_bytes)
        caller = access.caller(http.headers, http.client.host if http.client else "")
        request = replace(parse(body, endpoint, http.state.request_id), caller=caller)
        return await _respond(http, pipeline, access, request)

    def parse(body: bytes, endpoint: Endpoint, request_id: str) -> Request:
        served = pipeline.backend.served
        if endpoint == "chat":
            request = parse_chat(body, request_id=request_id, limits=limits, unknown=unknown)
            if not has_chat_template(served.tokenizer):
                raise InvalidRequest(NO_CHAT_TEMPLATE, param="messages")
            return request
        return parse_completion(
            body,
            request_id=request_id,
            limits=limits,
            tokenizer=served.tokenizer,
            vocabulary=served.vocabulary,
            unknown=unknown,
        )


def _add_models(router: APIRouter, pipeline: Pipeline, access: Access) -> None:
    """The models that clients may name; adapters are never among them."""
    started = int(time.time())

    def card(model: ModelCard) -> dict[str, Any]:
        return {"id": model.id, "object": "model", "created": started, "owned_by": "unrecall"}

    @router.api_route("/v1/models", methods=_GET)
    async def models(http: HttpRequest) -> Response:
        access.check_client(http.headers)
        return JSONResponse({"object": "list", "data": [card(model) for model in pipeline.backend.served.models]})

    @router.api_route("/v1/models/{name:path}", methods=_GET)
    async def model(http: HttpRequest, name: str) -> Response:
        access.check_client(http.headers)
        found = next((model for model in pipeline.backend.served.models if model.id == name), None)
        if found is None:
            raise UnknownModel(f"the model {name!r} is not served here; /v1/models lists what is", param="model")
        return JSONResponse(card(found))


def _add_insights(router: APIRouter, pipeline: Pipeline, access: Access, metrics: Metrics) -> None:
    """For the operator, and for what watches the server."""

    @router.api_route("/healthz", methods=_GET)
    async def healthz() -> Response:
        return JSONResponse({"alive": True})

    @router.api_route("/readyz", methods=_GET)
    async def readyz(http: HttpRequest) -> Response:
        unready = await pipeline.problem()
        problems = [
            *islice(pipeline.packs.problems.values(), _SHOWN),
            *(await pipeline.comparison.problems() if pipeline.comparison else ()),
        ]
        body: dict[str, Any] = {"ready": unready is None, "healthy": unready is None and not problems}
        if access.may_see_inside(http.headers):
            body["problems"] = [problem for problem in (unready, *problems, *pipeline.unsupported()) if problem]
            packs = pipeline.packs.packs
            body["packs"] = {
                scope: {"version": pack.version, "enabled": pack.enabled}
                for scope, pack in islice(packs.items(), _SHOWN)
            }
            body["packs_in_all"] = len(packs)
        return JSONResponse(body, status_code=503 if unready else 200)

    @router.api_route("/metrics", methods=_GET)
    async def expose(http: HttpRequest) -> Response:
        if not access.may_see_inside(http.headers):
            raise Unauthorized(f"the admin key is needed: send it in {ADMIN_HEADER}")
        return Response(await asyncio.to_thread(metrics.text), media_type="text/plain; version=0.0.4")


def has_chat_template(tokenizer: Tokenizer) -> bool:
    """False for the tokenizer of a base model, for example."""
    return bool(getattr(tokenizer, "chat_template", True))


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


async def _respond(http: HttpRequest, pipeline: Pipeline, access: Access, request: Request) -> Response:
    """Answers a request. An error before the first event sets the status; a later one ends the stream with an error
    event."""
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
    """The answer, once its first event that says something is there: then it is known what was really done."""
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
    """Runs the work, and cancels it once the client is gone: nobody would read the answer."""
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
    declared = http.headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit()):
        raise InvalidRequest("the content-length header must be a whole number")
    if len(declared) > 18 or int(declared) > limit:
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
    if answer.screening.error is not None:
        headers["x-unrecall-screen-error"] = _header_text(answer.screening.error)
    return headers


def _header_text(text: str) -> str:
    """A header holds one line of Latin letters."""
    return " ".join(text.split()).encode("ascii", "replace").decode("ascii")
