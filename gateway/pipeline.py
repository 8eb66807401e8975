"""A request's life: screen it, decide, generate, account for it. Every prompt-bearing endpoint takes this one path."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal, cast

from gateway.backends.base import Backend, features_refused
from gateway.core import Answer, Chunk, Finding, Pass, Plan, Refuse, Request
from gateway.errors import AnswerError, InvalidRequest, NotReady, ScreenError, UnknownModel
from gateway.experiments.assignment import plan_on
from gateway.experiments.runner import Experiment, Trial
from gateway.policy import DEFAULT_REFUSAL, stepped
from gateway.prompts.rendering import count_tokens
from gateway.screening.batching import Screen
from gateway.screening.gate import Gate
from gateway.screening.reload import Roster
from gateway.telemetry.audit import Audit, Record
from gateway.telemetry.metrics import Metrics

__all__ = ["OnScreenError", "Pipeline"]

_log = logging.getLogger("unrecall.pipeline")
OnScreenError = Literal["refuse", "pass"]
_LONG_CHARS_PER_TOKEN = 16  # four times what ordinary text has: below that the model itself may say no


class Pipeline:
    """Holds the parts together and no request's state."""

    def __init__(
        self,
        *,
        backend: Backend,
        roster: Roster,
        screen: Screen,
        audit: Audit,
        metrics: Metrics,
        on_screen_error: OnScreenError = "refuse",
        experiment: Experiment | None = None,
    ) -> None:
        """Without an experiment every request meets `backend`: the guarded arm, and the only one."""
        self.backend = backend
        self.roster = roster
        self.experiment = experiment or Experiment(backend)
        self._screen = screen
        self._audit = audit
        self._metrics = metrics
        self._on_screen_error = on_screen_error

    async def follow(self, gate: Gate) -> None:
        """Makes the backend ready for a gate's adapters. What it cannot serve it refuses; the log says why."""
        for scope, fault in (await self.backend.prepare(gate.loras)).items():
            _log.error("pack %s cannot be served, what it flags is refused: %s", scope, fault)
        await self.experiment.follow(gate)

    async def trouble(self) -> str | None:
        """Why requests cannot be answered now; None if they can."""
        return self._unguarded() or self._screen.trouble() or await self.backend.trouble()

    def _unguarded(self) -> str | None:
        """A pack that cannot be read may hold any scope: no request can be told to be outside it."""
        return "a pack cannot be loaded; the gateway's log says which and why" if self.roster.unguarded else None

    async def run(self, request: Request) -> Answer:
        """Screens, decides, and starts the answer. Its chunks must be read or closed.

        Raises AnswerError for what this backend cannot take, whether or not the request is flagged.
        """
        record = self._audit.open(request)
        try:
            if trouble := self._unguarded():
                raise NotReady(trouble)
            self._check(request)
            await self._check_length(request)
            gate = self.roster.gate  # this request keeps it, whatever is reloaded meanwhile
            findings, error = await self._findings(request, gate)
            record.mark("gate")
            arm = self.experiment.design.answering(request)
            wanted = plan_on(arm, request, findings, gate.guards) if error is None else self._undecided()
            plan = stepped(wanted, self.experiment.backend_of(arm).served.strengths)
        except BaseException as failure:
            record.close(type(failure).__name__)
            raise
        record.decided(wanted, plan, findings, screen_error=error)
        self._count(record, findings)
        trial = self.experiment.begin(arm, request, findings, gate, record)
        return Answer(plan, findings, self._answer(request, plan, record, trial))

    async def _findings(self, request: Request, gate: Gate) -> tuple[tuple[Finding, ...], str | None]:
        try:
            return await self._screen.findings(request, gate), None
        except ScreenError as error:
            self._metrics.screen_errors.inc()
            _log.error("%s: %s; the policy for this is %r", request.id, error, self._on_screen_error)
            return (), str(error)

    def _undecided(self) -> Plan:
        return Pass() if self._on_screen_error == "pass" else Refuse(DEFAULT_REFUSAL)

    async def _answer(self, request: Request, plan: Plan, record: Record, trial: Trial) -> AsyncGenerator[Chunk, None]:
        outcome = "aborted"  # unless the answer comes to its end
        self._metrics.running.inc()
        try:
            chunks = cast("AsyncGenerator[Chunk, None]", trial.backend.generate(request, plan))
            async with aclosing(chunks):
                async for chunk in chunks:
                    record.mark("first_chunk")
                    trial.hear(chunk)
                    yield chunk
            outcome = "ok"
        except AnswerError as error:
            outcome = type(error).__name__
            raise
        finally:
            self._metrics.running.dec()
            record.close(outcome)
            self._measure(record)
            self.experiment.end(trial)

    def _check(self, request: Request) -> None:
        served = self.backend.served
        if request.model not in {card.id for card in served.models}:
            names = ", ".join(card.id for card in served.models)
            raise UnknownModel(f"the model {request.model!r} is not served here; there is {names}", param="model")
        if reasons := features_refused(request, served):
            field = next(feature for feature in sorted(request.carries) if feature in served.cannot)
            raise InvalidRequest(reasons[0], param=field, code="unsupported_parameter")

    async def _check_length(self, request: Request) -> None:
        """A text that the model could not take anyway must not hold up the gate; others are not even counted."""
        context = max(card.max_tokens for card in self.backend.served.models)
        chars = sum(len(message.text) for message in request.messages)
        if chars <= _LONG_CHARS_PER_TOKEN * context:
            return
        tokens = await asyncio.to_thread(count_tokens, self.backend.served.tokenizer, request)
        if tokens > context:
            raise InvalidRequest(
                f"the prompt has {tokens} tokens, and the model's context is {context} tokens; shorten the messages",
                param="messages" if request.endpoint == "chat" else "prompt",
                code="context_length_exceeded",
            )

    def _count(self, record: Record, findings: tuple[Finding, ...]) -> None:
        self._metrics.gate_seconds.observe(record.line["gate_ms"] / 1000)
        for scope in {finding.scope for finding in findings if finding.matched}:
            self._metrics.flagged.labels(scope).inc()

    def _measure(self, record: Record) -> None:
        line = record.line
        self._metrics.requests.labels(line["endpoint"], line["plan"], line["outcome"]).inc()
        self._metrics.latency_seconds.observe(line["total_ms"] / 1000)
        if "first_chunk_ms" in line:
            self._metrics.first_token_seconds.observe(line["first_chunk_ms"] / 1000)
