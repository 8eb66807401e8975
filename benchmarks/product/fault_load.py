"""A gateway in a process of its own, and clients that say what they saw of it; for benchmarks.product.faults."""

import asyncio
import itertools
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from benchmarks.product.upstream import await_health, free_port
from classifiers.traffic import general_traffic
from gateway.telemetry.verification import verify_files

__all__ = ["ADMIN", "INSIDE", "Asked", "Served", "ask_all", "gateway_before", "row_of"]

MODEL = "smollm2"
INSIDE = ("Who wrote Harry Potter?", "What does Hogwarts teach?", "Who is Hermione Granger?")
ADMIN = {"x-unrecall-admin-key": "for-the-operator"}
_GUARDED = ("Corrupt", "Refuse")
_STUB_SAYS = frozenset({"word", "."})
_KEY = "of the fault matrix"
_REJECTED = {"400", "401", "408", "413", "415", "429"}  # before a request is accepted
_START_S = 180


@dataclass(slots=True)
class Asked:
    """What a client saw of one request: `outcome` is a status, 'refused connection', or 'no answer'. Of a stream that
    began, `ending` is 'whole', 'told' (an error event), 'garbled' (no JSON) or 'broken'. `said` is the answer's text,
    as far as it came."""

    inside: bool
    stream: bool
    outcome: str = "no answer"
    id: str = ""
    plan: str = ""
    ending: str = ""
    said: str = ""
    ended: float = 0.0


@dataclass(frozen=True, slots=True)
class Served:
    """A gateway's process."""

    url: str
    process: "subprocess.Popen[bytes]"
    audit: Path
    log: Path

    def lines(self) -> list[dict[str, Any]]:
        """Audit lines of requests. RuntimeError if their chain is broken."""
        found = verify_files([self.audit], _KEY.encode())
        if found.problem:
            raise RuntimeError(found.problem)
        every = map(orjson.loads, self.audit.read_bytes().splitlines())
        return [line for line in every if "audit" not in line]


@contextmanager
def gateway_before(
    upstreams: Sequence[str], folder: Path, packs: Path, *words: str, broken: str = "", **variables: str
) -> Iterator[Served]:
    """A gateway that serves before these upstreams.

    Args:
        upstreams: URLs.
        folder: for its audit file and its log.
        packs: with the demo's scope.
        words: further options of `unrecall serve`.
        broken: one of benchmarks.product.broken.BREAKS; empty: nothing is.
        variables: further settings, in the environment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    module = ["benchmarks.product.broken", broken] if broken else ["gateway.cli.main"]
    command = [sys.executable, "-m", *module, "serve", "--backend", "vllm", "--upstream", ",".join(upstreams)]
    command += ["--model", MODEL, "--port", str(port), "--packs", str(packs), *words]
    settings = {
        "UNRECALL_ADMIN_KEY": ADMIN["x-unrecall-admin-key"],
        "UNRECALL_AUDIT_FILE": str(folder / "audit.jsonl"),
        "UNRECALL_AUDIT_KEY": _KEY,
        "UNRECALL_ADAPTERS_FOLDER": str(folder / "adapters"),
        "UNRECALL_UPSTREAM_READ_TIMEOUT_S": "2",
        "OMP_NUM_THREADS": "1",
    }
    log = folder / "log.txt"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[2],
            stdout=output,
            stderr=output,
            env={**os.environ, **settings, **variables},
        )
    url = f"http://127.0.0.1:{port}"
    try:
        await_health(process, f"{url}/healthz", seconds=_START_S, told=f"see {log}")
        yield Served(url, process, folder / "audit.jsonl", log)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


async def ask_all(
    served: Served,
    count: int,
    *,
    at_once: int = 16,
    tokens: int = 16,
    chars: int = 0,
    meanwhile: Callable[[], Awaitable[None]] | None = None,
) -> list[Asked]:
    """Asks inside and outside the scope, whole and streamed, in turn.

    Args:
        served: the gateway.
        count: how many requests.
        at_once: how many clients.
        tokens: the longest answer.
        chars: the length of each prompt, which ends with its question; 0: the question alone.
        meanwhile: runs beside it.
    """
    before = " ".join(general_traffic())[:chars]
    numbers = iter(range(count))
    asked: list[Asked] = []
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=60, headers=ADMIN, limits=limits) as client:

        async def ask_on() -> None:
            for number in numbers:
                asked.append(await _ask(client, served.url, number, tokens, before))

        async with asyncio.TaskGroup() as group:
            if meanwhile:
                group.create_task(meanwhile())  # type: ignore[arg-type]
            for _ in range(at_once):
                group.create_task(ask_on())
    return asked


_turns = itertools.count()


async def _ask(client: httpx.AsyncClient, url: str, number: int, tokens: int, before: str) -> Asked:
    one = Asked(inside=number % 2 == 0, stream=number // 2 % 2 == 0)
    texts = INSIDE if one.inside else general_traffic()
    message = {"role": "user", "content": f"{before}\n{texts[number // 2 % len(texts)]} ({next(_turns)})".strip()}
    body = {"model": MODEL, "messages": [message], "max_tokens": tokens, "temperature": 0, "stream": one.stream}
    try:
        async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as answer:
            one.outcome, one.id = str(answer.status_code), answer.headers.get("x-request-id", "")
            one.plan, one.ending = answer.headers.get("x-unrecall-plan", ""), "broken"
            content = await answer.aread()
        one.said = _text_of(content, stream=one.stream)
        if not one.stream or answer.status_code != 200:
            one.ending = "whole" if _is_json(content) else "garbled"
        elif content.rstrip().endswith(b"data: [DONE]"):
            one.ending = "whole"
        elif b'data: {"error"' in content:
            one.ending = "told"
    except httpx.ConnectError:
        one.outcome = "refused connection"
    except httpx.HTTPError:
        pass
    one.ended = time.monotonic()
    return one


def _text_of(content: bytes, *, stream: bool) -> str:
    """The text of an answer; empty if it has none that can be read."""
    data = [line[6:] for line in content.split(b"\n") if line.startswith(b"data: {")] if stream else [content]
    try:
        choices = [choice for one in map(orjson.loads, data) for choice in one.get("choices", ())]
    except (orjson.JSONDecodeError, AttributeError):
        return ""
    return "".join((choice.get("delta") or choice.get("message") or {}).get("content") or "" for choice in choices)


def _is_json(content: bytes) -> bool:
    try:
        return isinstance(orjson.loads(content), dict)
    except orjson.JSONDecodeError:
        return False


def row_of(
    what: str,
    asked: Sequence[Asked],
    lines: Sequence[dict[str, Any]],
    *,
    guarded_until: float = float("inf"),
    all_inside: bool = False,
    all_unread: bool = False,
) -> dict[str, Any]:
    """One row of the matrix.

    Args:
        what: the fault.
        asked: what the clients saw.
        lines: the audit lines of these requests.
        guarded_until: when the operator took the guard away, on the monotonic clock.
        all_inside: whether nothing may pass, because nobody can tell what is inside.
        all_unread: whether no word of an upstream may come, because nobody can tell what it says.
    """
    ids = Counter(str(line["id"]) for line in lines)
    accepted = {one.id for one in asked if one.id and one.outcome not in _REJECTED and one.outcome != "503"}
    answered = [one for one in asked if one.outcome == "200"]

    def unguarded(one: Asked) -> bool:
        if all_unread:
            return not _STUB_SAYS.isdisjoint(one.said.split())
        return (one.inside or all_inside) and one.plan not in _GUARDED and one.ended < guarded_until

    return {
        "what": what,
        "requests": len(asked),
        "unguarded": sum(map(unguarded, answered)),
        "answered": sum(one.ending == "whole" for one in answered),
        "told_in_stream": sum(one.ending == "told" for one in answered),
        "broken_off": sum(one.ending == "broken" for one in answered),
        "garbled": sum(one.ending == "garbled" for one in answered),
        "others": dict(sorted(Counter(one.outcome for one in asked if one.outcome != "200").items())),
        "accepted": len(accepted),
        "without_a_line": len(accepted - ids.keys()),
        "with_two_lines": sum(count > 1 for count in ids.values()),
        "lines": len(lines),
    }
