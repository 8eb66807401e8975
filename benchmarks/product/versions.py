"""What a Pass costs in this checkout and in another one, side by side: both gateways stand before one stub upstream.

python -m benchmarks.product.versions --other ../older-checkout --commit COMMIT --packs PACKS [--requests 320]

Both checkouts run with this environment's packages. The requests take turns, so both meet the same busy machine.
Without packs (an empty folder) the gate finds nothing to do, and the figures are the proxy's alone.
"""

import argparse
import asyncio
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.product.latency import stub_process
from benchmarks.product.upstream import await_health
from benchmarks.record import quantiles_ms, write
from classifiers.traffic import general_traffic

__all__ = ["main", "measure_versions"]

_WARM = 20
_START_S = 180


def measure_versions(other: Path, packs: Path, *, requests: int) -> dict[str, Any]:
    """Milliseconds to the end of an answer, whole and streamed, at 1 and 16 at a time; ratios are of medians, this
    checkout over the other (lower is better)."""
    spawn = multiprocessing.get_context("spawn")
    here = Path(__file__).parents[2]
    with (
        stub_process(spawn) as upstream,
        _gateway(here, upstream, packs) as ours,
        _gateway(other, upstream, packs) as theirs,
    ):
        found: dict[str, Any] = {"stub": "an upstream that answers at once, a streamed answer in 32 pieces"}
        for stream in (False, True):
            for concurrency in (1, 16):
                seconds = asyncio.run(_turns((ours, theirs, upstream), requests, concurrency, stream))
                here_s, there_s, direct_s = seconds
                found[f"{'stream' if stream else 'whole'}_{concurrency}"] = {
                    "this": quantiles_ms(here_s),
                    "other": quantiles_ms(there_s),
                    "direct": quantiles_ms(direct_s),
                    "ratio_p50": round(statistics.median(here_s) / statistics.median(there_s), 3),
                }
        return found


async def _turns(urls: tuple[str, ...], requests: int, concurrency: int, stream: bool) -> list[list[float]]:
    """Seconds of each URL's requests. Rounds of `concurrency` requests go to one URL after the other."""
    prompts = general_traffic()
    seconds: list[list[float]] = [[] for _ in urls]
    async with httpx.AsyncClient(timeout=60) as client:

        async def one(url: str, number: int) -> float:
            text = f"{prompts[number % len(prompts)]} ({number})"  # no prompt twice: nothing comes from a cache
            messages = [{"role": "user", "content": text}]
            body = {"model": "smollm2", "temperature": 0, "max_tokens": 32, "messages": messages, "stream": stream}
            started = time.perf_counter()
            (await client.post(f"{url}/v1/chat/completions", json=body)).raise_for_status()
            return time.perf_counter() - started

        number = int(time.time()) * 1000
        for _ in range((requests + _WARM) // concurrency):
            for place, url in enumerate(urls):
                seconds[place] += await asyncio.gather(*(one(url, number + k) for k in range(concurrency)))
                number += concurrency
    return [of_url[_WARM:] for of_url in seconds]


@contextmanager
def _gateway(checkout: Path, upstream: str, packs: Path) -> Iterator[str]:
    """The gateway of a checkout, in a process of its own."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    module = "gateway.cli.main" if (checkout / "gateway/cli/main.py").is_file() else "gateway.cli"
    command = [sys.executable, "-m", module, "serve", "--backend", "vllm", "--upstream", upstream]
    command += ["--model", "smollm2", "--packs", str(packs.resolve()), "--port", str(port)]
    process = subprocess.Popen(
        command, cwd=checkout, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    url = f"http://127.0.0.1:{port}"
    try:
        await_health(process, f"{url}/healthz", seconds=_START_S, told="its errors stand above")
        yield url
    finally:
        process.terminate()
        process.wait(20)


def main() -> None:
    """Measures, prints the ratios, and writes benchmarks/results/versions.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--other", type=Path, required=True, help="the other checkout")
    parser.add_argument("--commit", default="", help="the other checkout's commit, for the record")
    parser.add_argument("--packs", type=Path, required=True, help="packs that both can read; an empty folder: none")
    parser.add_argument("--requests", type=int, default=320)
    options = parser.parse_args()
    found = measure_versions(options.other, options.packs, requests=options.requests)
    path = write("versions", 0, {"other": options.commit, **found})
    print({name: part["ratio_p50"] for name, part in found.items() if isinstance(part, dict)}, path)


if __name__ == "__main__":
    main()
