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
from gateway.errors import outcome_of

__all__ = ["Audit", "AuditEvent", "Record", "Sink", "log_line"]

_log = logging.getLogger("unrecall.audit")


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """A request that has ended. None where there is nothing to tell; times in milliseconds since the request came in.

    `windows` is how many windows of the request's texts the gate read: it cuts no text short. `plan` is the plan that
    was really carried out. If another plan was decided, `decided_plan` names it, and `fallback`
    says why the backend could not carry it out. `outcome` is 'ok', 'aborted', or the name of the error. `speculation`
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


class Record:
    """One request's event in the making. It watches the answer (see `gateway.telemetry.taps`) and gives the event to
    the sinks once: when the answer ends or, after `hold`, when `release` is called."""

    def __init__(self, request: Request, sinks: Sequence[Sink], *, with_prompt: bool = False) -> None:
        self._started = time.perf_counter()
        self._sinks = sinks
        self._plan: Plan | None = None
        self._begun = self._closed = self._held = False
        self.fallback = ""
        self._fields: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "id": request.id,
            "endpoint": request.endpoint,
            "model": request.model,
            "stream": request.stream,
        }
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


class Audit:
    """Opens a record for each request."""

    def __init__(self, *sinks: Sink, with_prompts: bool = False, worker: int | None = None) -> None:
        self._sinks = sinks or (log_line,)
        self._with_prompts = with_prompts
        self._worker = worker

    def open(self, request: Request, *, shadow: bool = False) -> Record:
        """A record whose clock runs from now. A shadow's never has the prompt: the request's own record has it."""
        record = Record(request, self._sinks, with_prompt=self._with_prompts and not shadow)
        record.note(worker=self._worker)
        if shadow:
            record.note(shadow=True)
        return record
