"""Starts real gateways on a port, for measurements over HTTP."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import uvicorn
from fastapi import FastAPI

from gateway.server.app import build_app
from gateway.settings import load_settings

__all__ = ["audited", "first_token", "gateway", "served"]


@contextmanager
def gateway(upstream: str, packs: Path, **settings: Any) -> Iterator[str]:
    """Starts a gateway in front of a vLLM and gives its URL; `settings` are further settings by name."""
    loaded = load_settings(None, {"packs": packs, "backend": "vllm", "upstream": upstream, **settings})
    with served(build_app(loaded), 0) as url:
        yield url


@contextmanager
def served(app: FastAPI, port: int) -> Iterator[str]:
    """Serves the app in a thread and gives its URL."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the server did not start")
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)


@contextmanager
def audited() -> Iterator[list[dict[str, Any]]]:
    """Collects the gateway's audit lines."""
    lines: list[dict[str, Any]] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(orjson.loads(record.getMessage()))

    logger, handler = logging.getLogger("unrecall.audit"), Collect()
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


async def first_token(url: str, prompt: str, **fields: Any) -> float:
    """Seconds until a streamed answer's first token."""
    body = {**fields, "messages": [{"role": "user", "content": prompt}], "stream": True}
    started = time.perf_counter()
    async with (
        httpx.AsyncClient(timeout=60) as client,
        client.stream("POST", f"{url}/v1/chat/completions", json=body) as response,
    ):
        async for line in response.aiter_lines():
            if line.startswith("data: {") and orjson.loads(line[6:])["choices"][0]["delta"].get("content"):
                return time.perf_counter() - started
    raise RuntimeError("the stream ended without a token")
