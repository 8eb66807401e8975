"""The output screen: an answer goes on to the client only as far as it cannot become a leak.

It reads every event of the answer. An event waits while its text may still become part of a leak, and no longer. Where
the answer leaks, it is taken from the model and handed over (see `gateway.screening.handover`): the client reads on
behind the last word that was sent. If the other answer leaks too, it ends there.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from classifiers.leaks.watch import AnswerWatch, Asked, Leak, OwnWords, Watchlist
from gateway.core import Delta, Event, Request, Screening, Usage
from gateway.openai_format.pieces import cut, single_events, without_alternatives

__all__ = ["OutputScreen", "Remedy"]

_log = logging.getLogger("unrecall.output")
Channel = Literal["text", "reasoning", "tool_calls"]
_OWN_ROLES = frozenset({"user", "system", "developer", "prompt"})
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
    ) -> None:
        """
        Args:
            request: as the client sent it.
            screening: what the gate found.
            watchlist: what counts as a leak.
            remedy: where another answer comes from.
            exempt: whether a scope does not count for this answer.
        """
        self._request = request
        self._watchlist = watchlist
        texts = tuple(message.text for message in request.messages if message.role in _OWN_ROLES)
        self._own = OwnWords(watchlist, Asked(texts, frozenset(screening.scopes), exempt))
        self._remedy = remedy

    def tap(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        """The events that go on. See `gateway.core.Tap`."""
        screened = self._streamed(events) if self._request.stream else self._whole(events)
        return self._prepared(screened) if self._own.scopes else screened

    async def _prepared(self, screened: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        """The same; what was learned of the request's scopes is read first, beside the event loop."""
        with contextlib.suppress(Exception):  # who needs it fails again, and the answer ends
            await asyncio.to_thread(self._watchlist.load, self._own.scopes)
        async with aclosing(screened):
            async for event in screened:
                yield event

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
        queue = _Queue(self._watchlist, self._own)
        async with aclosing(events):
            async for event in events:
                queue.take(event)
        queue.end()
        return [*queue.released()], queue.leak

    # A stream.

    async def _streamed(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        queue = _Queue(self._watchlist, self._own)
        async with aclosing(single_events(events, self._request)) as singles:
            async for event in singles:
                queue.take(event)
                for one in queue.released():
                    yield one
                if queue.leak:
                    break
            else:
                queue.end()
                for one in queue.released():
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

    async def _go_on(self, leak: Leak, choice: "_Choice", usages: list[Usage]) -> AsyncGenerator[Event, None]:
        """One choice behind what the client has of it: the other answer, or its end. Adds what it used."""
        request = self._continuing(choice.sent)
        other = None
        if not choice.called_tools and (request.sampling.max_tokens or 1) > 0:
            other = await self._remedy.other_answer(leak, request)
        queue = _Queue(self._watchlist, self._own, before=choice.sent)
        if other is not None:
            async with aclosing(single_events(other, request)) as singles:
                async for event in singles:
                    if event.fallback and choice.sent:
                        break  # a refusal in the middle of a sentence
                    usages += [part for part in event.parts if isinstance(part, Usage)]
                    queue.take(event)
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
        if not queue.choice(0).finished:
            self._remedy.ended(queue.leak or leak)
            async for one in self._ending(request, choice, choice.sent + queue.choice(0).sent, usages):
                yield one

    async def _ending(
        self, request: Request, choice: "_Choice", sent: str, usages: list[Usage]
    ) -> AsyncGenerator[Event, None]:
        """The end of an answer that must not go on: a refusal if nothing was sent, else a full stop."""
        if sent.strip() or choice.reasoned or choice.called_tools:
            dot = "" if not sent.strip() or sent.rstrip().endswith(_SENTENCE_ENDS) else "."
            reason = "length" if choice.called_tools else "stop"
            yield Event.of(Delta(choice.index, dot, finish_reason=reason))
            usages.append(Usage(usages[0].prompt_tokens if usages else self._prompt_tokens, len(dot) + 1))
            return
        async for event in self._remedy.refusal(replace(request, written="")):
            usages += [part for part in event.parts if isinstance(part, Usage)]
            yield _as_choice(event, choice.index)

    @property
    def _prompt_tokens(self) -> int:
        return sum(self._remedy.tokens(message.text) for message in self._request.messages)

    def _continuing(self, sent: str) -> Request:
        """The request for one choice behind what was sent of it."""
        sampling = replace(self._request.sampling, n=1)
        if sampling.max_tokens is not None:
            sampling = replace(sampling, max_tokens=sampling.max_tokens - self._remedy.tokens(sent))
        return replace(self._request, sampling=sampling, written=sent)


@dataclass(slots=True)
class _Choice:
    """What was read of one choice, how much of it is safe, and what was sent."""

    index: int
    watches: dict[Channel, AnswerWatch] = field(default_factory=dict)
    read: dict[Channel, int] = field(default_factory=dict)
    safe: dict[Channel, int] = field(default_factory=dict)
    sent: str = ""
    other_text: str = ""
    reasoned: bool = False
    called_tools: bool = False
    finished: bool = False

    @property
    def all_text(self) -> str:
        """All that was sent, for counting."""
        return self.sent + self.other_text


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An event, and up to where each text of a choice must be safe before the event may go."""

    event: Event
    needs: tuple[tuple[int, Channel, int], ...]
    since: float


class _Queue:
    """The events of one answer, in their order; those wait whose text may still become part of a leak."""

    def __init__(self, watchlist: Watchlist, own: OwnWords, *, before: str = "") -> None:
        self._watchlist = watchlist
        self._own = own
        self._before = before
        self._waiting: list[_Waiting] = []
        self.choices: dict[int, _Choice] = {}
        self.leak: Leak | None = None
        self.most_chars = 0
        self.longest_s = 0.0

    def choice(self, index: int) -> _Choice:
        """What is known of one choice."""
        return self.choices.setdefault(index, _Choice(index))

    def take(self, event: Event) -> None:
        """Reads an event."""
        needs: list[tuple[int, Channel, int]] = []
        if any(delta.logprobs for delta in event.deltas):
            event = without_alternatives(event, self._forbidden(event))
        for delta in event.deltas:
            choice = self.choice(delta.index)
            for channel, text in _texts(delta):
                self._read(choice, channel, text)
                needs.append((delta.index, channel, choice.read[channel]))
            if delta.finish_reason is not None:
                for channel in choice.watches:
                    self._read(choice, channel, "", ended=True)
        self._waiting.append(_Waiting(event, tuple(needs), time.perf_counter()))

    def end(self) -> None:
        """There are no more events."""
        for choice in self.choices.values():
            for channel in choice.watches:
                self._read(choice, channel, "", ended=True)

    def released(self) -> Iterator[Event]:
        """The events that may go now. An event goes behind those of the same choice; one without a choice, such as the
        usage, goes behind all."""
        waiting, self._waiting = self._waiting, []
        held: set[int] = set()
        for one in waiting:
            indices = {index for index, _, _ in one.needs} or {delta.index for delta in one.event.deltas}
            free = not (indices & held) if indices else not held
            if free and self._is_safe(one):
                yield self._gone(one)
                continue
            if free and (parts := self._parted(one)):
                first, one = parts  # noqa: PLW2901 (what is left of it)
                yield self._gone(first)
            held |= indices or {-1}
            self._waiting.append(one)
        chars = sum(c.read[channel] - c.safe[channel] for c in self.choices.values() for channel in c.read)
        self.most_chars = max(self.most_chars, chars)

    def last_words(self) -> Iterator[Event]:
        """After a leak: what is safe of the events that wait."""
        done: set[int] = set()
        for one in self._waiting:
            indices = {index for index, _, _ in one.needs}
            if not indices or indices & done:
                continue
            if self._is_safe(one) and not any(delta.finish_reason for delta in one.event.deltas):
                yield self._gone(one)
                continue
            done |= indices
            if parts := self._parted(one):
                yield self._gone(parts[0])
        self._waiting = []

    def _read(self, choice: _Choice, channel: Channel, text: str, *, ended: bool = False) -> None:
        before = self._before if channel == "text" else ""
        choice.read[channel] = choice.read.get(channel, len(before)) + len(text)
        choice.safe.setdefault(channel, len(before))
        try:
            if channel not in choice.watches:
                choice.watches[channel] = AnswerWatch(self._watchlist, self._own, before=before)
            seen = choice.watches[channel].read(text, ended=ended)
        except Exception:
            _log.exception("the output screen failed, the answer ends")
            self.leak = self.leak or Leak("", "failure", choice.safe[channel])
            return
        choice.safe[channel] = seen.safe
        self.leak = self.leak or seen.leak

    def _is_safe(self, one: _Waiting) -> bool:
        return all(self.choices[index].safe[channel] >= to for index, channel, to in one.needs)

    def _parted(self, one: _Waiting) -> tuple[_Waiting, _Waiting] | None:
        """The event cut behind its last word that is safe. None if no whole word is, or if it has more than text."""
        if len(one.needs) != 1 or len(one.event.deltas) != 1 or one.event.deltas[0].logprobs:
            return None
        ((index, channel, to),) = one.needs
        text = one.event.deltas[0].text
        if channel != "text":
            return None
        safe = text[: max(0, len(text) - (to - self.choices[index].safe[channel]))].rstrip()
        if not any(character.isalnum() for character in safe):
            return None
        first, rest = cut(one.event, len(safe))
        needs = ((index, channel, to - len(text) + len(safe)),)
        return _Waiting(first, needs, one.since), _Waiting(rest, one.needs, one.since)

    def _gone(self, one: _Waiting) -> Event:
        self.longest_s = max(self.longest_s, time.perf_counter() - one.since)
        for delta in one.event.deltas:
            choice = self.choice(delta.index)
            choice.sent += delta.text
            choice.other_text += delta.reasoning + "".join(delta.tool_calls)
            choice.reasoned |= bool(delta.reasoning)
            choice.called_tools |= bool(delta.tool_calls)
            choice.finished |= delta.finish_reason is not None
        return one.event

    def _forbidden(self, event: Event) -> "_Forbidden":
        return _Forbidden(self._watchlist, self._own, event, {index: c.watches for index, c in self.choices.items()})


class _Forbidden:
    """Whether an alternative token, in the place of the token that was chosen, would end in a leak."""

    def __init__(
        self, watchlist: Watchlist, own: OwnWords, event: Event, watches: dict[int, dict[Channel, AnswerWatch]]
    ) -> None:
        self._watchlist = watchlist
        self._own = own
        self._before: dict[tuple[int, int], str] = {}
        for delta in event.deltas:
            text = watches[delta.index]["text"].context if "text" in watches.get(delta.index, {}) else ""
            for number, token in enumerate(delta.logprobs):
                self._before[delta.index, number] = text
                text += token.token

    def __call__(self, index: int, number: int, alternative: str) -> bool:
        watch = AnswerWatch(self._watchlist, self._own, before=self._before[index, number])
        return watch.read(alternative, ended=True).leak is not None


def _texts(delta: Delta) -> Iterator[tuple[Channel, str]]:
    if delta.text:
        yield "text", delta.text
    if delta.reasoning:
        yield "reasoning", delta.reasoning
    if delta.tool_calls:
        yield "tool_calls", "".join(delta.tool_calls)


def _as_choice(event: Event, index: int) -> Event:
    """The deltas of an answer of its own, as those of one choice among several. Its usage is told later."""
    return Event.of(*(replace(delta, index=index) for delta in event.deltas))
