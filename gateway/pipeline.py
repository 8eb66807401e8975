"""The life of a request: screen, decide, generate, audit. Every endpoint that takes prompts uses this one path."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from classifiers.leaks.watch import Leak
from gateway.backends.base import Assignment, Backend, Starting, check_features
from gateway.core import DEFAULT_REFUSAL, Answer, Pass, Plan, Refuse, Request, Screening, Tap
from gateway.errors import NotReady, UnknownModel
from gateway.policy import Decide, Guard, decide
from gateway.screening.batching import BatchedScreen
from gateway.screening.complaints import ComplaintScreen
from gateway.screening.gate import Gate
from gateway.screening.handover import Handover
from gateway.screening.output import OutputScreen
from gateway.screening.reload import PackReloader
from gateway.screening.texts import screened_texts
from gateway.speculation import EarlyAnswer, worth_a_start
from gateway.telemetry.audit import Audit, Record
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.taps import watched_by

if TYPE_CHECKING:
    from adapters.lora.model import Lora

__all__ = ["Comparison", "OnScreenError", "Pipeline", "TapFactory"]

_log = logging.getLogger("unrecall.pipeline")
_LONG_CHARS_PER_TOKEN = 4  # as ordinary text has; the tokens of shorter texts are not counted before the gate
_INLINE_CHARS = 1_000  # in so short a text names are found before another thread would begin
OnScreenError = Literal["refuse", "pass"]
TapFactory = Callable[[Request, Screening, Gate], Tap]


class Comparison(Protocol):
    """An online comparison of several models (gateway.experiments). Without one, every request meets one backend."""

    def assign(
        self,
        request: Request,
        screening: Screening,
        gate: Gate,
        guards: Mapping[str, Guard],
        record: Record,
        decide: Decide,
    ) -> Assignment:
        """The arm that answers, by its own plan. Other arms may answer too; no client sees their answers.

        Args:
            request: what the client asks.
            screening: what the gate found.
            gate: the gate that found it.
            guards: those that may act, ready.
            record: of this request, for the arm's name.
            decide: the policy, for the guards that act on the arm.
        """

    async def follow(self, gate: Gate) -> None:
        """Makes the arms ready for the adapters of a new gate."""

    async def problems(self) -> Sequence[str]:
        """Which arms cannot answer now, and why."""


class Pipeline:
    """Joins the parts. It holds no state of a request."""

    def __init__(
        self,
        *,
        backend: Backend,
        packs: PackReloader,
        screen: BatchedScreen,
        audit: Audit,
        metrics: Metrics,
        on_screen_error: OnScreenError = "refuse",
        comparison: Comparison | None = None,
        starting: Starting | None = None,
        taps: Sequence[TapFactory] = (),
    ) -> None:
        """
        Args:
            backend: answers; in a comparison it is the guarded arm's.
            packs: has the gate in force.
            screen: runs the gate, off the event loop.
            audit: keeps a record of every request.
            metrics: counts the requests that are running.
            on_screen_error: what to do with a request when the gate could not decide.
            comparison: gives some requests to other models.
            starting: begins answers before the gate's verdict; None: every request waits for it. No comparison may
                go with it, because only the verdict tells which model answers.
            taps: stand between the backend and the encoder, the first nearest to the backend.
        """
        if starting and comparison:
            raise ValueError("with a comparison no answer can begin before the verdict")
        self.backend = backend
        self.packs = packs
        self.comparison = comparison
        self._screen = screen
        self._audit = audit
        self._metrics = metrics
        self._on_screen_error = on_screen_error
        self._starting = starting
        self._taps = taps

    async def run(self, request: Request) -> Answer:
        """Screens, decides, and starts the answer. Its events must be read or closed.

        Raises AnswerError for what this backend cannot take, whether or not the request is flagged.
        """
        record = self._audit.open(request)
        early: EarlyAnswer | None = None
        try:
            await self._check(request)
            gate = self.packs.gate  # this request keeps it, even if packs are reloaded meanwhile
            early = await self._begun(request, gate, record)
            screening = await self._screened(request, gate)
            record.screened(screening)
            guards = {} if screening.error else await _ready(gate.acting(screening))
            assigned = self._assigned(request, screening, gate, guards, record)
            plan = assigned.plan.quantised(assigned.backend.served.adapter_weights)
            taps = [tap(request, screening, gate) for tap in self._taps]
            record.decided(assigned.plan, plan)
            if gate.watchlist.watches(assigned.exempt):
                taps = [*self._output_taps(request, screening, gate, assigned, plan, record), *taps]
            events = await early.settled(plan) if early else None
            events = events or assigned.backend.generate(request, plan)
        except BaseException as failure:
            if early:
                await early.abort()
            record.fail(failure)
            raise
        for tap in taps:
            events = tap(events)
        watch = watched_by(self._metrics.running_one(), record, *assigned.watchers)
        return Answer(plan, screening, watch(events), record)

    async def count_tokens(self, request: Request) -> bytes:
        """How many tokens the prompt of a request in Anthropic's format has, in the words of that format. No model
        reads the prompt, so there is nothing to screen. Raises AnswerError."""
        await self._check(request)
        return await self.backend.count_tokens(request)

    async def follow(self, gate: Gate) -> None:
        """Makes the backend ready for a gate's adapters. The log names each adapter that the backend cannot serve;
        requests inside its scope are refused."""
        adapters, in_force = await asyncio.to_thread(_adapters, gate, self.backend.adapter_slots)
        for scope, why in (await self.backend.prepare(adapters, in_force)).items():
            _log.error("pack %s cannot be served, so requests inside its scope are refused: %s", scope, why)
        if self.comparison:
            await self.comparison.follow(gate)

    async def problem(self) -> str | None:
        """Why requests cannot be answered now; None if they can."""
        own = self._unreadable_pack() or self._screen.problem() or self._audit.refusal
        return own or await self.backend.problem()

    def unsupported(self) -> list[str]:
        """The plans that the packs in force need and the backend cannot carry out. Such requests end in a refusal."""
        return self.backend.served.unsupported_plans(self.packs.gate.methods.values())

    def _unreadable_pack(self) -> str | None:
        """A pack that cannot be read may hold any scope, so that the gateway cannot say of any request that it is
        outside."""
        return "a pack cannot be loaded; the gateway's log says which and why" if self.packs.unguarded else None

    async def _check(self, request: Request) -> None:
        """Raises AnswerError for a fault that has nothing to do with the gate, whether or not the request is
        flagged."""
        if self._unreadable_pack():
            raise NotReady("the gateway cannot answer now; its log says why")
        served = self.backend.served
        if request.model not in {card.id for card in served.models}:
            names = ", ".join(card.id for card in served.models)
            raise UnknownModel(f"the model {request.model!r} is not served here; there is {names}", param="model")
        check_features(request, served)
        # A text that is too long for the model must not hold up the gate.
        context = max(card.max_tokens for card in served.models)
        if sum(len(message.text) for message in request.messages) > _LONG_CHARS_PER_TOKEN * context:
            await asyncio.to_thread(self.backend.check_length, request)

    async def _begun(self, request: Request, gate: Gate, record: Record) -> EarlyAnswer | None:
        """Begins the answer that the request gets if it may pass, unless it is known that it may not."""
        if self._starting is None:
            return None
        named = await _named(request, gate)
        likely = worth_a_start(named=named, always=gate.always_acts)
        return EarlyAnswer(await self._starting.start(request) if likely else None, record)

    async def _screened(self, request: Request, gate: Gate) -> Screening:
        screening = await self._screen.screened(request, gate)
        if screening.error is not None:
            _log.error("%s: %s; the policy for this is %r", request.id, screening.error, self._on_screen_error)
        return screening

    def _assigned(
        self, request: Request, screening: Screening, gate: Gate, guards: Mapping[str, Guard], record: Record
    ) -> Assignment:
        def decided(found: Screening, guards: Mapping[str, Guard]) -> Plan:
            if found.error is not None:
                return Pass() if self._on_screen_error == "pass" else Refuse(DEFAULT_REFUSAL)
            return decide(request, found, guards)

        if self.comparison:
            return self.comparison.assign(request, screening, gate, guards, record, decided)
        return Assignment(self.backend, decided(screening, guards))

    def _output_taps(
        self,
        request: Request,
        screening: Screening,
        gate: Gate,
        assigned: Assignment,
        plan: Plan,
        record: Record,
    ) -> Sequence[Tap]:
        """Screen the answer of a model, and what an upstream says in its place, whatever the plan. An answer that leaks
        goes on under the plan of the scope that it names."""
        complaints = ComplaintScreen(
            request, screening, gate.watchlist, exempt=assigned.exempt, deadline_s=self._screen.timeout_s
        )
        if isinstance(plan, Refuse):
            return [complaints.tap]

        async def decided(leak: Leak) -> Plan:
            found = await asyncio.to_thread(gate.leaking, request, screening, leak.scope)
            plan = decide(request, found, await _ready(gate.acting(found)))
            return plan.quantised(assigned.backend.served.adapter_weights)

        remedy = Handover(request, assigned.backend, assigned.plan, decided, record)
        answers = OutputScreen(
            request, screening, gate.watchlist, remedy, exempt=assigned.exempt, deadline_s=self._screen.timeout_s
        )
        return [answers.tap, complaints.tap]


async def _ready(acting: Sequence[Guard]) -> Mapping[str, Guard]:
    """The guards with what their methods learned, which is read, beside the event loop, where it is not in memory."""
    ready = [guard.ready(read=False) for guard in acting]
    if None in ready:
        ready = await asyncio.to_thread(lambda: [guard.ready() for guard in acting])
    return {guard.scope: guard for guard in ready if guard}


def _adapters(gate: Gate, slots: int) -> "tuple[Mapping[str, Lora], frozenset[str]]":
    adapters = gate.loras(slots)
    return adapters, gate.lora_digests | {lora.digest for lora in adapters.values()}


async def _named(request: Request, gate: Gate) -> bool:
    """Whether a name flags the request. True if that cannot be told: the verdict then says why."""
    texts = screened_texts(request)
    try:
        if sum(len(text.text) for text in texts) <= _INLINE_CHARS:
            found = gate.named_in(texts)
        else:
            found = await asyncio.to_thread(gate.named_in, texts)
    except Exception:
        return True
    return any(finding.matched for findings in found for finding in findings)
