"""The model server begins to answer a request before the gate has its verdict. Nothing of the answer is read until the
verdict is there, and nothing is ever read if the request may not pass."""

from collections.abc import AsyncGenerator

from gateway.backends.base import Started
from gateway.core import Event, Pass, Plan
from gateway.telemetry.audit import Record

__all__ = ["EarlyAnswer", "worth_a_start"]


def worth_a_start(*, named: bool, always: bool) -> bool:
    """Whether a request is likely to pass: no name in it is known to flag it (`named`), and no guard acts on every
    request (`always`)."""
    return not (named or always)


class EarlyAnswer:
    """The answer to one request that was begun before the verdict, or was not begun (`started` is None). Either
    `settled` or `abort` ends it. `record` is the request's."""

    def __init__(self, started: Started | None, record: Record) -> None:
        self._started = started
        self._record = record
        record.note(speculation="skipped" if started is None else "aborted")

    async def settled(self, plan: Plan) -> AsyncGenerator[Event, None] | None:
        """The events, if the plan lets the request pass and its answer was begun. Any other plan aborts it first."""
        if self._started is None or not isinstance(plan, Pass):
            await self.abort()
            return None
        started, self._started = self._started, None
        self._record.note(speculation="used")
        return started.events()

    async def abort(self) -> None:
        """Frees the slot of an answer that nobody may see. A second call does nothing."""
        started, self._started = self._started, None
        if started is not None:
            wasted = await started.abort()
            self._record.note(speculation_ms=round(wasted.seconds * 1000, 3), speculation_bytes=wasted.held_bytes)
