"""Puts the server together: settings in, an ASGI application out."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.backends.base import Backend, Starting
from gateway.errors import AnswerError, SetupError, UnknownPath, WrongMethod
from gateway.openai_format.responses.store import ResponseStore
from gateway.pipeline import Pipeline
from gateway.screening.batching import BatchedScreen
from gateway.screening.reload import PackReloader
from gateway.server.assembly import build_experiment, build_parts
from gateway.server.auth import Access
from gateway.server.edge import REQUEST_ID, Edge
from gateway.server.pace import Pace
from gateway.server.process import pending_beside
from gateway.server.prompts import Prompts
from gateway.server.quota import Quota
from gateway.server.routes import routes
from gateway.server.surfaces import PATHS, has_chat_template
from gateway.settings import Settings
from gateway.telemetry.audit import Audit, log_line
from gateway.telemetry.metrics import Metrics, Worker
from gateway.telemetry.spans import spans_of

__all__ = ["Application", "build_app", "create_app"]

_log = logging.getLogger("unrecall")


def build_app(settings: Settings, *, worker: Worker | None = None) -> FastAPI:
    """Loads models and packs and returns the application, or that of one `worker` among several. Raises SetupError
    before the server answers anything."""
    return create_app(settings, *build_parts(settings), worker=worker)


def create_app(
    settings: Settings,
    backend: Backend,
    packs: PackReloader,
    arms: Mapping[str, Backend] | None = None,
    *,
    worker: Worker | None = None,
) -> FastAPI:
    """The application over given parts; they are started and stopped with it.

    Args:
        settings: of the server.
        backend: answers requests; in a comparison it is the guarded arm's.
        packs: has the gate in force.
        arms: the other arms' backends by name. None: no comparison.
        worker: this process among several that serve one port. None: it is alone.
    """
    metrics = Metrics(worker)
    number = worker.number if worker else None
    pending = pending_beside(settings.audit_file)
    spans = spans_of(settings.traces)
    audit = Audit(
        log_line,
        metrics.count,
        *([spans] if spans else []),
        with_prompts=settings.audit_prompts,
        worker=number,
        must_write=settings.on_audit_error == "refuse",
        pending=pending,
    )
    experiment = build_experiment(settings, backend, arms or {}, audit, metrics)
    screen = BatchedScreen(timeout_s=settings.screen_timeout_s, threads=settings.gate_threads)
    pipeline = Pipeline(
        backend=backend,
        packs=packs,
        screen=screen,
        audit=audit,
        metrics=metrics,
        on_screen_error=settings.on_screen_error,
        comparison=experiment,
        starting=backend if settings.speculation and not experiment and isinstance(backend, Starting) else None,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if pending:
                stack.callback(pending.close)
            if spans:
                stack.push_async_callback(asyncio.to_thread, spans.close)
            await _start(stack, pipeline, experiment, screen)
            yield

    access = Access(api_keys=settings.api_keys, admin_key=settings.admin_key)
    quota = Quota(
        settings.key_requests_per_minute,
        settings.key_requests_per_day,
        shared=worker.folder / "quota" if worker else None,
    )
    pace = Pace(settings.pace, least_s=settings.equal_pace_ms / 1000)
    prompts = Prompts(
        pipeline,
        access,
        settings.limits,
        settings.unknown_fields,
        quota,
        pace=pace,
        client_timeout_s=settings.client_timeout_s,
        store=ResponseStore(
            of_each=settings.limits.kept_responses, size_bytes=settings.limits.kept_responses_mb * 2**20
        ),
    )
    app = Application(spans.around(prompts) if spans else prompts, settings.cors_origins, lifespan)
    others = routes(pipeline, access, metrics, audit, open_metrics=settings.metrics == "open")
    served = _served([*app.routes, *others.routes])
    app.include_router(others)
    _add_handlers(app, served)
    return app


class Application(FastAPI):
    """The framework, and a short cut around it for prompts: its layers would take longer than the rest of the way."""

    def __init__(
        self,
        prompts: ASGIApp,
        cors_origins: Sequence[str],
        lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    ) -> None:
        super().__init__(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
        cors = partial(
            CORSMiddleware,
            allow_origins=cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=[REQUEST_ID],
        )
        self.router.routes += [Route(path, prompts, methods=["POST"]) for path in PATHS]
        self._prompts = cors(prompts) if cors_origins else prompts
        if cors_origins:
            self.add_middleware(cors)
        self.add_middleware(Edge)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"].rstrip("/") in PATHS:
            await self._prompts(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


async def _start(
    stack: AsyncExitStack,
    pipeline: Pipeline,
    experiment: AbstractAsyncContextManager[Any] | None,
    screen: BatchedScreen,
) -> None:
    """Starts every part; the stack stops them in the reverse order."""
    try:
        await stack.enter_async_context(pipeline.backend)
        if experiment:
            await stack.enter_async_context(experiment)
        await pipeline.follow(pipeline.packs.gate)
        pipeline.packs.listen(pipeline.follow)
        await stack.enter_async_context(pipeline.packs)
        await stack.enter_async_context(screen)
    except (SetupError, AnswerError) as error:
        _log.error("cannot start: %s", error)
        raise
    if not pipeline.packs.gate.guards:
        _log.warning(
            "no pack is in force: nothing is guarded, and every request passes as it came; see `unrecall packs list`"
        )
    for problem in pipeline.unsupported():
        _log.warning("%s; such requests are refused", problem)
    if not has_chat_template(pipeline.backend.served.tokenizer):
        _log.warning("the model has no chat template: chats get a 400, only /v1/completions is served")


def _served(routes: Iterable[BaseRoute]) -> str:
    """Every path that is served, with its methods; HEAD goes with GET."""
    known = [route for route in routes if isinstance(route, Route | APIRoute) and "{" not in route.path]
    return ", ".join(f"{'/'.join(sorted((route.methods or set()) - {'HEAD'}))} {route.path}" for route in known)


def _add_handlers(app: FastAPI, served: str) -> None:
    app.add_exception_handler(AnswerError, _answer_error)
    app.add_exception_handler(HTTPException, partial(_unknown_path, served=served))
    app.add_exception_handler(Exception, _unexpected)


async def _answer_error(_: HttpRequest, error: Exception) -> Response:
    known = error if isinstance(error, AnswerError) else AnswerError("the gateway failed")
    return JSONResponse(known.body(), status_code=known.status, headers=known.headers)


# Paths that clients ask for and that stay closed: what to do instead.
_CLOSED = {
    "/v1/embeddings": "this gateway serves no embeddings, because no plan can make one forget; "
    "send them to an embedding server of their own"
}


async def _unknown_path(http: HttpRequest, error: Exception, *, served: str) -> Response:
    headers = dict(getattr(error, "headers", None) or {})
    if isinstance(error, HTTPException) and error.status_code == WrongMethod.status:
        allowed = ", ".join(sorted({*headers.get("Allow", "").replace(" ", "").split(","), "OPTIONS"} - {""}))
        headers = {"Allow": allowed}
        if http.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
        wrong = WrongMethod(f"{http.method} is not allowed on {http.url.path}; it takes {allowed}")
        return JSONResponse(wrong.body(), status_code=wrong.status, headers=headers)
    why = f"{http.method} {http.url.path} is not served by this gateway, which serves {served}"
    unknown = UnknownPath(_CLOSED.get(http.url.path, why))
    status = error.status_code if isinstance(error, HTTPException) else unknown.status
    return JSONResponse(unknown.body(), status_code=status, headers=headers)


async def _unexpected(http: HttpRequest, __: Exception) -> Response:
    """This one answers from outside of all middleware."""
    headers = {REQUEST_ID: http.state.request_id}
    return JSONResponse(
        AnswerError("the gateway failed; its log says why").body(), status_code=AnswerError.status, headers=headers
    )
