"""The output screen: an answer goes on to the client only as far as it cannot become a leak.

It reads every event of the answer. An event waits while its text may still become part of a leak, and no longer. Where
the answer leaks, it is taken from the model and handed over (see `gateway.screening.handover`): the client reads on
behind the last word that was sent. If the other answer leaks too, it ends there.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol

from classifiers.leaks.watch import Asked, Leak, OwnWords, Watchlist
from gateway.core import Delta, Event, Request, Screening, Usage
from gateway.openai_format.pieces import joined, single_events
from gateway.screening.answer_queue import AnswerQueue, Choice
from gateway.screening.deadline import beside_the_loop

__all__ = ["OutputScreen", "Remedy"]

_OWN_ROLES = frozenset({"user", "system", "developer", "prompt"})
_GONE_ON_WITH = ("prompt", "assistant")
_PROMPT_CHARS = 64  # of a text that the model goes on with: a name in the answer may begin there
_SENTENCE_ENDS = (".", "!", "?", "…", ":", "。", "！", "？", "।", '"', "”", ")", "`", "\n")


class Remedy(Protocol):
    """Where another answer comes from."""

    async def other_answer(self, leak: Leak, request: Request) -> AsyncGenerator[Event, None] | None:
        """The answer to the request under the plan of the scope that leaks; behind `request.written`, if that is given.
        None if there is no plan but a refusal."""

    def refusal(self, request: Request) -> AsyncGenerator[Event, None]:
        """The refusal that the client gets in place of an answer."""

    def tokens(self, text: str) -> int:
        """How many tokens of the model a text is."""

    async def prompt_tokens(self) -> int:
        """How many the prompt has, as the client sent it."""

    def ended(self, leak: Leak) -> None:
        """Is told that an answer ends, because the other one leaks too or because there is none."""

    def waited(self, chars: int, seconds: float) -> None:
        """Is told how many characters waited at most at one time, and how long a character waited at most."""


class OutputScreen:
    """Screens the answer to one request."""

    def __init__(
        self,
        request: Request,
        screening: Screening,
        watchlist: Watchlist,
        remedy: Remedy,
        *,
        exempt: Callable[[str], bool],
        deadline_s: float = 10.0,
    ) -> None:
        """
        Args:
            request: as the client sent it.
            screening: what the gate found.
            watchlist: what counts as a leak.
            remedy: where another answer comes from.
            exempt: whether a scope does not count for this answer.
            deadline_s: the longest time of reading one event.
        """
        self._request = request
        self._watchlist = watchlist
        texts = tuple(message.text for message in request.messages if message.role in _OWN_ROLES)
        self._own = OwnWords(watchlist, Asked((*texts, *request.definitions), frozenset(screening.scopes), exempt))
        self._remedy = remedy
        self._deadline_s = deadline_s

    def tap(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        """The events that go on. See `gateway.core.Tap`."""
        screened = self._streamed(events) if self._request.stream else self._whole(events)
        return self._prepared(screened) if self._own.scopes else screened

    async def _prepared(self, screened: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        """The same; what was learned of the request's scopes is read first, beside the event loop."""
        with contextlib.suppress(Exception):  # who needs it fails again, and the answer ends
            await beside_the_loop(lambda: self._watchlist.load(self._own.scopes), self._deadline_s)
        async with aclosing(screened):
            async for event in screened:
                yield event

    def _queue(self, *, sent: str = "") -> AnswerQueue:
        before = _end_of_prompt(self._request) + sent
        return AnswerQueue(self._watchlist, self._own, before=before, deadline_s=self._deadline_s)

    # An answer in one piece.

    async def _whole(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        kept, leak = await self._read_whole(events)
        if leak is not None:
            other = await self._remedy.other_answer(leak, self._request)
            kept, leak = ([], leak) if other is None else await self._read_whole(other)
        if leak is not None:
            self._remedy.ended(leak)
            kept = [event async for event in self._remedy.refusal(self._request)]
        for event in kept:
            yield event

    async def _read_whole(self, events: AsyncGenerator[Event, None]) -> tuple[list[Event], Leak | None]:
        queue = self._queue()
        async with aclosing(events):
            async for event in events:
                await queue.take([event])
                if queue.leak:
                    break
            else:
                queue.end()
        return ([] if queue.leak else queue.released()), queue.leak

    # A stream.

    async def _streamed(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        queue = self._queue()
        async with aclosing(single_events(events, self._request)) as singles:
            async for together in singles:
                await queue.take(together)
                for one in joined(queue.released()):
                    yield one
                if queue.leak:
                    break
            else:
                queue.end()
                for one in joined(queue.released()):
                    yield one
        self._remedy.waited(queue.most_chars, queue.longest_s)
        if queue.leak is None:
            return
        for one in queue.last_words():
            yield one
        usages: list[Usage] = []
        for index in range(self._request.sampling.n):
            choice = queue.choice(index)
            if not choice.finished:
                async with aclosing(self._go_on(queue.leak, choice, usages)) as further:
                    async for one in further:
                        yield one
        if usages:
            written = sum(self._remedy.tokens(choice.all_text) for choice in queue.choices.values())
            yield Event.of(Usage(usages[0].prompt_tokens, written + sum(one.completion_tokens for one in usages)))

    async def _go_on(self, leak: Leak, choice: Choice, usages: list[Usage]) -> AsyncGenerator[Event, None]:
        """One choice behind what the client has of it: the other answer, or its end. Adds what it used."""
        request = self._continuing(choice.sent)
        other = None
        if not choice.called_tools and not _at_limit(request):
            other = await self._remedy.other_answer(leak, request)
        queue = self._queue(sent=choice.sent)
        if other is not None:
            async with aclosing(_one_by_one(single_events(other, request))) as singles:
                async for event in singles:
                    if event.fallback and choice.sent:
                        break  # a refusal in the middle of a sentence
                    usages += [part for part in event.parts if isinstance(part, Usage)]
                    await queue.take([event])
                    for one in queue.released():
                        yield _as_choice(one, choice.index)
                    if queue.leak:
                        break
                else:
                    queue.end()
                    for one in queue.released():
                        yield _as_choice(one, choice.index)
            for one in queue.last_words() if queue.leak else ():
                yield _as_choice(one, choice.index)
        further = queue.choice(0)
        if not further.finished:
            self._remedy.ended(queue.leak or leak)
            async with aclosing(self._ending(request, choice, further.sent, usages)) as end:
                async for one in end:
                    yield one

    async def _ending(
        self, request: Request, choice: Choice, further: str, usages: list[Usage]
    ) -> AsyncGenerator[Event, None]:
        """The end of an answer that must not go on: a refusal if nothing was sent, else a full stop. `further` is what
        was sent of the other answer."""
        sent = choice.sent + further
        if sent.strip() or choice.reasoned or choice.called_tools:
            at_limit = _at_limit(request)
            dot = "" if at_limit or not sent.strip() or sent.rstrip().endswith(_SENTENCE_ENDS) else "."
            reason = "length" if at_limit or choice.called_tools else "stop"
            yield Event.of(Delta(choice.index, dot, finish_reason=reason))
            end_of_text = reason == "stop"
            usages.append(Usage(await self._remedy.prompt_tokens(), self._remedy.tokens(further + dot) + end_of_text))
            return
        async for event in self._remedy.refusal(replace(request, written="")):
            usages += [part for part in event.parts if isinstance(part, Usage)]
            yield _as_choice(event, choice.index)

    def _continuing(self, sent: str) -> Request:
        """The request for one choice behind what was sent of it."""
        most = self._request.most_tokens
        left = None if most is None else most - self._remedy.tokens(sent)
        return replace(self._request, sampling=replace(self._request.sampling, n=1, max_tokens=left), written=sent)


async def _one_by_one(events: AsyncGenerator[list[Event], None]) -> AsyncGenerator[Event, None]:
    async with aclosing(events):
        async for together in events:
            for event in together:
                yield event


def _end_of_prompt(request: Request) -> str:
    """The last words of a prompt, or of an answer's beginning, that the model goes on with: the client may have begun a
    name there."""
    last = request.messages[-1]
    if last.role not in _GONE_ON_WITH:
        return ""
    prompt = last.text
    end = prompt[-_PROMPT_CHARS:]
    return end if len(end) == len(prompt) else end[len(end.split(maxsplit=1)[0]) if end.strip() else 0 :]


def _at_limit(request: Request) -> bool:
    return request.sampling.max_tokens is not None and request.sampling.max_tokens <= 0


def _as_choice(event: Event, index: int) -> Event:
    """The deltas of an answer of its own, as those of one choice among several. Its usage is told later."""
    return Event.of(*(replace(delta, index=index) for delta in event.deltas))
