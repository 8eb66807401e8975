"""Screening off the event loop, the texts of concurrent requests in one batch."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from gateway.core import Request, Screening
from gateway.errors import ScreenError
from gateway.screening.gate import Gate, screened_texts

__all__ = ["BatchedScreen"]

# A text of many windows must not keep short ones waiting, so long requests have a thread of their own.
_LONG_CHARS = 8_000
_BATCH_TEXTS = 64

_Lane = Literal["short", "long"]
_log = logging.getLogger("unrecall.screen")


@dataclass(frozen=True, slots=True)
class _Job:
    gate: Gate
    request: Request
    texts: int
    done: "asyncio.Future[Screening]"


class BatchedScreen:
    """Runs a gate over requests. An async context manager; `timeout_s` is the longest wait of one request."""

    def __init__(self, *, timeout_s: float = 10.0) -> None:
        self._timeout_s = timeout_s
        self._lanes: dict[_Lane, asyncio.Queue[_Job]] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._workers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "BatchedScreen":
        self._lanes = {"short": asyncio.Queue(), "long": asyncio.Queue()}  # a queue belongs to one event loop
        self._threads = ThreadPoolExecutor(len(self._lanes), thread_name_prefix="screen")
        self._workers = [asyncio.create_task(self._work(lane)) for lane in self._lanes.values()]
        for worker in self._workers:
            worker.add_done_callback(_log_death)
        return self

    async def __aexit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        if self._threads:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def screened(self, request: Request, gate: Gate) -> Screening:
        """What the gate says of a request. `error` says that a detector failed or took too long."""
        try:
            return await self._screened(request, gate)
        except ScreenError as error:
            return Screening(error=str(error))

    async def _screened(self, request: Request, gate: Gate) -> Screening:
        texts = screened_texts(request)
        if not texts:
            return Screening()
        if self.problem():
            raise ScreenError("the gate does not run")
        job = _Job(gate, request, len(texts), asyncio.get_running_loop().create_future())
        lane: _Lane = "long" if sum(len(text.text) for text in texts) > _LONG_CHARS else "short"
        self._lanes[lane].put_nowait(job)
        try:
            return await asyncio.wait_for(job.done, self._timeout_s)
        except TimeoutError as error:
            raise ScreenError(f"the gate took longer than {self._timeout_s:g} s") from error
        except ScreenError:
            raise
        except Exception as error:
            raise ScreenError(f"a detector failed: {type(error).__name__}") from error

    def problem(self) -> str | None:
        """Why the gate cannot screen now; None if it can."""
        dead = not self._workers or any(worker.done() for worker in self._workers)
        return "the gate does not run; restart the gateway, its log says why" if dead else None

    async def _work(self, lane: "asyncio.Queue[_Job]") -> None:
        while True:
            batch = [await lane.get()]
            while not lane.empty() and sum(job.texts for job in batch) < _BATCH_TEXTS:
                batch.append(lane.get_nowait())
            for gate in {id(job.gate): job.gate for job in batch}.values():
                await self._run(gate, [job for job in batch if job.gate is gate and not job.done.done()])

    async def _run(self, gate: Gate, jobs: Sequence[_Job]) -> None:
        requests = [job.request for job in jobs]
        try:
            screenings = await asyncio.get_running_loop().run_in_executor(self._threads, gate.screen, requests)
        except Exception as error:  # a detector's failure belongs to its requests, not to the worker
            for job in jobs:
                _settle(job, error)
            return
        for job, screening in zip(jobs, screenings, strict=True):
            _settle(job, screening)


def _log_death(worker: "asyncio.Task[None]") -> None:
    if not worker.cancelled() and (error := worker.exception()):
        _log.critical("a worker of the gate died; every request is refused from now on", exc_info=error)


def _settle(job: _Job, outcome: Screening | Exception) -> None:
    if job.done.done():
        return
    if isinstance(outcome, Exception):
        job.done.set_exception(outcome)
    else:
        job.done.set_result(outcome)
