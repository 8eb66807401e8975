"""When an answer begins and goes on, so that its time tells less of the plan behind it.

A refusal costs no time, so it always takes the times that passing answers have lately had, drawn at random. That costs
nobody else anything. With `equal`, every answer begins as late as nearly all do, those included that a plan makes later
than passing ones, and goes on at one pace: then the gate's work, an instruction in front or a head start do not show
either, and every client pays for it.
"""

import asyncio
import itertools
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

from gateway.core import Event, Request

__all__ = ["Pace", "PaceMode", "Schedule", "read_ahead"]

PaceMode = Literal["own", "equal"]

_KEPT = 256  # of the last passing answers of a kind
_RECENT = 32  # answers of which a refusal takes the times of one: a machine's load changes
_STEPS = 128  # events of an answer whose times are kept
_OFTEN = 16  # answers, after which the usual time between events is found anew
_LOOKED_AT = 4096  # times between events
_ENOUGH = 8  # so many tell what is usual
_LATE = 0.95  # the quantile of passing answers that all others wait for
# How much later a flagged request is ready than nearly all passing ones of its kind, while nobody knows: its detection
# comes before its generation, where a passing request's runs beside it.
_LATER_S, _LATER_SHARE = 0.025, 0.25
# Of what is known of it: a question that is asked for the first time is the slow one of several like it, and the first
# one after a start takes long.
_LATER_MARGIN, _LATER_QUANTILE = 1.1, 0.97
_GAP_QUANTILE, _GAP_MARGIN = 0.75, 1.1
# Events that an answer has in hand when it begins, even if its plan made it late: else each that is a little late would
# show, and those of an answer that waited long would not.
_IN_HAND = 2
_UNKNOWN_S = 1.0  # to the first token, while too few have passed to tell
_LONGEST_S = 10.0  # no answer is held back longer
_AHEAD = 256  # events that wait for their time
_Kind = tuple[str, bool, int]


class _Lately:
    """The last times of one kind, in seconds."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=_KEPT)

    def __bool__(self) -> bool:
        return len(self._times) >= _ENOUGH

    def add(self, seconds: float) -> None:
        self._times.append(seconds)

    def drawn(self) -> float:
        """One of the latest, unseeded: a client must not foretell it."""
        return random.choice(list(self._times)[-_RECENT:])

    def quantile(self, share: float) -> float:
        return _quantile(self._times, share)


class _Steps:
    """The times between the events of the last answers, in seconds, answer by answer: within one answer they are
    alike."""

    def __init__(self) -> None:
        self._answers: deque[list[float]] = deque(maxlen=_KEPT)
        self._opened = 0
        self._quantile = (-_OFTEN, 0.0)  # after so many answers

    def __bool__(self) -> bool:
        return sum(map(bool, self._answers)) >= _ENOUGH

    def opened(self) -> list[float]:
        """The times of a new answer, to be filled."""
        self._answers.append([])
        self._opened += 1
        return self._answers[-1]

    def drawn(self) -> Iterator[float]:
        """The times of one of the latest answers, over and over."""
        latest = [steps for steps in self._answers if steps][-_RECENT:]
        return itertools.cycle(tuple(random.choice(latest)))

    def quantile(self, share: float) -> float:
        """Of all times, or of some thousand that stand evenly among them: every answer waits while they are sorted. It
        is found anew after every few answers."""
        if self._opened - self._quantile[0] >= _OFTEN:
            apart = 1 + sum(map(len, self._answers)) // _LOOKED_AT
            times = itertools.islice(itertools.chain.from_iterable(self._answers), 0, None, apart)
            self._quantile = (self._opened, _quantile(times, share))
        return self._quantile[1]


def _quantile(times: Iterable[float], share: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Pace:
    """What passing answers took, and what every answer therefore takes. One event loop uses it."""

    def __init__(self, mode: PaceMode = "own", *, least_s: float = 0.0) -> None:
        """`least_s`: no answer or error begins earlier than so long after its request came."""
        self.equal = mode == "equal"
        self._least_s = least_s
        self._first: dict[_Kind, _Lately] = {}
        self._later = _Lately()  # by how much flagged requests of all kinds were
        self._steps, self._flagged_steps = _Steps(), _Steps()

    def schedule(self, request: Request, arrived: float, *, done: str, body_bytes: int | None) -> "Schedule":
        """The times of one answer, which is ready to begin now. A passing one is remembered.

        Args:
            request: what was asked.
            arrived: when it came, on the clock of `time.perf_counter`.
            done: the name of the plan that was carried out.
            body_bytes: the length of an answer that is not streamed.
        """
        kind = _kind(request, body_bytes)
        times = self._first.setdefault(kind, _Lately())
        ready_s = time.perf_counter() - arrived
        if done == "Pass":
            times.add(ready_s)
        elif done != "Refuse" and times:
            self._later.add(max(0.0, ready_s - times.quantile(_LATE)))
        gap_s: float | None = None
        if self.equal:
            gap_s = self._usual_gap_s()
            usual = self._usual_s(times) + _IN_HAND * gap_s if times else _UNKNOWN_S
            wait_s = min(usual, _LONGEST_S)
        else:
            wait_s = times.drawn() if done == "Refuse" and times else 0.0
        drawn = self._steps.drawn() if done == "Refuse" and self._steps and not self.equal else None
        watched = None
        if done != "Refuse" and body_bytes is None:
            watched = (self._steps if done == "Pass" else self._flagged_steps).opened()
        return Schedule(arrived + max(wait_s, self._least_s), gap_s, drawn=drawn, watched=watched)

    def _usual_s(self, times: _Lately) -> float:
        """When nearly all answers of a kind may begin, whatever their plan."""
        passing = times.quantile(_LATE)
        if self._later:
            return passing + _LATER_MARGIN * self._later.quantile(_LATER_QUANTILE)
        return passing + max(_LATER_S, _LATER_SHARE * passing)

    def _usual_gap_s(self) -> float:
        """The time between two events in which nearly all answers go on, whatever their plan: an adapter or a soft
        prompt may take longer for each token."""
        known = [steps.quantile(_GAP_QUANTILE) for steps in (self._steps, self._flagged_steps) if steps]
        return _GAP_MARGIN * max(known, default=0.0)

    async def held(self, arrived: float) -> None:
        """Waits until an error may be told. Those of the gateway's own checks depend on no plan."""
        await _until(arrived + self._least_s)


class Schedule:
    """The times of one answer."""

    def __init__(
        self, begin: float, gap_s: float | None, *, drawn: Iterator[float] | None, watched: list[float] | None
    ) -> None:
        """
        Args:
            begin: when it may begin.
            gap_s: the time between two of its events; None: as they come.
            drawn: the times between two events, one after the other.
            watched: takes the times between the events as they came.
        """
        self._begin = self._next = begin
        self._gap_s = gap_s
        self._drawn = drawn
        self._watched = watched
        self._came: float | None = None

    async def begun(self) -> None:
        """Waits until the answer may begin."""
        await _until(self._begin)
        self._next = max(self._next, time.perf_counter())

    async def next(self) -> None:
        """Waits until its next event may go."""
        gap_s = next(self._drawn) if self._drawn else self._gap_s
        if gap_s:
            self._next += gap_s
            await _until(self._next)

    def came(self, at: float, events: int) -> None:
        """So many events of the answer came at once. The first ones tell no gap."""
        if self._watched is not None and self._came is not None and events and len(self._watched) < _STEPS:
            self._watched += [(at - self._came) / events] * events
        self._came = at


@asynccontextmanager
async def read_ahead(events: AsyncIterator[Event]) -> AsyncIterator[AsyncIterator[tuple[Event, float]]]:
    """Events with the times when they came, read on from now on while those before them wait for their time."""
    came: asyncio.Queue[tuple[Event, float] | BaseException | None] = asyncio.Queue(_AHEAD)

    async def read() -> None:
        end: BaseException | None = None
        try:
            async for event in events:
                await came.put((event, time.perf_counter()))
        except Exception as error:
            end = error
        await came.put(end)

    async def found() -> AsyncIterator[tuple[Event, float]]:
        while (one := await came.get()) is not None:
            if isinstance(one, BaseException):
                raise one
            yield one

    reading = asyncio.ensure_future(read())
    try:
        yield found()
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading


def _kind(request: Request, body_bytes: int | None) -> _Kind:
    """Answers that take about as long: a stream begins by the length of its prompt, another by its own."""
    size = sum(len(message.text) for message in request.messages) if body_bytes is None else body_bytes
    what = "stream" if body_bytes is None else "whole"
    return f"{request.surface} {what}", request.sampling.logprobs is not None, size.bit_length() // 2


async def _until(then: float) -> None:
    if (wait_s := then - time.perf_counter()) > 0:
        await asyncio.sleep(wait_s)
