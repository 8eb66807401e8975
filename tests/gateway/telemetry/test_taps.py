"""The seam between a backend and the encoder: watchers look, taps may change events, and the end is told once."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

import pytest

from gateway.core import Delta, Event, Message, Request, Usage
from gateway.errors import UpstreamError, UpstreamTimeout
from gateway.openai_format.decoding import reader
from gateway.telemetry.taps import watched_by


class Watcher:
    def __init__(self) -> None:
        self.seen: list[Event] = []
        self.ends: list[str] = []

    def see(self, event: Event) -> None:
        self.seen.append(event)

    def end(self, outcome: str) -> None:
        self.ends.append(outcome)


async def answer(*events: Event | Exception, closed: list[bool] | None = None) -> AsyncGenerator[Event, None]:
    try:
        for event in events:
            if isinstance(event, Exception):
                raise event
            yield event
    finally:
        if closed is not None:
            closed.append(True)


def read(events: AsyncGenerator[Event, None], *, limit: int | None = None) -> list[Event]:
    async def run() -> list[Event]:
        found = []
        async with aclosing(events):
            async for event in events:
                found.append(event)
                if len(found) == limit:
                    break
        return found

    return asyncio.run(run())


ONE, TWO = Event.of(Delta(0, "a")), Event.of(Usage(1, 1))


def test_events_go_on_as_they_are_and_every_watcher_sees_them() -> None:
    first, second = Watcher(), Watcher()
    assert read(watched_by(first, second)(answer(ONE, TWO))) == [ONE, TWO]
    assert first.seen == second.seen == [ONE, TWO]
    assert first.ends == second.ends == ["ok"]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(UpstreamError("gone"), "UpstreamError"), (UpstreamTimeout("slow"), "UpstreamTimeout"), (OSError(), "aborted")],
)
def test_an_error_goes_on_and_the_end_names_it(error: Exception, outcome: str) -> None:
    watcher = Watcher()
    with pytest.raises(type(error)):
        read(watched_by(watcher)(answer(ONE, error)))
    assert (watcher.seen, watcher.ends) == ([ONE], [outcome])


def test_a_client_that_leaves_ends_the_generation_and_is_heard() -> None:
    watcher, closed = Watcher(), list[bool]()
    read(watched_by(watcher)(answer(ONE, TWO, closed=closed)), limit=1)
    assert watcher.ends == ["aborted"]
    assert closed == [True]


def test_taps_stand_one_behind_the_other() -> None:
    async def louder(events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        async with aclosing(events):
            async for event in events:
                yield Event.of(*(Delta(delta.index, delta.text.upper()) for delta in event.deltas))

    watcher, closed = Watcher(), list[bool]()
    (event,) = read(watched_by(watcher)(louder(answer(ONE, TWO, closed=closed))), limit=1)
    assert event.deltas[0].text == "A"
    assert watcher.seen == [event]
    assert closed == [True], "a tap in between closes what it reads"


def test_bytes_are_parsed_when_somebody_reads_them_and_once() -> None:
    parsed: list[bytes] = []

    def parse(data: bytes) -> Iterator[Delta]:
        parsed.append(data)
        yield Delta(0, data.decode())

    event = Event(data=b"x", parse=parse)
    read(watched_by(Watcher())(answer(event)))
    assert parsed == []
    assert event.deltas == event.deltas == (Delta(0, "x"),)
    assert parsed == [b"x"]


def test_bytes_that_one_reader_could_not_read_are_never_read_otherwise_by_the_next() -> None:
    """A stream's reader keeps what a piece leaves unfinished: with that in front, the same bytes are a comment."""
    request = Request("1", "chat", "m", (Message("user", "Who?"),), stream=True)
    event = Event(data=b"data: <html>\n: ", parse=reader(request))
    for _ in range(3):
        with pytest.raises(UpstreamError):
            _ = event.parts


def test_an_event_keeps_its_words_out_of_logs() -> None:
    secret = Event.of(Delta(0, "a secret"))
    assert "secret" not in f"{secret!r} {Event(data=b'a secret')!r}"
