"""Rows of benchmarks.product.faults: too little memory, and a clock that jumps."""

import asyncio
import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from benchmarks.product.fault_house import House, meanwhile, settled, well_again
from benchmarks.product.fault_load import ask_all, row_of
from benchmarks.product.stub import Pace

__all__ = ["CLOCK", "clock_rows", "memory_row"]

CLOCK = "clock_jumps"
_LARGE_CHARS = 10_000  # of each prompt; what the gate and the embedding make of it takes megabytes
_ROOM_MIB = 24
_LARGE, _JUMPED = 80, 60
_PER_MINUTE = 150


def memory_row(house: House) -> Iterator[dict[str, Any]]:
    """Both workers may take hardly more memory than they have, and large requests come. Processes that end meanwhile
    are replaced, without a limit."""
    with house.upstream() as (url, _), house.gateway([url], "--workers", "2") as served:
        workers = _workers(served.log)
        asyncio.run(ask_all(served, 16))
        before = len(settled(served, 16))
        for worker in workers:
            most = _virtual_bytes(worker) + _ROOM_MIB * 2**20
            resource.prlimit(worker, resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
        asked = asyncio.run(ask_all(served, _LARGE, chars=_LARGE_CHARS))
        died = sum(not Path(f"/proc/{worker}").exists() for worker in workers)
        for worker in workers:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)  # what it owes is written by the next one
        lines = settled(served, before + len({one.id for one in asked if one.id}))[before:]
        row = row_of("both workers have no memory left, and large requests come", asked, lines)
        yield {**row, "died": died}


def _workers(log: Path) -> list[int]:
    """The processes of two workers, once both serve."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = [part.partition(")")[0] for part in log.read_text(encoding="utf-8").split(" serves (process ")[1:]]
        if len(found) == 2:
            return [int(one) for one in found]
        time.sleep(0.2)
    raise RuntimeError(f"two workers were not there after 60 s; see {log}")


def _virtual_bytes(process: int) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="utf-8").split()[0])
    return pages * resource.getpagesize()


def clock_rows(house: House) -> Iterator[dict[str, Any]]:
    """The wall clock goes an hour forward or back every 200 ms, in the gateway's process."""
    packs = house.copied_packs("clock")
    with (
        house.upstream(Pace()) as (url, _),
        house.gateway([url], broken=CLOCK, packs=packs, UNRECALL_KEY_REQUESTS_PER_MINUTE=str(_PER_MINUTE)) as served,
    ):
        begun = time.monotonic()
        asked = asyncio.run(ask_all(served, 4 * _JUMPED))
        took_s = time.monotonic() - begun
        over = sum(one.outcome == "429" for one in asked)
        expected = 4 * _JUMPED - _PER_MINUTE - took_s * _PER_MINUTE / 60
        lines = settled(served, 4 * _JUMPED - over)
        row = row_of(f"the clock jumps; {_PER_MINUTE} requests a minute are allowed", asked, lines)
        yield {**row, "quota_kept": abs(over - expected) <= 3}
    with house.upstream(Pace()) as (url, _), house.gateway([url], broken=CLOCK, packs=packs) as served:
        httpx.get(f"{url}/fault/hangs")
        begun = time.monotonic()
        asked = asyncio.run(ask_all(served, _JUMPED, at_once=_JUMPED))
        waited_s = round(time.monotonic() - begun, 1)
        httpx.get(f"{url}/fault/none")
        lines = settled(served, _JUMPED)
        yield {**row_of("the clock jumps, and the upstream never answers", asked, lines), "waited_s": waited_s}
        well_again(served)
        removed_at = [float("inf")]

        def remove() -> None:
            removed_at[0] = time.monotonic()
            next(packs.glob("harry-potter")).rename(packs.with_name("removed-meanwhile"))

        asked = asyncio.run(ask_all(served, 3 * _JUMPED, meanwhile=meanwhile(remove, 0.2)))
        lines = settled(served, 4 * _JUMPED)[_JUMPED:]
        what = "the clock jumps, and a pack is removed (then its scope is open)"
        open_at = [one.ended for one in asked if one.inside and one.plan == "Pass"]
        noticed_s = round(min(open_at) - removed_at[0], 1) if open_at else -1.0
        yield {**row_of(what, asked, lines, guarded_until=removed_at[0]), "noticed_s": noticed_s}
