"""Screening off the event loop: batches, lanes, and what becomes of a detector that fails or hangs."""

import asyncio
import threading
import time
from collections.abc import Sequence

from gateway.core import Finding, Message, Request, Screening
from gateway.screening.batching import BatchedScreen
from gateway.screening.texts import screened_texts


class Gate:
    """Stands in for a gate: says which texts hold 'bad', breaks on 'break', waits for `door` on 'wait'. A text has a
    part for every thousand characters."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.door = threading.Event()
        self.entered = threading.Event()
        self.threads: set[str] = set()
        self.parts: list[str] = []

    def screen(self, requests: Sequence[Request]) -> list[Screening]:
        texts = [screened_texts(request) for request in requests]
        plain = [text.text for of_one in texts for text in of_one]
        self.batches.append(plain)
        self.entered.set()
        self.threads.add(threading.current_thread().name)
        if any("wait" in text for text in plain):
            self.door.wait(30)
        if any("break" in text for text in plain):
            raise RuntimeError("secret words of the prompt")
        return [Screening(tuple(self.finding(text.text) for text in of_one)) for of_one in texts]

    def read_ahead(self, request: Request) -> Sequence[str]:
        text = request.messages[0].text
        return [text[start : start + 1_000] for start in range(0, len(text), 1_000)]

    def read_part(self, part: str) -> None:
        self.parts.append(part[:1])
        self.entered.set()
        if part.startswith("wait"):
            self.door.wait(30)
        if part.startswith("break"):
            raise RuntimeError("secret words of the prompt")

    def finding(self, text: str) -> Finding:
        return Finding("s", text[:20], 1.0, 0.5, "bad" in text, None)


def request_of(*texts: str, caller: str = "") -> Request:
    messages = tuple(Message("user", text) for text in texts)
    return Request(id="1", endpoint="chat", model="m", messages=messages, caller=caller)


def test_a_request_gets_the_findings_of_its_own_texts() -> None:
    gate = Gate()

    async def run() -> list[Screening]:
        async with BatchedScreen() as screen:
            return await asyncio.gather(
                *(screen.screened(request_of(f"bad {i}" if i % 2 else f"good {i}"), gate) for i in range(20)),
                screen.screened(request_of("one", "two"), gate),
            )

    *single, double = asyncio.run(run())
    assert [found.findings[0].detector for found in single] == [f"bad {i}" if i % 2 else f"good {i}" for i in range(20)]
    assert [found.findings[0].matched for found in single] == [bool(i % 2) for i in range(20)]
    assert [finding.detector for finding in double.findings] == ["one", "two", "one\ntwo"]
    assert threading.main_thread().name not in gate.threads


def test_concurrent_requests_share_a_batch() -> None:
    gate = Gate()

    async def run() -> None:
        async with BatchedScreen() as screen:
            first = asyncio.create_task(screen.screened(request_of("wait"), gate))
            await asyncio.to_thread(gate.entered.wait)
            rest = [asyncio.create_task(screen.screened(request_of(f"text {i}"), gate)) for i in range(150)]
            await asyncio.sleep(0.01)
            gate.door.set()
            await asyncio.gather(first, *rest)

    asyncio.run(run())
    assert [len(batch) for batch in gate.batches] == [1, *[32] * 4, 22]


def test_requests_of_different_gates_are_screened_by_their_own() -> None:
    one, other = Gate(), Gate()

    async def run() -> None:
        async with BatchedScreen() as screen:
            await asyncio.gather(screen.screened(request_of("a"), one), screen.screened(request_of("b"), other))

    asyncio.run(run())
    assert (one.batches, other.batches) == ([["a"]], [["b"]])


def test_a_failing_detector_fails_its_batch_and_no_later_request() -> None:
    gate = Gate()

    async def run() -> tuple[list[Screening], Screening]:
        async with BatchedScreen() as screen:
            hold = asyncio.create_task(screen.screened(request_of("wait"), gate))
            await asyncio.to_thread(gate.entered.wait)
            batch = asyncio.gather(*(screen.screened(request_of(text), gate) for text in ("break", "fine")))
            await asyncio.sleep(0.01)
            gate.door.set()
            await hold
            return await batch, await screen.screened(request_of("good"), gate)

    failed, later = asyncio.run(run())
    reasons = {screening.error for screening in failed}
    assert reasons == {"a detector failed: RuntimeError"}, "a detector's words may quote the prompt"
    assert len(later.findings) == 1


def test_a_slow_gate_is_a_screen_error_in_time() -> None:
    gate = Gate()

    async def run() -> float:
        async with BatchedScreen(timeout_s=0.05) as screen:
            started = time.perf_counter()
            assert (await screen.screened(request_of("wait"), gate)).error == "the gate took longer than 0.05 s"
            elapsed = time.perf_counter() - started
            gate.door.set()
            async with asyncio.timeout(30):  # another may be late too, where the machine is busy
                while not (await screen.screened(request_of("good"), gate)).findings:
                    pass
            return elapsed

    assert asyncio.run(run()) < 10


def test_a_long_text_does_not_hold_up_short_ones() -> None:
    gate = Gate()

    async def run() -> None:
        async with BatchedScreen(timeout_s=30) as screen:
            long = asyncio.create_task(screen.screened(request_of("wait " * 2_000), gate))
            await asyncio.to_thread(gate.entered.wait)
            assert (await asyncio.wait_for(screen.screened(request_of("short"), gate), 15)).findings
            assert not long.done()
            gate.door.set()
            assert (await long).findings

    asyncio.run(run())


def test_long_texts_take_turns() -> None:
    """One client's book must not make everybody else's letter wait until it is read."""
    gate = Gate()

    async def run() -> None:
        async with BatchedScreen(timeout_s=30) as screen:
            book = asyncio.create_task(screen.screened(request_of("wait" + "b" * 9_996), gate))
            await asyncio.to_thread(gate.entered.wait)
            letter = asyncio.create_task(screen.screened(request_of("l" * 5_000), gate))
            await asyncio.sleep(0.01)
            gate.door.set()
            assert (await letter).findings
            assert (await book).findings

    asyncio.run(run())
    assert gate.parts[:11] == ["w", "l", "b", "l", "b", "l", "b", "l", "b", "l", "b"]


def test_callers_take_turns_with_long_texts() -> None:
    """Somebody who sends ten books at once waits for them; somebody else's letter is read meanwhile."""
    gate = Gate()

    async def run() -> None:
        async with BatchedScreen(timeout_s=30) as screen:
            first = asyncio.create_task(screen.screened(request_of("wait" + "b" * 9_996, caller="books"), gate))
            await asyncio.to_thread(gate.entered.wait)
            books = [request_of("b" * 10_000, caller="books") for _ in range(10)]
            reading = [asyncio.create_task(screen.screened(book, gate)) for book in books]
            await asyncio.sleep(0.01)
            letter = asyncio.create_task(screen.screened(request_of("l" * 5_000, caller="letter"), gate))
            await asyncio.sleep(0.01)
            gate.door.set()
            assert (await letter).findings
            await asyncio.gather(first, *reading)

    asyncio.run(run())
    assert gate.parts[:11] == ["w", "b", "l", "b", "l", "b", "l", "b", "l", "b", "l"]


def test_callers_take_turns_with_short_texts() -> None:
    gate = Gate()

    async def run() -> None:
        async with BatchedScreen(timeout_s=30) as screen:
            first = asyncio.create_task(screen.screened(request_of("wait", caller="flood"), gate))
            await asyncio.to_thread(gate.entered.wait)
            flood = [request_of(f"flood {number}", caller="flood") for number in range(200)]
            one, other = (request_of(f"of {name}", caller=name) for name in ("one", "other"))
            tasks = [asyncio.create_task(screen.screened(request, gate)) for request in (*flood, one, other)]
            await asyncio.sleep(0.01)
            gate.door.set()
            await asyncio.gather(first, *tasks)

    asyncio.run(run())
    assert gate.batches[1][:4] == ["flood 0", "of one", "of other", "flood 1"]


def test_a_batch_is_not_longer_than_a_few_pages() -> None:
    gate = Gate()

    async def run() -> None:
        async with BatchedScreen(timeout_s=30) as screen:
            first = asyncio.create_task(screen.screened(request_of("wait"), gate))
            await asyncio.to_thread(gate.entered.wait)
            tasks = [asyncio.create_task(screen.screened(request_of("x" * 4_000), gate)) for _ in range(8)]
            await asyncio.sleep(0.01)
            gate.door.set()
            await asyncio.gather(first, *tasks)

    asyncio.run(run())
    assert [len(batch) for batch in gate.batches] == [1, 4, 4]


def test_a_long_text_that_breaks_a_detector_fails_alone() -> None:
    gate = Gate()

    async def run() -> list[Screening]:
        async with BatchedScreen() as screen:
            texts = ("break" + "x" * 5_000, "y" * 5_000)
            return await asyncio.gather(*(screen.screened(request_of(text), gate) for text in texts))

    broken, fine = asyncio.run(run())
    assert broken.error == "a detector failed: RuntimeError"
    assert fine.findings


def test_several_threads_read_batches_at_once() -> None:
    gate = Gate()

    async def run() -> None:
        async with BatchedScreen(timeout_s=30, threads=2) as screen:
            stuck = asyncio.create_task(screen.screened(request_of("wait"), gate))
            await asyncio.to_thread(gate.entered.wait)
            assert (await screen.screened(request_of("short"), gate)).findings
            gate.door.set()
            await stuck

    asyncio.run(run())


def test_nothing_to_screen_asks_no_gate() -> None:
    gate = Gate()

    async def run() -> Screening:
        async with BatchedScreen() as screen:
            return await screen.screened(request_of("", "  "), gate)

    assert asyncio.run(run()) == Screening()
    assert gate.batches == []


def test_the_same_screen_works_again_in_another_event_loop() -> None:
    """`make demo` asks its questions in one loop and serves in another."""
    screen = BatchedScreen(timeout_s=2)

    async def run() -> Screening:
        async with screen:
            await asyncio.sleep(0)  # the workers now wait on their queues
            return await screen.screened(request_of("bad"), Gate())

    assert asyncio.run(run()).matched
    assert asyncio.run(run()).matched


def test_a_dead_worker_is_said_and_refuses_at_once() -> None:
    async def run() -> float:
        async with BatchedScreen(timeout_s=30) as screen:
            await asyncio.sleep(0)
            assert screen.problem() is None
            screen._short.close()
            await asyncio.to_thread(screen._workers[0].join)
            assert "does not run" in (screen.problem() or "")
            started = time.monotonic()
            assert (await screen.screened(request_of("anything"), Gate())).error
            return time.monotonic() - started

    assert asyncio.run(run()) < 5
