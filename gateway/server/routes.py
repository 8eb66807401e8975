"""The allow-listed paths beside those that bear prompts (gateway.server.prompts)."""

import asyncio
import logging
import time
from itertools import islice
from typing import Any

import orjson
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from starlette.requests import Request as HttpRequest

from gateway.backends.base import ModelCard
from gateway.errors import Unauthorized, UnknownModel
from gateway.openai_format.openapi import openapi
from gateway.pipeline import Pipeline
from gateway.server.auth import SEND_ADMIN_KEY, Access
from gateway.telemetry.audit import Audit
from gateway.telemetry.metrics import Metrics

__all__ = ["routes"]

_log = logging.getLogger("unrecall")
_GET = ["GET", "HEAD"]
_SHOWN = 100  # packs and problems on /readyz; the log has all


def routes(
    pipeline: Pipeline, access: Access, metrics: Metrics, audit: Audit, *, open_metrics: bool = False
) -> APIRouter:
    """The surface of the server beside the paths that bear prompts.

    Args:
        pipeline: has the models, the packs in force and their problems.
        access: who may ask, and who may look inside.
        metrics: what /metrics shows.
        audit: /readyz says whether it can be written.
        open_metrics: whether everybody sees those that tell of no scope.
    """
    router = APIRouter()
    _add_models(router, pipeline, access)
    _add_description(router)
    _add_readiness(router, pipeline, access, audit)
    _add_metrics(router, access, metrics, open_metrics=open_metrics)
    return router


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


def _add_description(router: APIRouter) -> None:
    """What the server takes and gives, for client generators."""
    described = orjson.dumps(openapi())

    @router.api_route("/openapi.json", methods=_GET)
    async def description() -> Response:
        return Response(described, media_type="application/json")


def _add_readiness(router: APIRouter, pipeline: Pipeline, access: Access, audit: Audit) -> None:
    """For what watches the server, which learns no more than whether it can answer. The operator learns why not."""
    told: list[str | None] = [None]

    @router.api_route("/healthz", methods=_GET)
    async def healthz() -> Response:
        return JSONResponse({"alive": True})

    @router.api_route("/readyz", methods=_GET)
    async def readyz(http: HttpRequest) -> Response:
        unready = await pipeline.problem()
        if unready != told[0]:
            told[0] = unready
            _log.warning("not ready: %s", unready) if unready else _log.info("ready again")
        body: dict[str, Any] = {"ready": unready is None}
        if access.is_admin(http.headers):
            body |= await _insights(pipeline, audit, unready)
        return JSONResponse(body, status_code=503 if unready else 200)


async def _insights(pipeline: Pipeline, audit: Audit, unready: str | None) -> dict[str, Any]:
    """For the operator: what is wrong, and which packs are in force."""
    unwritten = audit.problem()
    problems = [
        *([unwritten] if unwritten else ()),
        *pipeline.backend.concerns,
        *islice(pipeline.packs.problems.values(), _SHOWN),
        *(await pipeline.comparison.problems() if pipeline.comparison else ()),
    ]
    packs, faults = pipeline.packs.packs, pipeline.packs.problems
    return {
        "healthy": unready is None and not problems,
        "problems": [problem for problem in (unready, *problems, *pipeline.unsupported()) if problem],
        "packs": {
            scope: {"version": pack.version, "enabled": pack.enabled, "whole": scope not in faults}
            for scope, pack in islice(packs.items(), _SHOWN)
        },
        "packs_in_all": len(packs),
    }


def _add_metrics(router: APIRouter, access: Access, metrics: Metrics, *, open_metrics: bool) -> None:
    @router.api_route("/metrics", methods=_GET)
    async def expose(http: HttpRequest) -> Response:
        admin = access.is_admin(http.headers)
        if not admin and not open_metrics:
            raise Unauthorized(f"/metrics is for the operator: {SEND_ADMIN_KEY}")
        text = await asyncio.to_thread(metrics.text if admin else metrics.open_text)
        return Response(text, media_type="text/plain; version=0.0.4")
