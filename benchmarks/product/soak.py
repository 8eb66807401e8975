"""Minutes at saturation: memory stays flat, and nothing is left of what was served."""

import asyncio
import itertools
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import uvloop

from benchmarks.product.fault_load import ADMIN, INSIDE, MODEL, Served, gateway_before
from benchmarks.product.load import Load, chat_bodies, run_load
from benchmarks.product.stub import Pace, check_tokens, stub_server
from classifiers.traffic import general_traffic

__all__ = ["soak"]

_EVERY_S = 5.0
_CONNECTIONS = 32
_PACE = Pace(((1, 0.01, 0.05),))
_FLAT_BYTES = 1024  # a request; a task, a connection or a buffer that is forgotten takes more
_WHAT = (
    "one gateway process before a stub upstream without a model, load and upstream on the same cores; chats of 16 "
    "tokens without a pause, whole and streamed in turn, every other one inside the demo's scope, no prompt twice"
)
_RUNNING = "unrecall_num_requests_running "


def soak(packs: Path, minutes: float) -> dict[str, Any]:
    """Asks without a pause, inside and outside the scope, whole and streamed. The first half fills the caches, which
    are bounded."""
    load, *_ = os.getloadavg()
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as folder,
        stub_server(_PACE, prompt_tokens=check_tokens(MODEL)) as url,
        gateway_before([url], Path(folder), packs.resolve()) as served,
    ):
        asyncio.run(_load(served, 3.0, 0))
        before = _state(served.process.pid)
        samples: list[float] = []
        ended = threading.Event()
        watcher = threading.Thread(target=_watch, args=(served.process.pid, samples, ended))
        watcher.start()
        answered, failed = 0, 0
        begun, round_number = time.monotonic(), 1
        while time.monotonic() - begun < minutes * 60:
            of_round = uvloop.run(_load(served, 15.0, round_number))
            answered, failed = answered + of_round[0], failed + of_round[1]
            round_number += 1
        ended.set()
        watcher.join()
        time.sleep(8)  # connections that are kept alive end
        after = _state(served.process.pid)
        left = _left(served, url)
        lines = len(served.lines())
    growth = 2**20 * _growth(samples) / max(1, answered / 2)
    flat = growth < _FLAT_BYTES and not any(left.values()) and after["files"] <= before["files"] + 5
    return {
        "what": _WHAT,
        "load_average_before": round(load, 1),
        "minutes": minutes,
        "connections": _CONNECTIONS,
        "answered": answered,
        "failed": failed,
        "audit_lines": lines,
        "memory_mib": samples[:: max(1, len(samples) // 20)],
        "bytes_a_request": round(growth),
        "before": before,
        "after": after,
        "left": left,
        "flat": flat,
    }


async def _load(served: Served, seconds: float, number: int) -> tuple[int, int]:
    """(answered, failed) of one round."""
    prompts = [text for pair in zip(general_traffic(), itertools.cycle(INSIDE), strict=False) for text in pair]
    found = (0, 0)
    for stream in (False, True):
        first = (2 * number + stream + 1) * 10_000_000
        bodies = chat_bodies(prompts, model=MODEL, stream=stream, first=first, max_tokens=16)
        part = await run_load(served.url, bodies, Load(_CONNECTIONS, seconds / 2, warm_s=0.0))
        found = (found[0] + len(part.whole), found[1] + part.failed)
    return found


def _watch(process: int, samples: list[float], ended: threading.Event) -> None:
    while not ended.wait(_EVERY_S):
        samples.append(_state(process)["memory_mib"])


def _state(process: int) -> dict[str, Any]:
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return {
        "memory_mib": round(int(fields["VmRSS"].split()[0]) / 1024, 1),
        "threads": int(fields["Threads"]),
        "files": len(os.listdir(f"/proc/{process}/fd")),
    }


def _left(served: Served, upstream: str) -> dict[str, float]:
    """Requests that still run, in the gateway and in the upstream; adapters on disk; requests still noted."""
    metrics = httpx.get(f"{served.url}/metrics", headers=ADMIN).text.splitlines()
    adapters = served.audit.parent / "adapters"
    return {
        "running": next(float(line.removeprefix(_RUNNING)) for line in metrics if line.startswith(_RUNNING)),
        "running_upstream": float(httpx.get(f"{upstream}/running").json()["running"]),
        "adapters": float(len(list(adapters.iterdir())) if adapters.exists() else 0),
        "noted": float(
            sum(bool(path.read_bytes().strip(b"\0")) for path in served.audit.parent.glob("audit.jsonl.open-*"))
        ),
    }


def _growth(samples: list[float]) -> float:
    """MiB, from the middle to the end: medians of five, because the allocator takes memory in steps."""
    if len(samples) < 10:
        return 0.0
    middle = len(samples) // 2
    return statistics.median(samples[-5:]) - statistics.median(samples[middle : middle + 5])
