"""What the gateway lets through, and how soon: before an upstream that answers at once, and before one at the pace of a
GPU server.

python -m benchmarks.product.throughput --packs PACKS [--workers N] [--other CHECKOUT --other-packs PACKS --commit C]

The upstream is a stub without a model. Upstream, gateways and client share this machine's cores; a server with more
cores gives the gateway more. The sides take turns in short rounds, so that all meet the same machine. `Pass` asks
general prompts, `flagged` asks questions that name the demo's scope; no prompt comes twice.
"""

import argparse
import asyncio
import itertools
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.product.load import Answered, Load, chat_bodies, run_load
from benchmarks.product.stub import AT_ONCE, H200, Pace, check_tokens, stub_server
from benchmarks.product.upstream import await_health, free_port
from benchmarks.record import write
from classifiers.traffic import general_traffic
from gateway.training.scope_file import load_scope

__all__ = ["GatewayProcess", "gateway_process", "main", "measure_throughput", "summary", "turns"]

_MODEL = "smollm2"
_SCOPE = Path("examples/harry-potter/scope.yaml")
_START_S = 300
_AT_ONCE = (1, 16, 64)
_GPU = (1, 8, 32, 128)


def measure_throughput(
    sides: Mapping[str, Sequence[str]], checkouts: Mapping[str, Path], *, rounds: int, seconds: float
) -> dict[str, Any]:
    """Requests a second and milliseconds, side by side.

    Args:
        sides: for each side, the options of its `unrecall serve` beside model, backend, upstream and port.
        checkouts: where each side's code lies.
        rounds: how often each side has its turn.
        seconds: of each turn that count.
    """
    numbers = itertools.count(1_000_000, 1_000_000)
    found: dict[str, Any] = {}
    for upstream, pace, connections, kinds in (
        ("at_once", AT_ONCE, _AT_ONCE, (("Pass", False), ("Pass", True), ("flagged", False), ("flagged", True))),
        ("gpu", H200, _GPU, (("Pass", True),)),
    ):
        with _before(pace, sides, checkouts) as urls:
            for (kind, stream), at_a_time in itertools.product(kinds, connections):
                prompts = general_traffic() if kind == "Pass" else _naming()
                answered = turns(urls, prompts, stream, Load(at_a_time, seconds, warm_s=0.5), rounds, numbers)
                name = f"{upstream}/{kind}/{'stream' if stream else 'whole'}/{at_a_time}"
                found[name] = {side: summary(of_side) for side, of_side in answered.items()}
                print(name, {side: part["requests_per_s"] for side, part in found[name].items()}, flush=True)
    return found


@contextmanager
def _before(pace: Pace, sides: Mapping[str, Sequence[str]], checkouts: Mapping[str, Path]) -> Iterator[dict[str, str]]:
    """The URL of each side, started before one upstream, and of the upstream itself."""
    with ExitStack() as stack:
        upstream = stack.enter_context(stub_server(pace, prompt_tokens=check_tokens(_MODEL)))
        urls = {"direct": upstream}
        for side, options in sides.items():
            urls[side] = stack.enter_context(gateway_process(checkouts[side], upstream, options)).url
        yield urls


def turns(
    urls: Mapping[str, str], prompts: Sequence[str], stream: bool, load: Load, rounds: int, numbers: Iterator[int]
) -> dict[str, list[Answered]]:
    """What each side answered in each of its turns; the sides take turns within a round.

    Args:
        urls: by side.
        prompts: what is asked, each with a number that makes it new.
        stream: whether the answers are streamed.
        load: of one turn.
        rounds: how many turns each side has.
        numbers: far apart, one for each turn.
    """
    import uvloop

    answered: dict[str, list[Answered]] = {side: [] for side in urls}
    for _ in range(rounds):
        for side, url in urls.items():
            bodies = chat_bodies(prompts, model=_MODEL, stream=stream, first=next(numbers))
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                answered[side].append(runner.run(run_load(url, bodies, load)))
    return answered


def summary(turns: Sequence[Answered]) -> dict[str, Any]:
    """All turns as one, with the slowest and the fastest."""
    whole = Answered(
        first=[seconds for turn in turns for seconds in turn.first],
        whole=[seconds for turn in turns for seconds in turn.whole],
        wall_s=sum(turn.wall_s for turn in turns),
        failed=sum(turn.failed for turn in turns),
    )
    rates = [len(turn.whole) / turn.wall_s for turn in turns]
    return {
        **whole.summary(),
        "requests_per_s_of_turns": [round(min(rates), 1), round(statistics.median(rates), 1), round(max(rates), 1)],
    }


def _naming() -> list[str]:
    """Questions of the demo scope that hold its first name."""
    scope = load_scope(_SCOPE)
    questions = [row.prompt for row in scope.forget if "Harry Potter" in row.prompt]
    assert questions
    return questions


@dataclass(frozen=True, slots=True)
class GatewayProcess:
    """A gateway that serves."""

    url: str
    pid: int


@contextmanager
def gateway_process(
    checkout: Path, upstream: str | None, options: Sequence[str], **variables: str
) -> Iterator[GatewayProcess]:
    """A checkout's gateway before an upstream, or with the model inside if there is none; in processes of its own, one
    thread an operation each. `variables` are further ones of its environment."""
    port = free_port()
    module = "gateway.cli.main" if (checkout / "gateway/cli/main.py").is_file() else "gateway.cli"
    backend = ["--backend", "vllm", "--upstream", upstream] if upstream else ["--backend", "embedded"]
    command = [sys.executable, "-m", module, "serve", *backend, "--model", _MODEL, "--port", str(port), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    process = subprocess.Popen(command, cwd=checkout, stdout=subprocess.DEVNULL, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        await_health(process, f"{url}/healthz", seconds=_START_S, told="its errors stand above")
        yield GatewayProcess(url, process.pid)
    finally:
        process.terminate()
        process.wait(60)


def main() -> None:
    """Measures, prints the rates, and writes benchmarks/results/throughput.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=Path, required=True, help="packs of this checkout, the demo's scope among them")
    parser.add_argument("--workers", type=int, nargs="*", default=[1], help="a side for each number of workers")
    parser.add_argument("--other", type=Path, help="another checkout")
    parser.add_argument("--other-packs", type=Path, help="its packs")
    parser.add_argument("--commit", default="", help="its commit, for the record")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    here = Path(__file__).parents[2]
    packs = ["--packs", str(options.packs.resolve())]
    sides = {f"this_{n}": [*packs, *(["--workers", str(n)] if n > 1 else [])] for n in options.workers}
    checkouts = dict.fromkeys(sides, here)
    if options.other:
        sides["other"] = ["--packs", str(options.other_packs.resolve())]
        checkouts["other"] = options.other.resolve()
    found = measure_throughput(sides, checkouts, rounds=options.rounds, seconds=options.seconds)
    print(write("throughput", 0, {"other": options.commit, **found}))


if __name__ == "__main__":
    main()
