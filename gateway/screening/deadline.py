"""Ends work that takes for ever.

Short work is done on the event loop's own thread: a watch beside it interrupts that thread (`within`). Long work gets a
thread of its own, so that others are served meanwhile (`beside_the_loop`); if it takes too long, nobody waits for it.
"""

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

__all__ = ["Overdue", "beside_the_loop", "within"]

# Of a timer that nothing else in this process uses.
_SIGNAL, _TIMER = signal.SIGVTALRM, signal.ITIMER_VIRTUAL
_LOOK_S = 0.1
_Found = TypeVar("_Found")


class Overdue(Exception):
    """Work took longer than it may."""


class _Watch:
    """Interrupts the main thread when its work is overdue. Python code, regular expressions and waits are interrupted;
    a library's own code is not.

    The system's timer tells of work that computes, also where it lets no other thread run, as a regular expression
    does. It counts the time of all threads together, so it may come early. Of work that waits a thread tells.
    """

    def __init__(self) -> None:
        self._due: float | None = None
        self._thread: threading.Thread | None = None

    def begin(self, seconds: float) -> None:
        """On the main thread."""
        if self._thread is None:
            signal.signal(_SIGNAL, self._interrupt)
            self._thread = threading.Thread(target=self._look, name="deadlines", daemon=True)
            self._thread.start()
        self._due = time.monotonic() + seconds
        signal.setitimer(_TIMER, seconds, _LOOK_S)

    def end(self) -> None:
        """Nothing is interrupted any more."""
        self._due = None
        signal.setitimer(_TIMER, 0)

    def _look(self) -> None:
        main = threading.main_thread().ident or 0
        while threading.main_thread().is_alive():
            time.sleep(_LOOK_S)
            if self._overdue():
                signal.pthread_kill(main, _SIGNAL)

    def _interrupt(self, _: int, __: FrameType | None) -> None:
        """On the main thread. The work may have ended meanwhile."""
        if self._overdue():
            self._due = None
            raise Overdue

    def _overdue(self) -> bool:
        due = self._due
        return due is not None and time.monotonic() >= due


_watch = _Watch()


class within:  # noqa: N801 (it is called as a function is; a generator would take as long as what it watches)
    """A context that raises Overdue inside if it takes longer. On another thread than the main one it does nothing:
    nobody can interrupt that. Not to be nested, and nothing may be awaited inside."""

    __slots__ = ("_seconds",)

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            _watch.begin(self._seconds)

    def __exit__(self, *error: object) -> None:
        if threading.current_thread() is threading.main_thread():
            _watch.end()


async def beside_the_loop(work: Callable[[], _Found], seconds: float) -> _Found:
    """What `work` gives, done in a thread of its own. Raises what it raises, and Overdue if it takes longer: the thread
    goes on, and does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_Found] = loop.create_future()

    def settle(call: Callable[[Any], None], found: Any) -> None:
        if not done.done():
            call(found)

    def run() -> None:
        try:
            outcome: tuple[Callable[[Any], None], Any] = done.set_result, work()
        except Exception as error:
            outcome = done.set_exception, error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=run, name="long-work", daemon=True).start()
    try:
        return await asyncio.wait_for(done, seconds)
    except TimeoutError as error:
        if done.cancelled():
            raise Overdue from error
        raise
