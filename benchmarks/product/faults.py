"""What clients see when something fails, before a real gateway: the table of docs/faults.md.

python -m benchmarks.product.faults --packs PACKS            (PACKS: with the demo's scope)
python -m benchmarks.product.faults --packs PACKS --parts memory clock     (these rows alone; the others stay)
python -m benchmarks.product.faults --packs PACKS --soak 20  (minutes at saturation instead)
python -m benchmarks.product.faults --table                  (prints the table from the results)

Upstreams are stubs without a model (benchmarks.product.stub), gateways are processes of their own. Half of the requests
name the demo's scope, half are streamed. An answer is unguarded if a request inside the scope is passed on.
"""

import argparse
import asyncio
import os
import resource
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from benchmarks.printing import show
from benchmarks.product.broken import BREAKS
from benchmarks.product.fault_house import House, meanwhile, settled, well_again
from benchmarks.product.fault_limits import CLOCK, clock_rows, memory_row
from benchmarks.product.fault_load import MODEL, ask_all, row_of
from benchmarks.product.soak import soak
from benchmarks.product.stub import FAULTS, Pace
from benchmarks.record import environment, markdown, read, write

__all__ = ["main", "measure_faults", "table"]

_COUNT = 60
_SILENT = 1000  # clients that never read
_SLOW = 200  # clients whose bodies drip
_UPSTREAM = {
    "none": "nothing fails",
    "fails": "the upstream answers 500",
    "closes": "the upstream hangs up before its answer",
    "hangs": "the upstream takes requests and never answers",
    "garbles": "the upstream answers with bytes that are no answer",
    "slow": "the upstream takes 1.5 s",
    "closes_in_stream": "the upstream hangs up in the middle",
    "hangs_in_stream": "the upstream falls silent in the middle",
    "garbles_in_stream": "the upstream sends bytes that are no answer in the middle",
}
_BROKEN = {
    "detector_raises": "the detectors raise",
    "detector_hangs": "the detectors hang",
    "detector_gives_no_numbers": "the encoder gives NaN",
}
_UNREAD = {
    "output_screen_raises": "the output screen raises",
    "output_screen_hangs": "the output screen hangs",
    "output_screen_takes_for_ever": "the output screen counts for ever",
}
Rows = list[dict[str, Any]]


def measure_faults(packs: Path, parts: Sequence[str], kept: Rows) -> dict[str, Any]:
    """The rows of these parts, measured now, and those that are `kept` of the others. `packs` must hold the demo's
    scope."""
    assert set(_UPSTREAM) == {"none", *FAULTS}
    assert {*_BROKEN, *_UNREAD, CLOCK} == set(BREAKS)
    rows: Rows = []
    with ExitStack() as stack:
        house = House(stack, packs)
        for name, measured in _parts().items():
            if name not in parts:
                rows += [row for row in kept if row["part"] == name]
                continue
            for row in measured(house):
                rows.append({**row, "part": name, "date": environment()["date"]})
                print(orjson.dumps(row).decode(), flush=True)
    return {"rows": rows}


def _parts() -> dict[str, Callable[[House], Iterator[dict[str, Any]]]]:
    """What gives rows, in the order of the table."""
    return {
        "upstream": _upstream_rows,
        "replicas": _replica_rows,
        "detectors": _detector_rows,
        "screen": _unread_rows,
        "packs": _pack_rows,
        "disk": _disk_row,
        "clients": _client_rows,
        "ends": _end_rows,
        "memory": memory_row,
        "clock": clock_rows,
    }


def _upstream_rows(house: House) -> Iterator[dict[str, Any]]:
    with house.upstream() as (url, _), house.gateway([url]) as served:
        seen = 0
        for fault, what in _UPSTREAM.items():
            httpx.get(f"{url}/fault/{fault}")
            asked = asyncio.run(ask_all(served, _COUNT))
            httpx.get(f"{url}/fault/none")
            lines = settled(served, seen + _COUNT)
            yield row_of(what, asked, lines[seen:])
            seen = len(lines)
            well_again(served)


def _replica_rows(house: House) -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        upstreams = [stack.enter_context(house.upstream()) for _ in range(3)]
        served = stack.enter_context(house.gateway([url for url, _ in upstreams]))
        kills = [
            ("one of three upstreams is killed", upstreams[:1]),
            ("the other two are killed", upstreams[1:]),
        ]
        seen = 0
        for what, victims in kills:

            def kill(victims: Sequence[tuple[str, int]] = victims) -> None:
                for _, process in victims:
                    os.kill(process, signal.SIGKILL)

            asked = asyncio.run(ask_all(served, 2 * _COUNT, meanwhile=meanwhile(kill)))
            lines = settled(served, seen + 2 * _COUNT)
            yield row_of(what, asked, lines[seen:])
            seen = len(lines)


def _detector_rows(house: House) -> Iterator[dict[str, Any]]:
    with house.upstream() as (url, _):
        for broken, what in _BROKEN.items():
            with house.gateway([url], broken=broken, UNRECALL_SCREEN_TIMEOUT_S="1") as served:
                asked = asyncio.run(ask_all(served, _COUNT))
                yield row_of(what, asked, settled(served, _COUNT), all_inside=True)


def _unread_rows(house: House) -> Iterator[dict[str, Any]]:
    """The screen breaks at the first word of every answer. One that hangs holds up all others, for as long as it may;
    so there are few requests, and the upstream may wait."""
    with house.upstream() as (url, _):
        for broken, what in _UNREAD.items():
            with house.gateway(
                [url], broken=broken, UNRECALL_SCREEN_TIMEOUT_S="0.5", UNRECALL_UPSTREAM_READ_TIMEOUT_S="60"
            ) as served:
                asked = asyncio.run(ask_all(served, _COUNT // 3))
                yield row_of(what, asked, settled(served, _COUNT // 3), all_unread=True)


def _pack_rows(house: House) -> Iterator[dict[str, Any]]:
    """A pack is replaced again and again, half-written, and removed."""
    packs = house.copied_packs("packs")
    (pack,) = (path.parent for path in packs.glob("*/manifest.json") if path.parent.name == "harry-potter")
    manifest = (pack / "manifest.json").read_bytes()
    removed_at = [float("inf")]

    def swap() -> None:
        for number in range(10):
            other = packs.with_name(f"other-{number}")
            shutil.copytree(pack, other)
            pack.rename(packs.with_name(f"old-{number}"))
            other.rename(pack)
            time.sleep(0.1)

    def cut() -> None:
        (pack / "manifest.json").write_bytes(manifest[: len(manifest) // 2])

    def remove() -> None:
        removed_at[0] = time.monotonic()
        pack.rename(packs.with_name("removed"))

    with house.upstream() as (url, _), house.gateway([url], packs=packs) as served:
        seen = 0
        for what, act in (
            ("a pack is replaced ten times by a rename", swap),
            ("a pack is half-written", cut),
            ("a pack is removed (then its scope is open)", remove),
        ):
            asked = asyncio.run(ask_all(served, 3 * _COUNT, meanwhile=meanwhile(act, 0.2)))
            lines = settled(served, seen + 3 * _COUNT)
            yield row_of(what, asked, lines[seen:], guarded_until=removed_at[0])
            seen = len(lines)


def _disk_row(house: House) -> Iterator[dict[str, Any]]:
    with house.upstream() as (url, _), house.gateway([url]) as served:
        unlimited = resource.RLIM_INFINITY

        def fill() -> None:
            full = served.audit.stat().st_size + 300
            resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (full, unlimited))

        asked = asyncio.run(ask_all(served, 2 * _COUNT, meanwhile=meanwhile(fill)))
        resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
        well_again(served)
        accepted = sum(one.outcome == "200" for one in asked)
        yield row_of("the disk of the audit log is full", asked, settled(served, accepted))


def _client_rows(house: House) -> Iterator[dict[str, Any]]:
    read_s = "30"  # one stub answers all of them
    with (
        house.upstream(Pace()) as (url, _),
        house.gateway([url], UNRECALL_CLIENT_TIMEOUT_S="5", UNRECALL_UPSTREAM_READ_TIMEOUT_S=read_s) as served,
    ):
        drips = [_connected(served.url, _head(1000) + b'{"model":') for _ in range(_SLOW)]
        asked = asyncio.run(ask_all(served, _COUNT))
        slow = row_of(f"{_SLOW} clients whose bodies never come", asked, settled(served, _COUNT))
        yield {**slow, "cut_off": sum(_ends(one, b" 408 ") for one in drips)}
        seen = len(served.lines())
        before = _memory_mib(served.process.pid)
        body = orjson.dumps(
            {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "stream": True, "max_tokens": 3_000}
        )
        silent = [_connected(served.url, _head(len(body)) + body) for _ in range(_SILENT)]
        asked = asyncio.run(ask_all(served, _COUNT))
        held = _memory_mib(served.process.pid) - before
        row = row_of(f"{_SILENT} clients that never read", asked, [])
        time.sleep(8)  # longer than the gateway waits for them
        for client in silent:
            _ends(client, b"")
        ids = {one.id for one in asked}
        lines = settled(served, seen + _SILENT + _COUNT)[seen:]
        own = row_of("", asked, [line for line in lines if line["id"] in ids])
        yield {
            **own,
            "what": row["what"],
            "cut_off": sum(line["outcome"] == "aborted" for line in lines),
            "lines_of_others": len(lines) - own["lines"],
            "memory_mib": held,
        }


def _head(length: int) -> bytes:
    lines = ("POST /v1/chat/completions HTTP/1.1", "host: gateway", "content-type: application/json")
    return "\r\n".join((*lines, f"content-length: {length}", "", "")).encode()


def _connected(url: str, sent: bytes) -> socket.socket:
    parts = urlsplit(url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(30)
    client.connect((parts.hostname or "", parts.port or 0))
    client.sendall(sent)
    return client


def _ends(client: socket.socket, expected: bytes) -> bool:
    """Whether the connection comes to its end, with these bytes first."""
    received = b""
    with client:
        try:
            while piece := client.recv(1 << 16):
                received = received or piece
        except ConnectionResetError:
            pass
        except TimeoutError:
            return False
    return expected in received[:20]


def _memory_mib(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="utf-8").split()[1])
    return round(pages * resource.getpagesize() / 2**20, 1)


def _end_rows(house: House) -> Iterator[dict[str, Any]]:
    with house.upstream(Pace(((1, 0.05, 1.2),))) as (url, _):
        with house.gateway([url], "--workers", "2") as served:
            time.sleep(5)  # the second worker
            victim = served.log.read_text(encoding="utf-8").partition("worker 1 serves (process ")[2].partition(")")[0]
            asked = asyncio.run(
                ask_all(served, _COUNT, meanwhile=meanwhile(lambda: os.kill(int(victim), signal.SIGKILL), 1.0))
            )
            yield row_of("one of two workers is killed (as when memory is short)", asked, settled(served, _COUNT))
        with house.gateway([url]) as served:
            asked = asyncio.run(ask_all(served, _COUNT, meanwhile=meanwhile(served.process.terminate, 1.0)))
            status = served.process.wait(30)
            yield {**row_of("SIGTERM under load", asked, served.lines()), "exit_status": status}


def table() -> str:
    """Markdown: the matrix from benchmarks/results/faults.json, and the soak from soak.json."""
    return f"{_matrix()}\n\n{_soaked()}"


def _soaked() -> str:
    found = read("soak")
    before, after, memory = found["before"], found["after"], found["memory_mib"]
    rows = [
        ["minutes at saturation", f"{found['minutes']:g}"],
        ["answered; failed; audit lines", f"{found['answered']:,}; {found['failed']}; {found['audit_lines']:,}"],
        ["memory in the middle, and at the end", f"{memory[len(memory) // 2]:.0f}; {memory[-1]:.0f} MiB"],
        ["growth in the second half", f"{found['bytes_a_request']:,} bytes a request"],
        ["open files before and after", f"{before['files']}; {after['files']}"],
        ["threads before and after", f"{before['threads']}; {after['threads']}"],
        [
            "left under way, here and in the upstream",
            f"{found['left']['running']:g}; {found['left']['running_upstream']:g}",
        ],
        ["left adapters; left notes for the audit", f"{found['left']['adapters']:g}; {found['left']['noted']:g}"],
    ]
    return markdown(["soak", "measured"], rows)


def _matrix() -> str:
    head = ["fault", "requests", "unguarded", "answered", "the rest", "audit lines"]
    return markdown(head, map(_cells, read("faults")["rows"]))


def _cells(row: dict[str, Any]) -> list[str]:
    told, broken = row["told_in_stream"], row["broken_off"]
    rest = [f"{count} × {outcome}" for outcome, count in row["others"].items()]
    rest += [f"{told} × an error in the stream"] if told else []
    rest += [f"{broken} × broken off"] if broken else []
    rest += [f"{row['garbled']} × the upstream's own bytes"] if row["garbled"] else []
    rest += [f"{row['cut_off']} cut off"] if "cut_off" in row else []
    rest += [f"{row['memory_mib']:.0f} MiB more"] if "memory_mib" in row else []
    rest += [f"{row['died']} of the two died"] if "died" in row else []
    rest += [f"all after {row['waited_s']} s"] if "waited_s" in row else []
    rest += [f"open after {row['noticed_s']} s"] if "noticed_s" in row else []
    rest += [f"exit status {row['exit_status']}"] if "exit_status" in row else []
    wrong = row["without_a_line"] + row["with_two_lines"]
    lines = f"{row['lines']}, {wrong} missing or doubled"
    return [row["what"], str(row["requests"]), str(row["unguarded"]), str(row["answered"]), "; ".join(rest), lines]


def main(arguments: list[str] | None = None) -> int:
    """Measures and writes benchmarks/results/faults.json, or soak.json. The exit status is 1 if an answer was
    unguarded, or a line of the audit missing or doubled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=Path, default=Path(".unrecall/packs"))
    parser.add_argument("--soak", type=float, nargs="?", const=20.0, metavar="MINUTES")
    parser.add_argument("--table", action="store_true")
    parser.add_argument(
        "--parts", nargs="*", choices=_parts(), default=list(_parts()), help="the others keep their rows"
    )
    options = parser.parse_args(arguments)
    if options.table:
        show(table())
        return 0
    if options.soak:
        found = soak(options.packs, options.soak)
        print(write("soak", 0, found))
        return 0 if found["flat"] else 1
    kept = [] if set(options.parts) == set(_parts()) else read("faults")["rows"]
    found = measure_faults(options.packs, options.parts, kept)
    print(write("faults", 0, found))
    bad = [row for row in found["rows"] if row["unguarded"] or row["without_a_line"] or row["with_two_lines"]]
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
