"""A running online comparison: the arms' backends, shadows, and the leak screen of answers."""

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any

from gateway.backends.base import Assignment, Backend, check_features
from gateway.core import Event, Request, Screening
from gateway.errors import AnswerError, SetupError, outcome_of
from gateway.experiments.answer_names import Excerpt, leak_hits
from gateway.experiments.assignment import GUARDED, Arm, Design, plan_on
from gateway.experiments.compatibility import difference
from gateway.policy import Decide, Guard
from gateway.screening.gate import Gate
from gateway.telemetry.audit import Audit, Record
from gateway.telemetry.metrics import ArmMetrics, Metrics

__all__ = ["Experiment"]

_log = logging.getLogger("unrecall.ab")
_SCREENS = 64  # answers that may wait for the leak screen


@dataclass(frozen=True, slots=True)
class _AssignedRequest:
    """One request on one arm. It watches the answer (see `gateway.telemetry.taps`). A flagged request has an
    `excerpt`."""

    experiment: "Experiment"
    arm: Arm
    request: Request
    record: Record
    gate: Gate
    scopes: tuple[str, ...]
    shadow: bool
    excerpt: Excerpt | None

    def see(self, event: Event) -> None:
        """A part of the answer on its way."""
        if self.excerpt:
            self.excerpt.add(event)

    def end(self, outcome: str) -> None:
        """The answer is over, and its record closed."""
        self.experiment.count(self, outcome)


class Experiment:
    """An online comparison: an async context manager around the arms' backends. The server starts the guarded arm's
    backend.

    No client waits for it. A failure of a shadow or of a leak screen reaches no client.
    """

    def __init__(
        self,
        guarded: Backend,
        design: Design,
        backends: Mapping[str, Backend],
        *,
        audit: Audit,
        metrics: Metrics,
    ) -> None:
        """
        Args:
            guarded: the gateway's own backend.
            design: the arms and the mode.
            backends: the other arms' backends by name, not started yet.
            audit: keeps a record of each shadow.
            metrics: of the gateway; the arms' are added to them.
        """
        self.design = design
        self._backends: dict[str, Backend] = {GUARDED: guarded, **backends}
        self._audit = audit
        self._metrics: ArmMetrics = metrics.of_arms()
        self._shadows: set[asyncio.Task[None]] = set()
        self._screens: set[asyncio.Task[None]] = set()
        self._threads: ThreadPoolExecutor | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Experiment":
        """Starts the arms. Raises SetupError, which names the arm that cannot be reached or compared."""
        async with AsyncExitStack() as stack:
            for arm in self.design.arms:
                await self._start(arm, stack)
            self._stack = stack.pop_all()
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="leak-screen")
        return self

    async def __aexit__(self, *error: object) -> None:
        """Ends shadows and leak screens. Audit lines that waited for a leak screen are written without it."""
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
        for need, fault in backend.served.unsupported_needs.items():
            if arm.unlearned is not True:
                _log.warning("arm %s: plans that need %s end in a refusal: %s", arm.name, need, fault)

    async def follow(self, gate: Gate) -> None:
        """Makes the arms ready for a gate's adapters."""
        for arm in self.design.arms:
            named = arm.unlearned if isinstance(arm.unlearned, frozenset) else frozenset()
            if unknown := sorted(named - gate.guards.keys()):
                _log.warning("arm %s is declared to have unlearned %s, and no pack is of that scope", arm.name, unknown)
            backend = self._backends[arm.name]
            adapters = await asyncio.to_thread(gate.loras, backend.adapter_slots)
            faults = await backend.prepare(arm.guards(adapters), gate.lora_digests)
            for scope, fault in faults.items():
                _log.error(
                    "arm %s: pack %s cannot be served, so requests inside it are refused: %s", arm.name, scope, fault
                )

    async def problems(self) -> Sequence[str]:
        """Which arms cannot answer now, and why. The gateway is ready all the same: the other arms answer."""
        names = [arm.name for arm in self.design.arms]
        found = await asyncio.gather(*(self._backends[name].problem() for name in names))
        return [f"arm {name}: {why}" for name, why in zip(names, found, strict=True) if why]

    def assign(
        self,
        request: Request,
        screening: Screening,
        gate: Gate,
        guards: Mapping[str, Guard],
        record: Record,
        decide: Decide,
    ) -> Assignment:
        """See gateway.pipeline.Comparison: the arm whose answer the client gets; a flagged request may be shadowed."""
        arm = self.design.answering(request)
        shadowing = self.design.shadowing(request) if screening.scopes else None
        if shadowing and self._threads:
            if len(self._shadows) < self.design.shadows:
                self._spawn(self._shadow(shadowing, request, screening, gate, guards, decide), self._shadows)
            else:
                self._metrics.skipped.labels(shadowing.name, "shadow").inc()
        assigned = self._assigned(arm, request, screening, gate, record)
        return Assignment(
            self._backends[arm.name],
            plan_on(arm, screening, guards, decide),
            (assigned,),
            exempt=arm.has_forgotten,
        )

    def _assigned(
        self, arm: Arm, request: Request, screening: Screening, gate: Gate, record: Record, *, shadow: bool = False
    ) -> _AssignedRequest:
        record.note(arm=arm.name)
        excerpt = Excerpt() if screening.scopes else None
        if excerpt:
            record.hold()
        return _AssignedRequest(self, arm, request, record, gate, screening.scopes, shadow, excerpt)

    def count(self, assigned: _AssignedRequest, outcome: str) -> None:
        """Counts an answer that has ended, and screens the answer to a flagged request."""
        event = assigned.record.event
        arm, shadow, flagged = assigned.arm.name, _word(assigned.shadow), _word(bool(assigned.scopes))
        self._metrics.requests.labels(arm, shadow, flagged, outcome).inc()
        if outcome == "ok":
            self._metrics.latency_seconds.labels(arm, shadow).observe((event.total_ms - (event.gate_ms or 0)) / 1000)
        if outcome != "ok" or assigned.excerpt is None or self._threads is None:
            assigned.record.release()
        elif len(self._screens) >= _SCREENS:
            self._metrics.skipped.labels(arm, "leak_screen").inc()
            assigned.record.release()
        else:
            task = self._spawn(self._screen(assigned, assigned.excerpt), self._screens)
            task.add_done_callback(lambda _: assigned.record.release())

    async def _screen(self, assigned: _AssignedRequest, excerpt: Excerpt) -> None:
        run = asyncio.get_running_loop().run_in_executor
        try:
            hits = await run(self._threads, leak_hits, assigned.gate, assigned.request, assigned.scopes, excerpt)
        except Exception as error:  # its words may hold the answer's: only its kind is logged
            _log.error("%s: the leak screen failed: %s", assigned.request.id, outcome_of(error))
            self._metrics.skipped.labels(assigned.arm.name, "leak_screen").inc()
            return
        assigned.record.note(leak_screen=list(hits))
        self._metrics.leak_screens.labels(assigned.arm.name, _word(assigned.shadow), _word(bool(hits))).inc()

    async def _shadow(
        self,
        arm: Arm,
        request: Request,
        screening: Screening,
        gate: Gate,
        guards: Mapping[str, Guard],
        decide: Decide,
    ) -> None:
        """Asks an arm beside the one that answers. No client sees this answer."""
        record, backend = self._audit.open(request, shadow=True), self._backends[arm.name]
        record.screened(screening)
        assigned = self._assigned(arm, request, screening, gate, record, shadow=True)
        try:
            check_features(request, backend.served)
            wanted = plan_on(arm, screening, guards, decide)
            plan = wanted.quantised(backend.served.adapter_weights)
            record.decided(wanted, plan)
            events = backend.generate(request, plan)
            async with asyncio.timeout(self.design.shadow_timeout_s), aclosing(events):
                async for event in events:
                    record.see(event)
                    assigned.see(event)
            record.end("ok")
        except Exception as error:  # no client waits for it
            record.fail(error)
            if not isinstance(error, AnswerError | TimeoutError):
                _log.error("%s: arm %s failed in the shadow: %s", request.id, arm.name, outcome_of(error))
        finally:
            record.end("aborted")  # unless it has ended
            assigned.end(record.event.outcome)

    def _spawn(self, work: Coroutine[Any, Any, None], running: set[asyncio.Task[None]]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        running.add(task)
        task.add_done_callback(running.discard)
        return task


def _word(value: bool) -> str:
    return str(value).lower()
