"""Work that takes for ever ends, and nothing else is interrupted."""

import asyncio
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from gateway.screening.deadline import Overdue, beside_the_loop, within


def counts() -> None:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        pass


def matches() -> None:
    re.match(r"(a|aa)+\Z", "a" * 45 + "b")  # years


def waits() -> None:
    threading.Event().wait(5)


@pytest.mark.parametrize("work", [counts, matches, waits])
def test_work_on_the_main_thread_is_interrupted(work: Callable[[], None]) -> None:
    before = time.monotonic()
    with pytest.raises(Overdue), within(0.2):
        work()
    assert 0.2 <= time.monotonic() - before < 4


def test_who_is_done_in_time_is_left_alone() -> None:
    for _ in range(200):
        with within(0.1):
            pass
    end = time.monotonic() + 0.4
    while time.monotonic() < end:
        pass


def test_what_fails_by_itself_fails_as_it_did() -> None:
    with pytest.raises(KeyError), within(1):
        raise KeyError


def test_another_thread_is_not_interrupted_and_does_not_interrupt() -> None:
    ended: list[bool] = []

    def work() -> None:
        with within(0.05):
            threading.Event().wait(0.5)
        ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]


def test_beside_the_loop() -> None:
    async def run() -> list[object]:
        ticks: list[object] = []

        async def tick() -> None:
            while True:
                ticks.append(None)
                await asyncio.sleep(0.02)

        ticking = asyncio.create_task(tick())
        assert await beside_the_loop(lambda: time.sleep(0.3) or 7, 5) == 7
        with pytest.raises(KeyError):
            await beside_the_loop(lambda: {}[1], 5)
        with pytest.raises(TimeoutError, match="its own"):
            await beside_the_loop(lambda: (_ for _ in ()).throw(TimeoutError("its own")), 5)
        with pytest.raises(Overdue):
            await beside_the_loop(lambda: time.sleep(3), 0.1)
        ticking.cancel()
        return ticks

    assert len(asyncio.run(run())) > 5


def test_a_thread_that_hangs_does_not_keep_the_process() -> None:
    code = (
        "import asyncio, time\n"
        "from gateway.screening.deadline import Overdue, beside_the_loop\n"
        "try:\n"
        "    asyncio.run(beside_the_loop(lambda: time.sleep(60), 0.1))\n"
        "except Overdue:\n"
        "    print('overdue')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "overdue\n"
