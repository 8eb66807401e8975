"""What the gateway adds to a request: the gate's part, the proxy's part, and the time to first token on a real vLLM."""

import asyncio
import multiprocessing
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Any

import httpx
import orjson
from fastapi import FastAPI
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse

from benchmarks.record import quantiles_ms
from benchmarks.serving import audited, first_token, gateway, served
from classifiers.traffic import general_traffic

__all__ = ["measure_stub", "measure_ttft", "stub_process"]

_BODY = {"model": "smollm2", "temperature": 0, "max_tokens": 16}


def measure_stub(packs: Path, *, requests: int = 400) -> dict[str, Any]:
    """Latency of a Pass to a stub upstream, without the gateway and through it. Audit lines give the gate's time."""
    spawn = multiprocessing.get_context("spawn")  # client, stub and gateway share cores, but no interpreter lock
    with (
        stub_process(spawn) as upstream,
        gateway(upstream, packs) as url,
        ProcessPoolExecutor(1, mp_context=spawn) as client,
    ):
        found: dict[str, Any] = {"stub": "an upstream that answers at once: this times the gateway alone"}
        for concurrency in (1, 16):
            direct = client.submit(_load, upstream, requests, concurrency, 0).result()
            with audited() as lines:
                through = client.submit(_load, url, requests, concurrency, requests * concurrency).result()
            gate = [line["gate_ms"] / 1000 for line in lines]
            parts = {"direct": direct, "through_gateway": through, "gate_part": gate}
            quantiles = {name: quantiles_ms(seconds) for name, seconds in parts.items()}
            found[f"concurrency_{concurrency}"] = {
                **quantiles,
                "proxy_part_p50_ms": round(
                    quantiles["through_gateway"]["p50_ms"]
                    - quantiles["gate_part"]["p50_ms"]
                    - quantiles["direct"]["p50_ms"],
                    3,
                ),
            }
        return found


def measure_ttft(upstream: str, packs: Path, *, requests: int = 40) -> dict[str, Any]:
    """Seconds to the first token of a streamed Pass on a real vLLM: without the gateway and through it, in turns."""
    with gateway(upstream, packs) as url:
        prompts = general_traffic()
        direct, through = [], []
        for number in range(requests + 4):
            pair = [
                asyncio.run(first_token(address, prompts[2 * number + k], **_BODY))
                for k, address in enumerate((upstream, url))
            ]
            if number >= 4:  # the first ones warm both up
                direct.append(pair[0])
                through.append(pair[1])
    return {"direct": quantiles_ms(direct), "through_gateway": quantiles_ms(through)}


def _load(url: str, requests: int, concurrency: int, offset: int) -> list[float]:
    return asyncio.run(_load_async(url, requests, concurrency, offset=offset))


async def _load_async(url: str, requests: int, concurrency: int, *, offset: int) -> list[float]:
    """Seconds of each request; `concurrency` of them run at a time. It sends no prompt twice."""
    prompts = general_traffic()
    numbers = iter(range(requests))
    seconds: list[float] = []
    async with httpx.AsyncClient(timeout=60) as client:

        async def worker() -> None:
            for number in numbers:
                text = f"{prompts[(offset + number) % len(prompts)]} ({url[-5:]} {offset + number})"
                body = {**_BODY, "messages": [{"role": "user", "content": text}]}
                started = time.perf_counter()
                (await client.post(f"{url}/v1/chat/completions", json=body)).raise_for_status()
                seconds.append(time.perf_counter() - started)

        await asyncio.gather(*(worker() for _ in range(concurrency)))
    return seconds[concurrency:]  # the first of each worker opens its connection


@contextmanager
def stub_process(spawn: SpawnContext) -> Iterator[str]:
    """The URL of an upstream without a model, in a process of its own: it answers at once."""
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_serve_stub, args=(sender,), daemon=True)
    process.start()
    try:
        yield receiver.recv()
    finally:
        process.terminate()
        process.join()


def _serve_stub(sender: Connection) -> None:
    with served(_stub(), 0) as url:
        sender.send(url)
        threading.Event().wait()


async def _sent(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)


def _stub() -> FastAPI:
    """No model: it gives the same short answer to everything, at once."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield

    app = FastAPI(lifespan=lifespan)
    usage = {"prompt_tokens": 1, "total_tokens": 2, "completion_tokens": 1}

    def head(kind: str) -> dict[str, Any]:
        return {"id": "x", "object": kind, "created": 1, "model": "smollm2"}

    async def answer(http: HttpRequest) -> Response:
        body = orjson.loads(await http.body())
        chat = "messages" in body
        if body.get("stream"):
            piece = {"delta": {"role": "assistant", "content": ""}} if chat else {"text": "."}
            text = {"delta": {"content": "."}} if chat else {"text": "."}
            choice = {"index": 0, "logprobs": None, "finish_reason": None}
            events = [
                {**head("chunk"), "choices": [{**choice, **piece}]},
                *[{**head("chunk"), "choices": [{**choice, **text}]}] * max(1, body.get("max_tokens", 1) - 1),
                {**head("chunk"), "choices": [{**choice, **text, "finish_reason": "stop"}]},
                {**head("chunk"), "choices": [], "usage": usage},
            ]
            pieces = [b"data: " + orjson.dumps(event) + b"\n\n" for event in events] + [b"data: [DONE]\n\n"]
            return StreamingResponse(_sent(pieces), media_type="text/event-stream")
        said = {"message": {"role": "assistant", "content": "."}} if chat else {"text": "."}
        choices = [{"index": 0, **said, "logprobs": None, "finish_reason": "stop"}]
        return JSONResponse({**head("chat.completion"), "choices": choices, "usage": usage})

    async def models(_: HttpRequest) -> Response:
        return JSONResponse({"data": [{"id": "smollm2", "parent": None, "max_model_len": 4096}]})

    app.add_route("/v1/chat/completions", answer, methods=["POST"])
    app.add_route("/v1/completions", answer, methods=["POST"])
    app.add_route("/v1/models", models)
    return app
