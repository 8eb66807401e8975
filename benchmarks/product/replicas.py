"""Two gateways, each before two upstreams without a model; one of each is killed under load.

python -m benchmarks.product.replicas --packs PACKS   (PACKS: with the demo's scope)

A client takes turns between the gateways and asks the other one if a connection is refused, as a load balancer does.
The result tells which requests were lost, and whether any answer was unguarded.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from benchmarks.product.stub import Pace, check_tokens, stub_server
from benchmarks.product.throughput import gateway_process
from benchmarks.record import write
from classifiers.traffic import general_traffic

__all__ = ["main", "measure_replicas"]

_MODEL = "smollm2"
_ADMIN = "for-the-operator"
_CLIENTS = 16
_PACE = Pace(((1, 0.02, 0.1),))  # a tenth of a second an answer, so that some are under way when something dies
_KILL_GATEWAY_S, _KILL_UPSTREAM_S, _END_S = 5.0, 10.0, 15.0
_INSIDE = ("Who wrote Harry Potter?", "What does Hogwarts teach?", "Who is Hermione Granger?")


@dataclass(frozen=True, slots=True)
class _Upstream:
    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class _Gateway:
    url: str
    pid: int
    upstreams: tuple[_Upstream, ...]
    audit: Path


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request: `outcome` is 'ok', a status, or the name of the error; times in seconds since the load began."""

    gateway: int
    inside: bool
    outcome: str
    plan: str
    begun: float
    ended: float


def main(arguments: list[str] | None = None) -> int:
    """Measures and writes benchmarks/results/replicas.json.

    The exit status is 1 if an answer was unguarded or wrong (a false alarm of the gate is neither), or if a request was
    lost that was not under way on what was killed.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=Path, default=Path(".unrecall/packs"))
    options = parser.parse_args(arguments)
    found = measure_replicas(options.packs)
    print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    print(write("replicas", 0, found))
    return 1 if found["unguarded"] or found["wrong"] or found["lost"]["otherwise"] else 0


def measure_replicas(packs: Path) -> dict[str, Any]:
    """Puts the load on, kills, and counts. `packs` must hold the demo's scope."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tokens = check_tokens(_MODEL)
        upstreams = [stack.enter_context(_upstream(tokens)) for _ in range(4)]
        gateways = [
            stack.enter_context(_gateway(folder / str(number), packs, tuple(upstreams[2 * number : 2 * number + 2])))
            for number in (0, 1)
        ]
        asked, killed = asyncio.run(_load_and_kill(gateways))
        return _counted(asked, killed, gateways)


@contextmanager
def _upstream(tokens: tuple[int, int]) -> Iterator[_Upstream]:
    before = set(multiprocessing.active_children())
    with stub_server(_PACE, prompt_tokens=tokens) as url:
        (started,) = set(multiprocessing.active_children()) - before
        yield _Upstream(url, started.pid or 0)


@contextmanager
def _gateway(folder: Path, packs: Path, upstreams: tuple[_Upstream, ...]) -> Iterator[_Gateway]:
    folder.mkdir()
    audit = folder / "audit.jsonl"
    started = gateway_process(
        Path(__file__).parents[2],
        ",".join(one.url for one in upstreams),
        ["--packs", str(packs.resolve())],
        UNRECALL_ADMIN_KEY=_ADMIN,
        UNRECALL_AUDIT_FILE=str(audit),
        UNRECALL_ADAPTERS_FOLDER=str(folder / "adapters"),
    )
    with started as gateway:
        yield _Gateway(gateway.url, gateway.pid, upstreams, audit)


async def _load_and_kill(gateways: Sequence[_Gateway]) -> tuple[list[_Asked], dict[str, float]]:
    begun = time.monotonic()
    asked: list[_Asked] = []
    numbers = itertools.count()
    killed = {}

    async def kill(what: str, pid: int, after_s: float) -> None:
        await asyncio.sleep(after_s)
        os.kill(pid, signal.SIGKILL)
        killed[what] = time.monotonic() - begun

    async with httpx.AsyncClient(timeout=30, headers={"x-unrecall-admin-key": _ADMIN}) as client:

        async def ask_on() -> None:
            while time.monotonic() - begun < _END_S:
                asked.extend(await _ask(client, gateways, next(numbers), begun))

        await asyncio.gather(
            kill("gateway", gateways[0].pid, _KILL_GATEWAY_S),
            kill("upstream", gateways[1].upstreams[0].pid, _KILL_UPSTREAM_S),
            *(ask_on() for _ in range(_CLIENTS)),
        )
    return asked, killed


async def _ask(client: httpx.AsyncClient, gateways: Sequence[_Gateway], number: int, begun: float) -> list[_Asked]:
    """The request's attempts: one, or a refused one and that to the other gateway."""
    inside = number % 2 == 0
    texts = _INSIDE if inside else general_traffic()
    message = {"role": "user", "content": f"{texts[number // 2 % len(texts)]} ({number})"}
    body = {"model": _MODEL, "messages": [message], "max_tokens": 16, "temperature": 0}
    attempts = []
    for gateway in (number // 2 % 2, 1 - number // 2 % 2):
        at, plan = time.monotonic() - begun, ""
        try:
            answer = await client.post(f"{gateways[gateway].url}/v1/chat/completions", json=body)
            plan = answer.headers.get("x-unrecall-plan", "")
            outcome = str(answer.status_code)
            if answer.status_code == 200:
                outcome = "ok" if answer.json()["choices"][0]["message"]["content"] else "empty"
        except httpx.ConnectError:
            outcome = "refused"
        except (httpx.HTTPError, ValueError, KeyError) as error:
            outcome = type(error).__name__
        attempts.append(_Asked(gateway, inside, outcome, plan, at, time.monotonic() - begun))
        if outcome != "refused":
            break
    return attempts


def _counted(asked: Sequence[_Asked], killed: dict[str, float], gateways: Sequence[_Gateway]) -> dict[str, Any]:
    answered = [one for one in asked if one.outcome == "ok"]
    lost = [one for one in asked if one.outcome not in ("ok", "refused")]

    def under_way(one: _Asked, gateway: int, what: str) -> bool:
        return one.gateway == gateway and one.begun <= killed[what] + 0.05 and one.ended >= killed[what] - 0.05

    with_gateway = [one for one in lost if under_way(one, 0, "gateway")]
    with_upstream = [one for one in lost if one not in with_gateway and under_way(one, 1, "upstream")]
    others = [one for one in lost if one not in with_gateway and one not in with_upstream]
    ends = sorted(one.ended for one in answered)
    every = [orjson.loads(line) for gateway in gateways for line in gateway.audit.read_bytes().splitlines()]
    lines = [line for line in every if "audit" not in line]
    return {
        "what": "2 gateways, each before 2 upstreams without a model; one gateway is killed, then one upstream of the "
        "other. A client takes turns and asks the other gateway if a connection is refused.",
        "clients": _CLIENTS,
        "killed_after_s": {what: round(at, 3) for what, at in killed.items()},
        "requests": len([one for one in asked if one.outcome != "refused"]),
        "answered": len(answered),
        "answered_after_both": len([one for one in answered if one.begun > killed["upstream"]]),
        "inside_the_scope": dict(Counter(one.plan for one in answered if one.inside)),
        "outside": dict(Counter(one.plan for one in answered if not one.inside)),
        "unguarded": len([one for one in answered if one.inside and one.plan not in ("Corrupt", "Refuse")]),
        "false_alarms": len([one for one in answered if not one.inside and one.plan == "Corrupt"]),
        "wrong": len([one for one in answered if not one.inside and one.plan not in ("Pass", "Corrupt")])
        + len([one for one in lost if one.outcome == "empty"]),
        "refused_and_answered_by_the_other": len([one for one in asked if one.outcome == "refused"]),
        "lost": {
            "under_way_on_the_killed_gateway": dict(Counter(one.outcome for one in with_gateway)),
            "under_way_on_the_killed_upstream": dict(Counter(one.outcome for one in with_upstream)),
            "otherwise": dict(Counter(one.outcome for one in others)),
        },
        "longest_time_without_an_answer_ms": round(
            1000 * max(later - one for one, later in itertools.pairwise(ends)), 1
        ),
        "audit_lines": len(lines),
    }


if __name__ == "__main__":
    raise SystemExit(main())
