"""The words of an upstream's error, screened as an answer is: it may quote what the model wrote.

vLLM builds its answers with a library that quotes what it does not take. A model that calls a tool with a text where an
object must be has this text in the error, which no other screen reads.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from classifiers.leaks.watch import AnswerWatch, Asked, OwnWords, Watchlist
from gateway.core import Event, Request, Screening
from gateway.errors import UpstreamRefused
from gateway.screening.deadline import beside_the_loop

__all__ = ["ComplaintScreen"]


class ComplaintScreen:
    """Screens what an upstream says of one request that it does not answer."""

    def __init__(
        self,
        request: Request,
        screening: Screening,
        watchlist: Watchlist,
        *,
        exempt: Callable[[str], bool],
        deadline_s: float = 10.0,
    ) -> None:
        """All texts of the request are the client's own here, whoever is said to speak in them: what an upstream does
        not take, it quotes.

        Args:
            request: as the client sent it.
            screening: what the gate found.
            watchlist: what counts as a leak.
            exempt: whether a scope does not count for this answer.
            deadline_s: the longest time of reading a message.
        """
        self._request = request
        self._scopes = frozenset(screening.scopes)
        self._watchlist = watchlist
        self._exempt = exempt
        self._deadline_s = deadline_s

    async def tap(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        """The events as they are. Raises, of an upstream's complaint that leaks, one without words, of the same status.
        See `gateway.core.Tap`."""
        try:
            async with aclosing(events):
                async for event in events:
                    yield event
        except UpstreamRefused as error:
            if await self._leaks(f"{error.param or ''}\n{error.message}"):
                raise UpstreamRefused.without_words(error.status) from None
            raise

    async def _leaks(self, text: str) -> bool:
        """True if that cannot be told."""
        try:
            return await beside_the_loop(lambda: self._reads_leak(text), self._deadline_s)
        except Exception:
            return True

    def _reads_leak(self, text: str) -> bool:
        own = OwnWords(self._watchlist, Asked(tuple(_texts(self._request)), self._scopes, self._exempt))
        return AnswerWatch(self._watchlist, own).read(text, ended=True).leak is not None


def _texts(request: Request) -> list[str]:
    """All that the client sent: what is read of it, and the bodies themselves."""
    bodies = (body.decode("utf-8", "replace") for body in (request.raw, request.native))
    return [*(message.text for message in request.messages), *request.side_texts, *request.definitions, *bodies]
