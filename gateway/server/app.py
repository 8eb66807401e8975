"""Puts the server together: settings in, an ASGI application out."""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from gateway.backends.base import Backend
from gateway.errors import AnswerError, InvalidRequest, ModelError, SetupError, UnknownPath, WrongMethod
from gateway.pipeline import Pipeline
from gateway.screening.batching import BatchedScreen
from gateway.screening.reload import PackReloader
from gateway.server.assembly import build_experiment, build_parts
from gateway.server.auth import Access
from gateway.server.edge import REQUEST_ID, Edge
from gateway.server.routes import has_chat_template, routes
from gateway.settings import Settings
from gateway.telemetry.audit import Audit, log_line
from gateway.telemetry.metrics import Metrics, Worker

__all__ = ["build_app", "create_app"]

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
    audit = Audit(log_line, metrics.count, with_prompts=settings.audit_prompts, worker=number)
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
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await _start(stack, pipeline, experiment, screen)
            yield

    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    access = Access(api_keys=settings.api_keys, admin_key=settings.admin_key)
    app.include_router(routes(pipeline, access, settings.limits, metrics, settings.unknown_fields))
    _add_handlers(app, settings.cors_origins)
    return app


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
    for problem in pipeline.unsupported():
        _log.warning("%s; such requests are refused", problem)
    if not has_chat_template(pipeline.backend.served.tokenizer):
        _log.warning("the model has no chat template: chats get a 400, only /v1/completions is served")


def _add_handlers(app: FastAPI, cors_origins: Sequence[str]) -> None:
    app.add_exception_handler(AnswerError, _answer_error)
    app.add_exception_handler(HTTPException, _unknown_path)
    app.add_exception_handler(ClientDisconnect, _nobody_there)
    app.add_exception_handler(ModelError, _unusable_model)
    app.add_exception_handler(Exception, _unexpected)
    if cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=[REQUEST_ID],
        )
    app.add_middleware(Edge)


async def _answer_error(_: HttpRequest, error: Exception) -> Response:
    known = error if isinstance(error, AnswerError) else AnswerError("the gateway failed")
    return JSONResponse(known.body(), status_code=known.status, headers=known.headers)


async def _unknown_path(http: HttpRequest, error: Exception) -> Response:
    headers = dict(getattr(error, "headers", None) or {})
    if isinstance(error, HTTPException) and error.status_code == WrongMethod.status:
        allowed = ", ".join(sorted({*headers.get("Allow", "").replace(" ", "").split(","), "OPTIONS"} - {""}))
        headers = {"Allow": allowed}
        if http.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
        wrong = WrongMethod(f"{http.method} is not allowed on {http.url.path}; it takes {allowed}")
        return JSONResponse(wrong.body(), status_code=wrong.status, headers=headers)
    unknown = UnknownPath(f"{http.method} {http.url.path} is not served by this gateway")
    status = error.status_code if isinstance(error, HTTPException) else unknown.status
    return JSONResponse(unknown.body(), status_code=status, headers=headers)


async def _unusable_model(http: HttpRequest, error: Exception) -> Response:
    _log.error("%s: %s", http.state.request_id, error)
    return await _answer_error(http, InvalidRequest(str(error)))


async def _nobody_there(_: HttpRequest, __: Exception) -> Response:
    return Response(status_code=499)


async def _unexpected(http: HttpRequest, __: Exception) -> Response:
    """This one answers from outside of all middleware."""
    headers = {REQUEST_ID: http.state.request_id}
    return JSONResponse(
        AnswerError("the gateway failed; its log says why").body(), status_code=AnswerError.status, headers=headers
    )
