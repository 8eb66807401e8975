"""One audit event for every request: the decided plan, the plan that was really carried out, and the time of each part.
It holds no text of prompts unless the operator asks for it.

In an online comparison each event names its `arm`, and a request that is shadowed has a second event, with `shadow`.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.core import Event, Plan, Request, Screening
from gateway.errors import NotReady, outcome_of
from gateway.telemetry.lines import LineHandler
from gateway.telemetry.pending import Pending

__all__ = ["Audit", "AuditEvent", "Record", "Sink", "log_line", "log_problem"]

_log = logging.getLogger("unrecall.audit")


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """A request that has ended. None where there is nothing to tell; times in milliseconds since the request came in.

    `windows` is how many windows of the request's texts the gate read: it cuts no text short. `plan` is the plan that
    was really carried out. If another plan was decided, `decided_plan` names it, and `fallback` says why the backend
    could not carry it out. `outcome` is 'ok', 'aborted', or the name of the error ('killed': the process was killed,
    and another one wrote a short line in its place). `speculation`
    says what became of an answer that began before the gate's verdict: 'used', 'aborted' (after so many ms, with so
    many bytes unread), or 'skipped'. `leaks` are those that the output screen found in the answer: the scope, what
    stood there (name, fact, passage), and the plan under which the answer went on from there ('Refuse': it ended). Of a
    stream `held_chars` waited at most at one time, and none waited longer than `held_ms`. `worker` is the number of the
    process that answered, where several serve one port.
    """

    time: str
    id: str
    endpoint: str
    model: str
    stream: bool
    outcome: str
    total_ms: float
    messages: Sequence[Mapping[str, str]] | None = None
    plan: str | None = None
    decided_plan: str | None = None
    fallback: str | None = None
    scopes: Sequence[str] | None = None
    findings: Sequence[Mapping[str, Any]] | None = None
    weights: Mapping[str, float] | None = None
    served_weights: Mapping[str, float] | None = None
    screen_error: str | None = None
    gate_ms: float | None = None
    windows: int | None = None
    speculation: str | None = None
    speculation_ms: float | None = None
    speculation_bytes: int | None = None
    first_chunk_ms: float | None = None
    leaks: Sequence[Mapping[str, str]] | None = None
    held_chars: int | None = None
    held_ms: float | None = None
    arm: str | None = None
    shadow: bool | None = None
    leak_screen: Sequence[str] | None = None
    worker: int | None = None

    def line(self) -> dict[str, Any]:
        """The fields that a log keeps."""
        named = ((name, getattr(self, name)) for name in self.__slots__)  # asdict would copy every finding
        return {name: value for name, value in named if value is not None}


Sink = Callable[[AuditEvent], None]
"""Takes audit events: a log, metrics, a test."""


def log_line(event: AuditEvent) -> None:
    """The sink of the logger `unrecall.audit`: one JSON line an event."""
    _log.info(orjson.dumps(event.line()).decode())


def log_problem() -> str | None:
    """Why the lines of `log_line` cannot be written now; None if they can."""
    handlers = (handler for handler in _log.handlers if isinstance(handler, LineHandler))
    return next((problem for handler in handlers if (problem := handler.problem())), None)


class Record:
    """One request's event in the making. It watches the answer (see `gateway.telemetry.taps`) and gives the event to
    the sinks once: when the answer ends or, after `hold`, when `release` is called."""

    def __init__(
        self, request: Request, sinks: Sequence[Sink], *, with_prompt: bool = False, pending: Pending | None = None
    ) -> None:
        """
        Args:
            request: is about to be screened.
            sinks: get the event.
            with_prompt: whether it holds the text of the prompt.
            pending: notes the request until the sinks have its event.
        """
        self._started = time.perf_counter()
        self._sinks = sinks
        self._plan: Plan | None = None
        self._begun = self._closed = self._held = False
        self.fallback = ""
        self._fields: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "id": request.id,
            "endpoint": request.surface,
            "model": request.model,
            "stream": request.stream,
        }
        self._pending = pending
        self._slot = pending.begin(self._fields) if pending else None
        if with_prompt:
            self._fields["messages"] = [{"role": m.role, "text": m.text} for m in request.messages]

    @property
    def done(self) -> str:
        """The name of the plan that is really carried out; empty before the decision."""
        return "Refuse" if self.fallback else self._plan.name if self._plan else ""

    def note(self, **fields: Any) -> None:
        """Sets fields of the event."""
        self._fields |= fields

    def mark(self, part: str) -> None:
        """Notes when a part was first done."""
        self._fields.setdefault(f"{part}_ms", round((time.perf_counter() - self._started) * 1000, 3))

    def screened(self, screening: Screening) -> None:
        """What the gate found."""
        self.mark("gate")
        self._fields["scopes"] = screening.scopes
        self._fields["findings"] = [
            {
                "scope": f.scope,
                "detector": f.detector,
                "score": round(f.score, 4),
                "threshold": round(f.threshold, 4),
            }
            for f in screening.matched
        ]
        self._fields["screen_error"] = screening.error
        self._fields["windows"] = screening.windows

    def decided(self, wanted: Plan, plan: Plan) -> None:
        """Takes the plan that the policy decided, and the plan that the backend gets: it may have other weights."""
        self._plan = plan
        if wanted.weights:
            self._fields["weights"] = {scope: round(weight, 4) for scope, weight in wanted.weights.items()}
            self._fields["served_weights"] = dict(plan.weights)

    def see(self, event: Event) -> None:
        """One step of the answer."""
        if event.fallback:
            self.fallback = event.fallback
        elif not self._begun:
            self._begun = True
            self.mark("first_chunk")

    def end(self, outcome: str) -> None:
        """The answer is over; only the first call counts."""
        if self._closed:
            return
        self._closed = True
        self.mark("total")
        self._fields["outcome"] = outcome
        self._fields["plan"] = self.done or None
        if self.fallback and self._plan:
            self._fields |= {"decided_plan": self._plan.name, "fallback": self.fallback}
        if not self._held:
            self._give()

    def fail(self, error: BaseException) -> None:
        """Ends a request that was never answered."""
        self.end(outcome_of(error))

    def hold(self) -> None:
        """From now on the event waits for `release`: something about the answer is known only after its end."""
        self._held = True

    def release(self) -> None:
        """Gives a closed event that was held."""
        if self._held and self._closed:
            self._held = False
            self._give()

    @property
    def event(self) -> AuditEvent:
        """The event of a record that has ended."""
        return AuditEvent(**self._fields)

    def _give(self) -> None:
        event = self.event
        for sink in self._sinks:
            sink(event)
        if self._pending:
            self._pending.end(self._slot)


class Audit:
    """Opens a record for each request."""

    def __init__(
        self,
        *sinks: Sink,
        with_prompts: bool = False,
        worker: int | None = None,
        problem: Callable[[], str | None] = log_problem,
        must_write: bool = True,
        pending: Pending | None = None,
    ) -> None:
        """
        Args:
            sinks: take the events. None: the log.
            with_prompts: whether events hold the text of the prompts.
            worker: the number of this process among several.
            problem: says why events cannot be kept now.
            must_write: whether no request is taken meanwhile.
            pending: notes requests that have no event yet, for the case that this process is killed.
        """
        self._sinks = sinks or (log_line,)
        self._with_prompts = with_prompts
        self._worker = worker
        self.problem = problem
        self._must_write = must_write
        self._pending = pending

    @property
    def refusal(self) -> str | None:
        """Why no request is taken now; None if they are. It is for clients too."""
        return "the audit log cannot be written; the gateway's log says why" if self._refuses() else None

    def _refuses(self) -> bool:
        return self._must_write and self.problem() is not None

    def open(self, request: Request, *, shadow: bool = False) -> Record:
        """A record whose clock runs from now. A shadow's never has the prompt: the request's own record has it. Raises
        NotReady while events cannot be kept."""
        if not shadow and (refusal := self.refusal):
            raise NotReady(refusal)
        pending = None if shadow else self._pending
        record = Record(request, self._sinks, with_prompt=self._with_prompts and not shadow, pending=pending)
        record.note(worker=self._worker)
        if shadow:
            record.note(shadow=True)
        return record
