"""Result files: every figure stands beside its seed, versions and hardware; and what their tables have in common."""

import datetime
import json
import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gateway.experiments.intervals import rate

__all__ = ["RESULTS", "environment", "markdown", "proportion", "quantiles_ms", "read", "write"]

RESULTS = Path(__file__).parent / "results"
_TOOLS = (
    "torch",
    "transformers",
    "sentence-transformers",
    "scikit-learn",
    "nevergrad",
    "faiss-cpu",
    "fastapi",
    "httpx",
)


def environment() -> dict[str, Any]:
    """Hardware and versions."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "platform": platform.system(),
        "python": platform.python_version(),
        "tools": {name: version(name) for name in _TOOLS},
    }


def quantiles_ms(seconds: list[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds, with the number of measurements."""
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)

    return {"p50_ms": at(0.5), "p99_ms": at(0.99), "n": len(ordered)}


def proportion(count: int, n: int) -> dict[str, Any]:
    """A rate with its count, n and Wilson's 95% interval; the rate is NaN for n of 0."""
    found = rate(count, n)
    interval = [round(found.low, 4), round(found.high, 4)]
    return {"count": count, "n": n, "rate": round(found.value, 4), "interval": interval}


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells stand in it as they are."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))


def read(name: str) -> dict[str, Any]:
    """What stands in benchmarks/results/NAME.json."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def write(name: str, seed: int, content: dict[str, Any]) -> Path:
    """benchmarks/results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    body = {"environment": environment(), "seed": seed, **content}
    path.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    return path


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
