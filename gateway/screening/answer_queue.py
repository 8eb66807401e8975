"""The events of one answer on their way through the output screen: each waits until its text can become no leak."""

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from classifiers.leaks.watch import AnswerWatch, Leak, OwnWords, Watchlist
from gateway.core import Delta, Event
from gateway.errors import PackError
from gateway.openai_format.pieces import Forbidden, cut, without_alternatives
from gateway.screening.deadline import beside_the_loop, within

__all__ = ["AnswerQueue", "Choice"]

_log = logging.getLogger("unrecall.output")
_INLINE_CHARS = 1_000  # more is read beside the event loop
Channel = Literal["text", "reasoning", "tool_calls", "tokens"]
"""What is read by itself. `tokens` are those of the logprobs: they can say more than the text does, such as a stop
string or what the upstream keeps back of a tool call."""
_ANSWER: tuple[Channel, ...] = ("text", "tokens")


@dataclass(slots=True)
class Choice:
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
    def waiting_chars(self) -> int:
        """How many characters were read and are not safe."""
        return sum(self.read[channel] - self.safe[channel] for channel in self.read if channel != "tokens")

    @property
    def all_text(self) -> str:
        """All that was sent, for counting."""
        return self.sent + self.other_text


class _Waiting(NamedTuple):
    """An event of some choices, and up to where each text of a choice must be safe before the event may go."""

    event: Event
    indices: frozenset[int]
    needs: tuple[tuple[int, Channel, int], ...]
    since: float


class AnswerQueue:
    """The events of one answer, in their order; those wait whose text may still become part of a leak."""

    def __init__(self, watchlist: Watchlist, own: OwnWords, *, before: str = "", deadline_s: float = 10.0) -> None:
        """
        Args:
            watchlist: what counts.
            own: what the request says itself.
            before: what the client has of the one answer.
            deadline_s: the longest time of reading one event.
        """
        self._watchlist = watchlist
        self._own = own
        self._before = before
        self._deadline_s = deadline_s
        self._waiting: list[_Waiting] = []
        self.choices: dict[int, Choice] = {}
        self.leak: Leak | None = None
        self.most_chars = 0
        self.longest_s = 0.0

    def choice(self, index: int) -> Choice:
        """What is known of one choice."""
        if index not in self.choices:
            self.choices[index] = Choice(index)
        return self.choices[index]

    async def take(self, events: Sequence[Event]) -> None:
        """Reads events that came together, up to a leak. If that fails, or takes too long, nobody gets them, and the
        answer ends."""
        chars = sum([_chars(delta) for event in events for delta in event.deltas])
        try:
            if chars > _INLINE_CHARS:
                await beside_the_loop(lambda: self._take(events), self._deadline_s)
            else:
                with within(self._deadline_s):
                    self._take(events)
        except Exception:
            self._fail()

    def end(self) -> None:
        """There are no more events."""
        try:
            with within(self._deadline_s):
                for choice in self.choices.values():
                    self._end(choice)
        except Exception:
            self._fail()

    def _take(self, events: Sequence[Event]) -> None:
        for event in events:
            if self.leak is None:
                self._take_one(event)

    def _take_one(self, event: Event) -> None:
        needs: list[tuple[int, Channel, int]] = []
        deltas = event.deltas
        if any(delta.logprobs for delta in deltas):
            event = without_alternatives(event, self._forbidden(event))
            deltas = event.deltas
        for delta in deltas:
            choice = self.choice(delta.index)
            for channel, text in _texts(delta):
                self._read(choice, channel, text)
                needs.append((delta.index, channel, choice.read[channel]))
            if delta.finish_reason is not None:
                self._end(choice)
        indices = frozenset([delta.index for delta in deltas])
        self._waiting.append(_Waiting(event, indices, tuple(needs), time.perf_counter()))

    def _end(self, choice: Choice) -> None:
        for channel in list(choice.watches):
            self._read(choice, channel, "", ended=True)

    def _fail(self) -> None:
        """Called in the handler of an exception."""
        if not isinstance(sys.exception(), PackError):  # whoever reads packs has told of that one
            _log.exception("the output screen failed, the answer ends")
        self.leak = self.leak or Leak("", "failure", 0)

    def released(self) -> list[Event]:
        """The events that may go now. An event goes behind those of the same choice; one without a choice, such as the
        usage, goes behind all."""
        waiting, self._waiting = self._waiting, []
        gone: list[Event] = []
        held: set[int] = set()
        for one in waiting:
            free = not held or bool(one.indices and not (one.indices & held))
            if free and self._is_safe(one):
                gone.append(self._gone(one))
                continue
            if free and (parts := self._parted(one)):
                first, one = parts  # noqa: PLW2901 (what is left of it)
                gone.append(self._gone(first))
            held |= one.indices or {-1}
            self._waiting.append(one)
        if self._waiting:
            self.most_chars = max(self.most_chars, sum(choice.waiting_chars for choice in self.choices.values()))
        return gone

    def last_words(self) -> Iterator[Event]:
        """After a leak: what is safe of the events that wait."""
        done: set[int] = set()
        for one in self._waiting:
            indices = {index for index, _, _ in one.needs} or one.indices
            if not indices or indices & done:
                continue
            if self._is_safe(one) and not any(delta.finish_reason for delta in one.event.deltas):
                yield self._gone(one)
                continue
            done |= indices
            if parts := self._parted(one):
                yield self._gone(parts[0])
        self._waiting = []

    def _read(self, choice: Choice, channel: Channel, text: str, *, ended: bool = False) -> None:
        seen = self._watch(choice, channel).read(text, ended=ended)
        choice.read[channel] += len(text)
        choice.safe[channel] = seen.safe
        self.leak = self.leak or seen.leak

    def _watch(self, choice: Choice, channel: Channel) -> AnswerWatch:
        if channel not in choice.watches:
            before = self._before if channel in _ANSWER else ""
            choice.watches[channel] = AnswerWatch(self._watchlist, self._own, before=before)
            choice.read[channel] = choice.safe[channel] = len(before)
        return choice.watches[channel]

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
        return one._replace(event=first, needs=needs), one._replace(event=rest)

    def _gone(self, one: _Waiting) -> Event:
        self.longest_s = max(self.longest_s, time.perf_counter() - one.since)
        for delta in one.event.deltas:
            choice = self.choice(delta.index)
            choice.sent += delta.text
            if delta.reasoning or delta.tool_calls:
                choice.other_text += delta.reasoning + delta.call_text
                choice.reasoned |= bool(delta.reasoning)
                choice.called_tools |= bool(delta.tool_calls)
            choice.finished |= delta.finish_reason is not None
        return one.event

    def _forbidden(self, event: Event) -> Forbidden:
        """Whether an alternative token, in the place of the token that was chosen, would end in a leak."""
        said: dict[tuple[int, int], str] = {}
        for delta in event.deltas:
            text = self._watch(self.choice(delta.index), "tokens").context if delta.logprobs else ""
            for number, token in enumerate(delta.logprobs):
                said[delta.index, number] = text
                text += token.token

        def forbidden(index: int, number: int, alternative: str) -> bool:
            watch = AnswerWatch(self._watchlist, self._own, before=said[index, number])
            return watch.read(alternative, ended=True).leak is not None

        return forbidden


def _chars(delta: Delta) -> int:
    """How many characters are read of it."""
    if delta.tool_calls or delta.logprobs:
        return sum(len(text) for _, text in _texts(delta))
    return len(delta.text) + len(delta.reasoning) + len(delta.others)


def _texts(delta: Delta) -> Iterator[tuple[Channel, str]]:
    if delta.text:
        yield "text", delta.text
    if delta.reasoning:
        yield "reasoning", delta.reasoning
    if delta.tool_calls or delta.others:
        yield "tool_calls", delta.call_text + delta.others
    if delta.logprobs:
        yield "tokens", "".join(token.token for token in delta.logprobs)
