"""The seam between a backend and the encoder. A tap takes the events of an answer and gives those that go on; a watcher
only looks.

Example: a watcher that counts the characters of an answer.

    >>> import asyncio
    >>> from gateway.core import Delta
    >>> class Counter:
    ...     characters = 0
    ...     def see(self, event):
    ...         self.characters += sum(len(delta.text) for delta in event.deltas)
    ...     def end(self, outcome): ...
    >>> async def events():
    ...     yield Event.of(Delta(0, "Hello"))
    >>> async def read(tap):
    ...     return [event async for event in tap(events())]
    >>> counter = Counter()
    >>> _ = asyncio.run(read(watched_by(counter)))
    >>> counter.characters
    5
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from gateway.core import Event, Tap
from gateway.errors import AnswerError, outcome_of

__all__ = ["Watcher", "watched_by"]


class Watcher(Protocol):
    """Sees one answer on its way, and delays nothing."""

    def see(self, event: Event) -> None:
        """One step of the answer, before it goes on. Who reads `event.parts` must read them of every event."""

    def end(self, outcome: str) -> None:
        """The answer is over, however it ended: 'ok', 'aborted', or the name of the error."""


def watched_by(*watchers: Watcher) -> Tap:
    """A tap that shows every event to the watchers and hands it on as it is. Each watcher is told of the end once."""

    async def tap(events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        outcome = "aborted"  # unless the answer comes to its end
        try:
            async with aclosing(events):
                async for event in events:
                    for watcher in watchers:
                        watcher.see(event)
                    yield event
            outcome = "ok"
        except AnswerError as error:
            outcome = outcome_of(error)
            raise
        finally:
            for watcher in watchers:
                watcher.end(outcome)

    return tap
