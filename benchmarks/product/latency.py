"""What the gateway adds to a request: the gate's part, the proxy's part, and the time to first token on a real vLLM."""

import asyncio
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from benchmarks.product.stub import check_tokens, stub_server
from benchmarks.record import quantiles_ms
from benchmarks.serving import audited, first_token, gateway
from classifiers.traffic import general_traffic

__all__ = ["measure_stub", "measure_ttft"]

_MODEL = "smollm2"
_BODY = {"model": _MODEL, "temperature": 0, "max_tokens": 16}


def measure_stub(packs: Path, *, requests: int = 400) -> dict[str, Any]:
    """Latency of a Pass to a stub upstream, without the gateway and through it. Audit lines give the gate's time."""
    spawn = multiprocessing.get_context("spawn")  # client, stub and gateway share cores, but no interpreter lock
    with (
        stub_server(prompt_tokens=check_tokens(_MODEL)) as upstream,
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
