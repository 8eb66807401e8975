"""Everything that is to be known of one GPU, within ten minutes: training, start, plans under load, contracts.

python -m benchmarks.product.gpu --packs PACKS [--vllm PYTHON | --upstream URL] [--minutes 10]
python -m benchmarks.product.gpu --packs PACKS --quick --out FILE     # on a CPU: tries the script, measures nothing

Training comes first, because a vLLM takes most of the card's memory: seconds and peak memory of each method at 1 and 8
billion random weights. Then vLLM starts with SmolLM2-135M, and each plan is asked at 1, 8, 32 and 128 requests at a
time, direct and through the gateway. The contract tests come last and end with the time. PYTHON is the interpreter
that has vLLM (by default this one); URL is a vLLM that runs already, whose start is then not measured, and whose share
of the card must leave the training its memory. `--parts` measures some of it, in the same file as the rest. Without a
GPU it says so and measures nothing, unless it is `--quick`.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarks.product.gpu_serving import measure_serving
from benchmarks.product.gpu_training import SHAPES, TINY, measure_training
from benchmarks.product.stub import AT_ONCE, check_tokens, stub_server
from benchmarks.product.upstream import started_vllm
from benchmarks.record import RESULTS, environment
from gateway.models.folders import resolve
from gateway.models.language_model import load_tokenizer

__all__ = ["about_card", "main"]

_HERE = Path(__file__).parents[2]
_MODEL = "smollm2"
_AT_ONCE = (1, 8, 32, 128)
_LEAST_S = 30.0  # the contracts need some time to begin
_VERDICT = re.compile(r"^tests/\S+::.* (PASSED|FAILED|ERROR|SKIPPED)\b", re.MULTILINE)


def main(words: list[str] | None = None) -> int:
    """Measures, and writes benchmarks/results/gpu.json, or the file that --out names, after each part. Parts of the
    same card that the file holds and this run does not measure stay."""
    options = _options(words)
    if not torch.cuda.is_available() and not options.quick:
        print("torch finds no GPU on this machine: nothing was measured. --quick tries the script on the CPU.")
        return 1
    until = time.monotonic() + 60 * options.minutes
    kept = _Kept(options.out or RESULTS / "gpu.json", quick=options.quick)
    parts = options.parts.split(",")
    if "training" in parts:
        kept.keep("training", _training(quick=options.quick))
    if {"serving", "contracts"} & set(parts):
        try:
            _before_a_server(options, kept, parts, until)
        except RuntimeError as error:  # training was measured all the same
            kept.keep("serving_failed", str(error))
    print(kept.path)
    return 0


def _before_a_server(options: argparse.Namespace, kept: "_Kept", parts: Sequence[str], until: float) -> None:
    with _upstream(options) as (upstream, started_s):
        if started_s:
            kept.keep("start_s", started_s)
        if "serving" in parts:
            at_once, seconds = ((1, 4), 1.0) if options.quick else (options.at_once, options.seconds)
            model = resolve(_MODEL)
            serving = measure_serving(
                upstream, options.packs, model, at_once=at_once, seconds=seconds, workers=options.workers
            )
            kept.keep("serving", kept.found.get("serving", {}) | {str(options.workers): serving})
        if "contracts" in parts and not options.quick:
            kept.keep("contracts", _contracts(upstream, until - time.monotonic()))


class _Kept:
    """The figures, in a file that always holds what is known so far."""

    def __init__(self, path: Path, *, quick: bool) -> None:
        self.path = path
        self.found: dict[str, Any] = {"card": about_card(), "quick": quick}
        earlier = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if earlier.get("card") == self.found["card"]:
            self.found = {name: part for name, part in earlier.items() if name not in ("environment", "seed")}

    def keep(self, name: str, part: Any) -> None:
        """Adds a part, or puts it in the place of an earlier one."""
        self.found[name] = part
        body = {"environment": environment(), "seed": 0, **self.found}
        self.path.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")


def _options(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=Path, required=True, help="packs of smollm2, one of a corruption among them")
    parser.add_argument("--vllm", type=Path, default=Path(sys.executable), help="the interpreter that has vLLM")
    parser.add_argument("--upstream", help="a vLLM that serves smollm2 already, in place of one of --vllm")
    parser.add_argument("--parts", default="training,serving,contracts", help="what to measure")
    parser.add_argument("--at-once", type=int, nargs="*", default=_AT_ONCE, help="requests at a time")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each turn of a load")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=1, help="of the gateway")
    parser.add_argument("--quick", action="store_true", help="a tiny model and a stub in place of vLLM, on any machine")
    parser.add_argument("--out", type=Path, help="the JSON file; --quick needs it, because it measures nothing")
    options = parser.parse_args(words)
    if options.quick and not options.out:
        parser.error("--quick measures nothing worth keeping: say with --out where its JSON goes")
    return options


def about_card() -> dict[str, Any]:
    if not torch.cuda.is_available():
        return {"name": "none: this ran on a CPU"}
    about = torch.cuda.get_device_properties(0)
    return {"name": about.name, "memory_bytes": about.total_memory, "cuda": torch.version.cuda}


def _training(*, quick: bool) -> dict[str, Any]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer, found = load_tokenizer(resolve(_MODEL)), {}
    for name, shape in (TINY if quick else SHAPES).items():
        found[name] = measure_training(shape, tokenizer, device, steps=4 if quick else 12)
        print(name, found[name], flush=True)
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return found


@contextmanager
def _upstream(options: argparse.Namespace) -> Iterator[tuple[str, float]]:
    """The model server's URL, and how long it took to start (0 if it ran already). Raises RuntimeError."""
    if options.upstream:
        yield options.upstream, 0.0
        return
    begun = time.perf_counter()
    if options.quick:
        with stub_server(AT_ONCE, prompt_tokens=check_tokens(_MODEL)) as url:
            yield url, round(time.perf_counter() - begun, 1)
        return
    log = Path("gpu-vllm.log").absolute()
    with started_vllm(options.vllm, resolve(_MODEL), log) as url:
        yield url, round(time.perf_counter() - begun, 1)


def _contracts(upstream: str, seconds: float) -> dict[str, Any]:
    """How many contract tests pass on this server, as far as the time goes. The names of those that fail."""
    if seconds < _LEAST_S:
        return {"left_out": "there was no time left: give more --minutes"}
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-m", "vllm", "tests/contracts"]
    variables = {**os.environ, "UNRECALL_TEST_VLLM": upstream, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=_HERE, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # pytest then tells what it has found so far
            said, _ = process.communicate()
    counted = Counter(_VERDICT.findall(said))
    failed = sorted(set(re.findall(r"^FAILED (tests/\S+)", said, re.MULTILINE)))
    return {
        **{kind.lower(): count for kind, count in counted.items()},
        "names_of_failed": failed,
        "ended": process.returncode,
    }


if __name__ == "__main__":
    sys.exit(main())
