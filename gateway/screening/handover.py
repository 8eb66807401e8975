"""Hands an answer over: takes it from the model that leaks, and has it go on under the plan of the scope."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable

from classifiers.leaks.watch import Leak
from gateway.backends.base import Backend
from gateway.core import DEFAULT_REFUSAL, Event, Pass, Plan, Refuse, Request
from gateway.telemetry.audit import Record

__all__ = ["Handover"]

_log = logging.getLogger("unrecall.output")


class Handover:
    """Finds other answers to one request. See `gateway.screening.output.Remedy`."""

    def __init__(
        self,
        request: Request,
        backend: Backend,
        plan: Plan,
        decided: Callable[[Leak], Awaitable[Plan]],
        record: Record,
    ) -> None:
        """
        Args:
            request: as the client sent it.
            backend: answers the request.
            plan: under which it answers first.
            decided: gives the plan for a request whose answer leaks.
            record: of the request.
        """
        self._request = request
        self._backend = backend
        self._refusal = plan.fallback
        self._decided = decided
        self._record = record
        self._leaks: list[dict[str, str]] = []

    async def other_answer(self, leak: Leak, request: Request) -> AsyncGenerator[Event, None] | None:
        """See Remedy. A leak of no scope is a failure of the screen: then there is no other answer."""
        if leak.kind == "failure" or (request.written and request.carries):
            return None  # behind a beginning the model gets its prompt as tokens, which hold no tools and no schema
        try:
            plan = await self._decided(leak)
        except Exception:
            _log.exception("%s: no other plan could be decided, the answer ends", request.id)
            return None
        self._refusal = plan.fallback
        if isinstance(plan, Refuse | Pass):
            return None
        self._note(leak, plan.name)
        return self._backend.generate(request, plan)

    def refusal(self, request: Request) -> AsyncGenerator[Event, None]:
        """See Remedy."""
        text = self._refusal or DEFAULT_REFUSAL
        return self._backend.generate(request, Refuse(text, fallback=text))

    def tokens(self, text: str) -> int:
        """See Remedy."""
        return len(self._backend.served.tokenizer(text, add_special_tokens=False)["input_ids"])

    async def prompt_tokens(self) -> int:
        """See Remedy."""
        return await asyncio.to_thread(self._backend.check_length, self._request)

    def ended(self, leak: Leak) -> None:
        """See Remedy."""
        self._note(leak, "Refuse")

    def waited(self, chars: int, seconds: float) -> None:
        """See Remedy."""
        self._record.note(held_chars=chars, held_ms=round(seconds * 1000, 3))

    def _note(self, leak: Leak, plan: str) -> None:
        self._leaks.append({"scope": leak.scope, "kind": leak.kind, "plan": plan})
        self._record.note(leaks=tuple(self._leaks))
