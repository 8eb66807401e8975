"""When answers begin and go on: what is remembered of passing ones, and who takes those times. No clock is read here:
the tests look at the times that an answer is given."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from standins import with_parts

from gateway.core import Delta, Event, Message, Request, Sampling
from gateway.errors import UpstreamError
from gateway.server import pace as pace_module
from gateway.server.pace import Pace, PaceMode, Schedule, read_ahead


def request_of(text: str = "Who?", *, stream: bool = True, **sampling: Any) -> Request:
    return Request("1", "chat", "m", (Message("user", text),), Sampling(**sampling), stream=stream)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still unless somebody waits or moves it."""
    now = [100.0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(pace_module, "time", with_parts(time, perf_counter=lambda: now[0]))
    monkeypatch.setattr(pace_module, "asyncio", with_parts(asyncio, sleep=sleep))
    return now


def passed(
    pace: Pace, clock: list[float], *, first_s: float, gap_s: float, times: int = 20, done: str = "Pass", **how: Any
) -> None:
    """So many answers of five events went by, passing ones if nothing else is said."""
    for _ in range(times):
        arrived = clock[0]
        clock[0] += first_s
        schedule = pace.schedule(request_of(**how), arrived, done=done, body_bytes=None)
        for _ in range(5):
            schedule.came(clock[0], 1)
            clock[0] += gap_s


def lasted(schedule: Schedule, clock: list[float], events: int) -> tuple[float, float]:
    """How long the answer waits to begin, and how long each next event takes at the least."""

    async def run() -> tuple[float, float]:
        arrived = clock[0]
        await schedule.begun()
        begun = clock[0]
        for _ in range(events):
            await schedule.next()
        return begun - arrived, (clock[0] - begun) / events

    return asyncio.run(run())


@pytest.mark.parametrize("done", ["Pass", "Corrupt", "Instruct", "SoftPrompt", "UseAdapter"])
def test_at_their_own_pace_answers_of_a_model_wait_for_nothing(clock: list[float], done: str) -> None:
    pace = Pace("own")
    passed(pace, clock, first_s=0.2, gap_s=0.05)
    assert lasted(pace.schedule(request_of(), clock[0], done=done, body_bytes=None), clock, 4) == (0, 0)


def test_a_refusal_takes_the_times_of_passing_answers(clock: list[float]) -> None:
    pace = Pace("own")
    passed(pace, clock, first_s=0.2, gap_s=0.05)
    first, gap = lasted(pace.schedule(request_of(), clock[0], done="Refuse", body_bytes=None), clock, 4)
    assert (first, gap) == (pytest.approx(0.2), pytest.approx(0.05))


def test_a_refusal_takes_those_of_prompts_of_its_length(clock: list[float]) -> None:
    pace = Pace("own")
    passed(pace, clock, first_s=0.2, gap_s=0.05)
    passed(pace, clock, first_s=3.0, gap_s=0.05, text="long " * 2_000)
    for text, expected in (("Who?", 0.2), ("word " * 2_000, 3.0)):
        schedule = pace.schedule(request_of(text), clock[0], done="Refuse", body_bytes=None)
        assert lasted(schedule, clock, 1)[0] == pytest.approx(expected)


@pytest.mark.parametrize("done", ["Pass", "Refuse", "Corrupt", "Instruct"])
def test_at_an_equal_pace_all_take_the_same(clock: list[float], done: str) -> None:
    pace = Pace("equal")
    passed(pace, clock, first_s=0.2, gap_s=0.05)
    first, gap = lasted(pace.schedule(request_of(), clock[0], done=done, body_bytes=None), clock, 4)
    assert (first, gap) == (pytest.approx(0.25 + 2 * 0.055), pytest.approx(0.055))


@pytest.mark.parametrize("done", ["Pass", "Refuse", "Corrupt", "UseAdapter"])
def test_at_an_equal_pace_all_wait_for_what_a_plan_makes_later(clock: list[float], done: str) -> None:
    pace = Pace("equal")
    passed(pace, clock, first_s=0.02, gap_s=0.004)
    for _ in range(16):
        pace.schedule(request_of(), clock[0] - 0.08, done="Corrupt", body_bytes=None)
    first, _ = lasted(pace.schedule(request_of(), clock[0], done=done, body_bytes=None), clock, 1)
    assert first == pytest.approx(0.02 + 1.1 * 0.06 + 2 * 1.1 * 0.004)


@pytest.mark.parametrize("done", ["Pass", "Refuse", "UseAdapter"])
def test_at_an_equal_pace_all_go_on_as_slowly_as_a_plan_does(clock: list[float], done: str) -> None:
    pace = Pace("equal")
    passed(pace, clock, first_s=0.2, gap_s=0.05)
    passed(pace, clock, first_s=0.2, gap_s=0.08, done="UseAdapter")
    _, gap = lasted(pace.schedule(request_of(), clock[0], done=done, body_bytes=None), clock, 4)
    assert gap == pytest.approx(1.1 * 0.08)


def test_the_equal_pace_is_that_of_all_answers_however_many_events_they_have(clock: list[float]) -> None:
    pace = Pace("equal")
    for answer in range(250):
        schedule = pace.schedule(request_of(), clock[0], done="Pass", body_bytes=None)
        schedule.came(clock[0], 1)
        for event in range(120):
            clock[0] += 0.02 + 0.0002 * ((7 * answer + event) % 100)
            schedule.came(clock[0], 1)
    _, gap = lasted(pace.schedule(request_of(), clock[0], done="Corrupt", body_bytes=None), clock, 4)
    assert gap == pytest.approx(1.1 * 0.035, rel=0.02)


@pytest.mark.parametrize(("first_s", "held"), [(0.01, 0.145), (60.0, 10.0)])
def test_no_answer_is_held_back_without_end(clock: list[float], first_s: float, held: float) -> None:
    pace = Pace("equal")
    passed(pace, clock, first_s=first_s, gap_s=0.05)
    schedule = pace.schedule(request_of(), clock[0], done="Corrupt", body_bytes=None)
    assert lasted(schedule, clock, 1)[0] == pytest.approx(held)


def test_the_held_times_do_not_feed_on_themselves(clock: list[float]) -> None:
    pace = Pace("equal")
    for _ in range(30):
        passed(pace, clock, first_s=0.2, gap_s=0.05, times=10)
        lasted(pace.schedule(request_of(), clock[0] - 0.2, done="Pass", body_bytes=None), clock, 4)
    schedule = pace.schedule(request_of(), clock[0], done="Corrupt", body_bytes=None)
    assert lasted(schedule, clock, 4) == (pytest.approx(0.25 + 2 * 0.055), pytest.approx(0.055))


@pytest.mark.parametrize(("mode", "waits"), [("own", 0.0), ("equal", 1.0)])
def test_before_anything_has_passed(clock: list[float], mode: PaceMode, waits: float) -> None:
    schedule = Pace(mode).schedule(request_of(), clock[0], done="Refuse", body_bytes=None)
    assert lasted(schedule, clock, 3) == (waits, 0)


@pytest.mark.parametrize("mode", ["own", "equal"])
def test_the_least_time_holds_at_every_pace(clock: list[float], mode: PaceMode) -> None:
    pace = Pace(mode, least_s=4.0)
    schedule = pace.schedule(request_of(), clock[0], done="Pass", body_bytes=None)
    assert lasted(schedule, clock, 1)[0] == 4.0
    before = clock[0]
    asyncio.run(pace.held(before))
    assert clock[0] == before + 4.0


def test_a_refusal_that_is_not_streamed_takes_as_long_as_an_answer_of_its_length(clock: list[float]) -> None:
    pace = Pace("own")
    for size, seconds in ((700, 1.0), (9_000, 9.0)):
        for _ in range(10):
            arrived = clock[0]
            clock[0] += seconds
            pace.schedule(request_of(stream=False), arrived, done="Pass", body_bytes=size)
    schedule = pace.schedule(request_of(stream=False), clock[0], done="Refuse", body_bytes=600)
    assert lasted(schedule, clock, 1)[0] == pytest.approx(1.0)


async def three(failing: bool = False) -> AsyncGenerator[Event, None]:
    for text in "abc":
        yield Event.of(Delta(0, text))
    if failing:
        raise UpstreamError("broken")


class TestReadAhead:
    def test_events_come_in_order_with_the_time_of_their_coming(self) -> None:
        async def run() -> list[tuple[str, float]]:
            found = []
            async with read_ahead(three()) as events:
                async for event, at in events:
                    await asyncio.sleep(0.001)
                    found.append((event.deltas[0].text, at))
            return found

        found = asyncio.run(run())
        assert [text for text, _ in found] == list("abc")
        assert found[-1][1] <= time.perf_counter()
        assert [at for _, at in found] == sorted(at for _, at in found)

    def test_it_reads_before_anybody_asks(self) -> None:
        """While an answer waits for its beginning, what comes is taken with its own time."""

        async def run() -> list[float]:
            async with read_ahead(three()) as events:
                await asyncio.sleep(0.05)
                asked = time.perf_counter()
                return [asked - at async for _, at in events]

        assert min(asyncio.run(run())) > 0

    def test_an_error_comes_after_what_came_before_it(self) -> None:
        seen = []

        async def run() -> None:
            async with read_ahead(three(failing=True)) as events:
                async for event, _ in events:
                    seen.append(event.deltas[0].text)

        with pytest.raises(UpstreamError):
            asyncio.run(run())
        assert seen == list("abc")

    def test_who_stops_reading_ends_the_source(self) -> None:
        closed = []

        async def endless() -> AsyncGenerator[Event, None]:
            try:
                while True:
                    yield Event.of(Delta(0, "x"))
                    await asyncio.sleep(0)
            finally:
                closed.append(True)

        async def run() -> None:
            source = endless()
            async with read_ahead(source) as events:
                await anext(events)
            await source.aclose()

        asyncio.run(run())
        assert closed == [True]
