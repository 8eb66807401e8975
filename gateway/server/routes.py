"""The allow-listed paths beside those that bear prompts (gateway.server.prompts)."""

import asyncio
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
from gateway.server.auth import ADMIN_HEADER, Access
from gateway.telemetry.audit import Audit
from gateway.telemetry.metrics import Metrics

__all__ = ["routes"]

_GET = ["GET", "HEAD"]
_SHOWN = 100  # packs and problems on /readyz; the log has all


def routes(pipeline: Pipeline, access: Access, metrics: Metrics, audit: Audit) -> APIRouter:
    """The surface of the server beside the paths that bear prompts.

    Args:
        pipeline: answers, and says what is wrong.
        access: who may see what.
        metrics: for /metrics.
        audit: /readyz says whether it can be written.
    """
    router = APIRouter()
    _add_models(router, pipeline, access)
    _add_insights(router, pipeline, access, metrics, audit)
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


def _add_insights(router: APIRouter, pipeline: Pipeline, access: Access, metrics: Metrics, audit: Audit) -> None:
    """For the operator, and for what watches the server."""
    described = orjson.dumps(openapi())

    @router.api_route("/openapi.json", methods=_GET)
    async def description() -> Response:
        return Response(described, media_type="application/json")

    @router.api_route("/healthz", methods=_GET)
    async def healthz() -> Response:
        return JSONResponse({"alive": True})

    @router.api_route("/readyz", methods=_GET)
    async def readyz(http: HttpRequest) -> Response:
        unready = await pipeline.problem()
        unwritten = audit.problem()
        problems = [
            *([unwritten] if unwritten else ()),
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
