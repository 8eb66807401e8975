"""Where the gateways and upstreams of benchmarks.product.faults are started, and how to wait for them."""

import asyncio
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from benchmarks.product.fault_load import MODEL, Served, gateway_before
from benchmarks.product.stub import Pace, check_tokens, stub_server

__all__ = ["House", "meanwhile", "settled", "well_again"]

_PACE = Pace(((1, 0.02, 0.2),))


class House:
    """Where the gateways of one matrix are started."""

    def __init__(self, stack: ExitStack, packs: Path) -> None:
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        self.packs = packs.resolve()
        self._tokens = check_tokens(MODEL)
        self._numbers = iter(range(1000))

    @contextmanager
    def upstream(self, pace: Pace = _PACE) -> Iterator[tuple[str, int]]:
        """URL and process of a stub."""
        before = set(multiprocessing.active_children())
        with stub_server(pace, prompt_tokens=self._tokens) as url:
            (started,) = set(multiprocessing.active_children()) - before
            yield url, started.pid or 0

    def copied_packs(self, name: str) -> Path:
        """A copy of the packs that may be changed."""
        return Path(shutil.copytree(self.packs, self.folder / name))

    def gateway(self, urls: Sequence[str], *words: str, packs: Path | None = None, **options: str) -> Any:
        """See gateway_before."""
        folder = self.folder / str(next(self._numbers))
        return gateway_before(urls, folder, packs or self.packs, *words, **options)


def settled(served: Served, count: int) -> list[dict[str, Any]]:
    """The audit lines of requests, once there are so many; a line comes when the gateway has let go of a request."""
    end = time.monotonic() + 10
    while len(lines := served.lines()) < count and time.monotonic() < end:
        time.sleep(0.1)
    return lines


def well_again(served: Served) -> None:
    """Waits until the gateway is ready. RuntimeError if it does not recover."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with suppress(httpx.HTTPError):
            if httpx.get(f"{served.url}/readyz").status_code == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"the gateway did not recover; see {served.log}")


def meanwhile(act: Callable[[], None], after_s: float = 0.5) -> Callable[[], Awaitable[None]]:
    """For `ask_all`: acts once, some time after the first requests."""

    async def later() -> None:
        await asyncio.sleep(after_s)
        await asyncio.to_thread(act)

    return later
