"""An online comparison under way: the arms' backends, shadows, and what is noted of the answers."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any, cast

from gateway.backends.base import Backend, features_refused
from gateway.core import Chunk, Finding, Request
from gateway.errors import AnswerError, InvalidRequest, SetupError
from gateway.experiments.answer_names import Excerpt, leak_hits
from gateway.experiments.assignment import GUARDED, Arm, Design, plan_on
from gateway.experiments.compatibility import difference
from gateway.policy import stepped
from gateway.screening.gate import Gate
from gateway.telemetry.audit import Record
from gateway.telemetry.metrics import ArmMetrics, Metrics

__all__ = ["Experiment", "Trial"]

_log = logging.getLogger("unrecall.ab")
_SCREENS = 64  # answers that may wait to be looked through


@dataclass(frozen=True, slots=True)
class Trial:
    """One request on one arm. `excerpt` is there if the request was flagged for `scopes` and something is compared."""

    arm: Arm
    backend: Backend
    request: Request
    record: Record
    gate: Gate
    scopes: frozenset[str]
    shadow: bool = False
    excerpt: Excerpt | None = None

    def hear(self, chunk: Chunk) -> None:
        """A part of the answer on its way."""
        if self.excerpt:
            self.excerpt.add(chunk)


class Experiment:
    """An async context manager around the arms' backends; the guarded one's is started by others.

    Nothing it does makes a client wait, and no failure of a shadow or a leak screen reaches one.
    """

    def __init__(
        self,
        guarded: Backend,
        design: Design | None = None,
        backends: Mapping[str, Backend] | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """`backends` by the names of the design's arms. Without a design every request meets the guarded arm."""
        self.design = design or Design()
        self._backends: dict[str, Backend] = {GUARDED: guarded, **(backends or {})}
        self._metrics: ArmMetrics | None = (metrics or Metrics()).of_arms() if self.design.arms else None
        self._shadows: set[asyncio.Task[None]] = set()
        self._screens: set[asyncio.Task[None]] = set()
        self._threads: ThreadPoolExecutor | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Experiment":
        """Starts the arms. SetupError names the one that cannot be reached or compared."""
        if not self.design.arms:
            return self
        async with AsyncExitStack() as stack:
            for arm in self.design.arms:
                await self._start(arm, stack)
            self._stack = stack.pop_all()
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="leak-screen")
        return self

    async def __aexit__(self, *error: object) -> None:
        """Ends what runs beside the requests; lines that waited for a leak screen are written without it."""
        threads, self._threads = self._threads, None
        for running in (self._shadows, self._screens):
            tasks = list(running)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if threads:
            threads.shutdown(wait=False, cancel_futures=True)
        await self._stack.aclose()

    async def _start(self, arm: Arm, stack: AsyncExitStack) -> None:
        backend, guarded = self._backends[arm.name], self._backends[GUARDED]
        try:
            await stack.enter_async_context(backend)
        except (SetupError, AnswerError) as error:
            raise SetupError(f"arm {arm.name!r}: {error}") from error
        if why := difference(guarded, backend, visible=self.design.mode == "split"):
            raise SetupError(f"arm {arm.name!r}: {why}")
        if arm.unlearned:
            scopes = "every scope" if arm.unlearned is True else ", ".join(sorted(arm.unlearned))
            _log.warning("arm %s is declared unlearned: requests inside %s reach it UNGUARDED", arm.name, scopes)
        for plan, fault in backend.served.cannot.items():
            if plan[0].isupper() and arm.unlearned is not True:
                _log.warning("arm %s: %s cannot be served, such requests are refused: %s", arm.name, plan, fault)

    async def follow(self, gate: Gate) -> None:
        """Makes the arms ready for a gate's adapters."""
        for arm in self.design.arms:
            named = arm.unlearned if isinstance(arm.unlearned, frozenset) else frozenset()
            if unknown := sorted(named - gate.guards.keys()):
                _log.warning("arm %s is declared to have unlearned %s, and no pack is of that scope", arm.name, unknown)
            faults = await self._backends[arm.name].prepare(arm.guards(gate.loras))
            for scope, fault in faults.items():
                _log.error("arm %s: pack %s cannot be served, what it flags is refused: %s", arm.name, scope, fault)

    async def troubles(self) -> Sequence[str]:
        """Which arms cannot answer now, and why. The others can: the gateway is ready all the same."""
        names = [arm.name for arm in self.design.arms]
        found = await asyncio.gather(*(self._backends[name].trouble() for name in names))
        return [f"arm {name}: {why}" for name, why in zip(names, found, strict=True) if why]

    def backend_of(self, arm: Arm) -> Backend:
        """The backend that answers for an arm."""
        return self._backends[arm.name]

    def begin(self, arm: Arm, request: Request, findings: Sequence[Finding], gate: Gate, record: Record) -> Trial:
        """To be called once the request is decided on: from now on its arm is in its record, and it may be shadowed."""
        scopes = frozenset(finding.scope for finding in findings if finding.matched)
        other = self.design.shadowing(request) if scopes else None
        if other and self._metrics and self._threads:
            if len(self._shadows) < self.design.shadows:
                self._spawn(self._shadow(other, request, findings, gate), self._shadows)
            else:
                self._metrics.skipped.labels(other.name, "shadow").inc()
        return self._trial(arm, request, scopes, gate, record)

    def _trial(
        self, arm: Arm, request: Request, scopes: frozenset[str], gate: Gate, record: Record, *, shadow: bool = False
    ) -> Trial:
        excerpt = Excerpt() if scopes and self._metrics else None
        if self._metrics:
            record.line["arm"] = arm.name
        if shadow:
            record.line["shadow"] = True
        if excerpt:
            record.hold()
        return Trial(arm, self._backends[arm.name], request, record, gate, scopes, shadow, excerpt)

    def end(self, trial: Trial) -> None:
        """To be called when the record is closed: counts, and has the answer to a flagged request looked through."""
        if self._metrics is None:
            return
        line = trial.record.line
        arm, shadow, flagged = trial.arm.name, _word(trial.shadow), _word(bool(trial.scopes))
        self._metrics.requests.labels(arm, shadow, flagged, line["outcome"]).inc()
        if line["outcome"] == "ok":
            seconds = (line["total_ms"] - line.get("gate_ms", 0)) / 1000
            self._metrics.latency_seconds.labels(arm, shadow).observe(seconds)
        if line["outcome"] != "ok" or trial.excerpt is None or self._threads is None:
            trial.record.release()
        elif len(self._screens) >= _SCREENS:
            self._metrics.skipped.labels(arm, "leak_screen").inc()
            trial.record.release()
        else:
            task = self._spawn(self._screen(trial, trial.excerpt, self._metrics), self._screens)
            task.add_done_callback(lambda _: trial.record.release())

    async def _screen(self, trial: Trial, excerpt: Excerpt, metrics: ArmMetrics) -> None:
        run = asyncio.get_running_loop().run_in_executor
        try:
            hits = await run(self._threads, leak_hits, trial.gate, trial.request, trial.scopes, excerpt)
        except Exception as error:  # its words may be the answer's: the kind is enough
            _log.error("%s: the leak screen failed: %s", trial.request.id, type(error).__name__)
            metrics.skipped.labels(trial.arm.name, "leak_screen").inc()
            return
        trial.record.line["leak_screen"] = list(hits)
        metrics.leak_screens.labels(trial.arm.name, _word(trial.shadow), _word(bool(hits))).inc()

    async def _shadow(self, arm: Arm, request: Request, findings: Sequence[Finding], gate: Gate) -> None:
        record, backend = Record(request, with_prompt=False), self._backends[arm.name]
        scopes = frozenset(finding.scope for finding in findings if finding.matched)
        trial = self._trial(arm, request, scopes, gate, record, shadow=True)
        outcome = "aborted"
        try:
            if reasons := features_refused(request, backend.served):
                raise InvalidRequest(reasons[0])
            wanted = plan_on(arm, request, findings, gate.guards)
            plan = stepped(wanted, backend.served.strengths)
            record.decided(wanted, plan, findings, screen_error=None)
            chunks = cast("AsyncGenerator[Chunk, None]", backend.generate(request, plan))
            async with asyncio.timeout(self.design.shadow_timeout_s), aclosing(chunks):
                async for chunk in chunks:
                    record.mark("first_chunk")
                    trial.hear(chunk)
            outcome = "ok"
        except Exception as error:  # no client waits for it
            outcome = type(error).__name__
            if not isinstance(error, AnswerError | TimeoutError):
                _log.error("%s: arm %s failed in the shadow: %s", request.id, arm.name, outcome)
        finally:
            record.close(outcome)
            self.end(trial)

    def _spawn(self, work: Coroutine[Any, Any, None], running: set[asyncio.Task[None]]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        running.add(task)
        task.add_done_callback(running.discard)
        return task


def _word(value: bool) -> str:
    return str(value).lower()
