"""Screening off the event loop: the texts of concurrent requests in one batch, long texts a part at a time.

Threads take what is there and never wait for more: while one batch is read the next one gathers, so a batch is as large
as the load makes it, and a request that comes alone is read alone. Callers take turns: who sends many requests, or long
ones, waits for its own, and another one's request is read next.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.core import Request, Screening
from gateway.errors import ScreenError
from gateway.screening.gate import Gate, Part
from gateway.screening.texts import screened_texts

__all__ = ["BatchedScreen"]

# Texts of many windows have a thread of their own, where they take turns: none keeps the others waiting.
_LONG_CHARS = 4_000
# More would hardly fill the encoder's batches better, and whoever comes next would wait longer.
_BATCH_TEXTS = 32
_BATCH_CHARS = 16_000

_log = logging.getLogger("unrecall.screen")
_Outcome = Screening | Exception


@dataclass(slots=True, eq=False)
class _Job:
    """One request that waits. `parts` are what is still to be read of a long one; None: it was not cut yet."""

    gate: Gate
    request: Request
    texts: int
    chars: int
    done: "asyncio.Future[Screening]"
    parts: deque[Part] | None = None


@dataclass(slots=True)
class _Line:
    """Jobs that wait for threads to take them, by caller: the callers in the order of their next turns, and the jobs of
    each in the order in which they came. `closed` ends the threads."""

    jobs: dict[str, deque[_Job]] = field(default_factory=dict)
    ready: threading.Condition = field(default_factory=threading.Condition)
    closed: bool = False

    def put(self, job: _Job) -> None:
        with self.ready:
            self.jobs.setdefault(job.request.caller, deque()).append(job)
            self.ready.notify()

    def take(self, texts: int) -> list[_Job]:
        """The next jobs: one, and more while their texts are fewer than `texts` and not long. Empty once the line is
        closed."""
        with self.ready:
            self.ready.wait_for(lambda: self.jobs or self.closed)
            batch: list[_Job] = []
            while self.jobs and not self.closed and not _full(batch, texts):
                batch.append(self._next())
            return batch

    def _next(self) -> _Job:
        """A job of the caller whose turn it is."""
        caller = next(iter(self.jobs))
        waiting = self.jobs.pop(caller)
        job = waiting.popleft()
        if waiting:
            self.jobs[caller] = waiting  # behind all others
        return job

    def close(self) -> None:
        with self.ready:
            self.closed = True
            self.ready.notify_all()


def _full(batch: Sequence[_Job], texts: int) -> bool:
    return sum(job.texts for job in batch) >= texts or sum(job.chars for job in batch) >= _BATCH_CHARS


class BatchedScreen:
    """Runs a gate over requests. An async context manager."""

    def __init__(self, *, timeout_s: float = 10.0, threads: int = 1) -> None:
        """`timeout_s` is the longest wait of one request; so many `threads` read batches of short texts, and one more
        reads long texts."""
        self.timeout_s = timeout_s
        self._threads = threads
        self._short, self._long = _Line(), _Line()
        self._workers: list[threading.Thread] = []

    async def __aenter__(self) -> "BatchedScreen":
        self._short, self._long = _Line(), _Line()
        loop = asyncio.get_running_loop()
        lines = [self._short] * self._threads + [self._long]
        self._workers = [
            threading.Thread(target=self._work, args=(line, loop), name=f"screen-{number}", daemon=True)
            for number, line in enumerate(lines)
        ]
        for worker in self._workers:
            worker.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        for line in (self._short, self._long):
            line.close()
        self._workers = []

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
        chars = sum(len(text.text) for text in texts)
        job = _Job(gate, request, len(texts), chars, asyncio.get_running_loop().create_future())
        (self._long if chars > _LONG_CHARS else self._short).put(job)
        try:
            return await asyncio.wait_for(job.done, self.timeout_s)
        except TimeoutError as error:
            raise ScreenError(f"the gate took longer than {self.timeout_s:g} s") from error
        except ScreenError:
            raise
        except Exception as error:
            raise ScreenError(f"a detector failed: {type(error).__name__}") from error

    def problem(self) -> str | None:
        """Why the gate cannot screen now; None if it can."""
        dead = not self._workers or not all(worker.is_alive() for worker in self._workers)
        return "the gate does not run; restart the gateway, its log says why" if dead else None

    def _work(self, line: _Line, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while batch := line.take(1 if line is self._long else _BATCH_TEXTS):
                jobs = [job for job in batch if not job.done.done()]
                if line is self._long:
                    self._read_part(line, jobs, loop)
                else:
                    self._read(jobs, loop)
        except BaseException:
            if not loop.is_closed():
                _log.critical("a worker of the gate died; every request is refused from now on", exc_info=True)

    def _read(self, jobs: Sequence[_Job], loop: asyncio.AbstractEventLoop) -> None:
        for gate in {id(job.gate): job.gate for job in jobs}.values():
            of_gate = [job for job in jobs if job.gate is gate]
            outcomes: Sequence[_Outcome]
            try:
                outcomes = gate.screen([job.request for job in of_gate])
            except Exception as error:  # a detector's failure belongs to its requests, not to the worker
                outcomes = [error] * len(of_gate)
            loop.call_soon_threadsafe(_settle, of_gate, outcomes)

    def _read_part(self, line: _Line, jobs: Sequence[_Job], loop: asyncio.AbstractEventLoop) -> None:
        """Reads one batch of windows of a long request, which then waits for its next turn; at the end the gate judges
        it, and finds its windows read."""
        for job in jobs:
            try:
                if job.parts is None:
                    job.parts = deque(job.gate.read_ahead(job.request))
                if job.parts:
                    job.gate.read_part(job.parts.popleft())
                    line.put(job)
                    continue
            except Exception as error:
                loop.call_soon_threadsafe(_settle, [job], [error])
                continue
            self._read([job], loop)


def _settle(jobs: Sequence[_Job], outcomes: Sequence[_Outcome]) -> None:
    """On the event loop: hands every waiting request what the gate said of it."""
    for job, outcome in zip(jobs, outcomes, strict=True):
        if job.done.done():
            continue
        if isinstance(outcome, Exception):
            job.done.set_exception(outcome)
        else:
            job.done.set_result(outcome)
