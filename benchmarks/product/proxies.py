"""The gateway beside what people use: LiteLLM's proxy without a guard, and with a guard of the same encoder.

python -m benchmarks.product.proxies --packs PACKS --litellm ENVIRONMENT

ENVIRONMENT is a virtual environment with `pip install "litellm[proxy]" sentence-transformers torch`. All sides stand
before one stub upstream that answers at once, one worker each, and take turns. Memory is what the processes of a side
hold for themselves and their share of what they share (PSS).
"""

import argparse
import itertools
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import psutil

from benchmarks.product.load import Load
from benchmarks.product.stub import AT_ONCE, check_tokens, stub_server
from benchmarks.product.throughput import gateway_process, summary, turns
from benchmarks.product.upstream import await_health, free_port
from benchmarks.record import write
from classifiers.traffic import general_traffic
from gateway.models.folders import resolve
from gateway.training.scope_file import load_scope

__all__ = ["main", "measure_proxies"]

_MODEL = "smollm2"
_SCOPE = Path("examples/harry-potter/scope.yaml")
_CONNECTIONS = (1, 16, 64)
_START_S = 180
_CONFIGURATION = """
model_list:
  - model_name: {model}
    litellm_params: {{model: openai/{model}, api_base: "{upstream}/v1", api_key: none}}
litellm_settings: {{telemetry: false, num_retries: 0}}
"""
_GUARD = """
guardrails:
  - guardrail_name: topics
    litellm_params: {guardrail: litellm_guard.TopicGuard, mode: pre_call, default_on: true}
"""


def measure_proxies(packs: Path, litellm: Path, *, rounds: int, seconds: float) -> dict[str, Any]:
    """Requests a second, milliseconds and memory of each side; no request is flagged.

    Args:
        packs: the gateway's, with the demo's scope.
        litellm: the virtual environment with LiteLLM.
        rounds: how often each side has its turn.
        seconds: of each turn that count.
    """
    numbers = itertools.count(1_000_000, 1_000_000)
    with ExitStack() as stack:
        upstream = stack.enter_context(stub_server(AT_ONCE, prompt_tokens=check_tokens(_MODEL)))
        urls = {"direct": upstream}
        urls["litellm"] = stack.enter_context(_litellm(litellm, upstream, guarded=False))
        urls["litellm_guarded"] = stack.enter_context(_litellm(litellm, upstream, guarded=True))
        ours = gateway_process(Path(__file__).parents[2], upstream, ["--packs", str(packs.resolve())])
        urls["unrecall"] = stack.enter_context(ours).url
        found: dict[str, Any] = {"litellm": _version(litellm, "litellm")}
        for connections in _CONNECTIONS:
            load = Load(connections, seconds, warm_s=0.5)
            answered = turns(urls, general_traffic(), False, load, rounds, numbers)
            found[str(connections)] = {side: summary(of_side) for side, of_side in answered.items()}
            print(connections, {side: part["requests_per_s"] for side, part in found[str(connections)].items()})
        found["memory_mib"] = {side: _memory_mib(url) for side, url in urls.items() if side != "direct"}
    return found


@contextmanager
def _litellm(environment: Path, upstream: str, *, guarded: bool) -> Iterator[str]:
    port = free_port()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        text = _CONFIGURATION.format(model=_MODEL, upstream=upstream) + (_GUARD if guarded else "")
        (folder / "config.yaml").write_text(text, encoding="utf-8")
        (folder / "litellm_guard.py").write_bytes(Path(__file__).with_name("litellm_guard.py").read_bytes())
        (folder / "rows.json").write_text(json.dumps([row.prompt for row in load_scope(_SCOPE).forget]))
        command = [str(environment / "bin" / "litellm"), "--config", "config.yaml", "--port", str(port)]
        settings = {
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
            "GUARD_ROWS": str(folder / "rows.json"),
            "GUARD_ENCODER": str(resolve("minilm")),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        }
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "--host", "127.0.0.1"], cwd=folder, env={**os.environ, **settings}, stdout=log, stderr=log
            )
            try:
                url = f"http://127.0.0.1:{port}"
                told = "try `litellm --config` by hand to see why"
                await_health(process, f"{url}/health/liveliness", seconds=_START_S, told=told)
                yield url
            finally:
                process.terminate()
                process.wait(30)


def _version(environment: Path, name: str) -> str:
    folders = [str(path) for path in (environment / "lib").glob("python*/site-packages")]
    return next((found.version for found in distributions(name=name, path=folders)), "")


def _memory_mib(url: str) -> float:
    """PSS of the process that listens there and of its children."""
    port = int(url.rpartition(":")[2])
    listening = {one.pid for one in psutil.net_connections("tcp") if one.laddr and one.laddr.port == port and one.pid}
    processes = {psutil.Process(pid) for pid in listening if psutil.Process(pid).is_running()}
    owners = {process for process in processes if process.pid != os.getpid()}
    family = owners | {child for process in owners for child in process.children(recursive=True)}
    held: int = sum(process.memory_full_info().pss for process in family)
    return round(held / (1 << 20), 1)


def main() -> None:
    """Measures, prints the rates, and writes benchmarks/results/proxies.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--litellm", type=Path, required=True, help="a virtual environment with litellm[proxy]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    found = measure_proxies(options.packs, options.litellm, rounds=options.rounds, seconds=options.seconds)
    print(write("proxies", 0, found))


if __name__ == "__main__":
    main()
