"""A server that stops while an answer is under way: its client is told, and the log is spared a traceback."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from harness import MODEL, gateway_app
from tiny import tiny_model

from gateway.backends.embedded.backend import EmbeddedBackend


@pytest.mark.parametrize("stream", [True, False])
def test_the_client_of_an_answer_under_way_is_told(tmp_path: Path, stream: bool) -> None:
    messages = [{"role": "user", "content": "Count."}]
    body = orjson.dumps({"model": MODEL, "messages": messages, "stream": stream, "max_tokens": 200, "min_tokens": 200})
    sent: list[dict[str, Any]] = []

    backend = EmbeddedBackend(tiny_model(), name=MODEL)
    app = gateway_app(backend, tmp_path)

    async def run() -> None:
        asked, begun = asyncio.Event(), asyncio.Event()

        async def receive() -> dict[str, Any]:
            if asked.is_set():
                await asyncio.Event().wait()
            asked.set()
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)
            if message["type"] == "http.response.body":
                begun.set()

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/chat/completions",
            "raw_path": b"/v1/chat/completions",
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "http_version": "1.1",
            "client": ("::1", 1),
            "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
        }
        async with app.router.lifespan_context(app):
            task = asyncio.create_task(app(scope, receive, send))
            while not (begun.is_set() if stream else backend.busy):  # noqa: ASYNC110 (the model tells no event of it)
                await asyncio.sleep(0)
            task.cancel(msg="Task cancelled, timeout graceful shutdown exceeded")
            await task

    asyncio.run(run())
    assert sent[0]["status"] == (200 if stream else 503)
    assert b"the gateway stops" in b"".join(message.get("body", b"") for message in sent)
    assert sent[-1]["more_body"] is False
