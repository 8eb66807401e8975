"""Whole lines, in a hash chain, in a log that several processes write to.

In a file all processes go on with one chain, over restarts and rotations: a writer that finds lines of another one
reads the place of the last line from the file's end. That file may have been emptied or renamed meanwhile, so processes
that write side by side also keep the end of the last line in a file that they share. On standard output nothing can be
read back, so each process has a chain of its own.
"""

import contextlib
import fcntl
import logging
import os
import select
import stat
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from gateway.telemetry.chain import LONGEST_SEAL, Chain, Link, link_of

__all__ = ["LineHandler"]

_RETRY_S = 1.0
_KEPT = 10_000  # lines that wait in memory while the log cannot be written
_BLOCK = 1 << 16
_log = logging.getLogger("unrecall")


class LineHandler(logging.Handler):
    """Appends each record, a JSON object, to a file or to standard output as one line of a chain, past all buffers.

    A line is given to the system in one piece. A pipe takes more than 4 KiB piece by piece, and so does a disk that is
    nearly full; a lock keeps other processes out meanwhile. If a line cannot be written, it and those that follow wait
    in memory, and `problem` says why. A file that is renamed or emptied is left, and the chain goes on in a new one.
    """

    def __init__(
        self, file: Path | None, *, lock: Path | None = None, key: bytes | None = None, worker: int | None = None
    ) -> None:
        """
        Args:
            file: is appended to. None: standard output.
            lock: belongs to all processes that write side by side. With standard output they lock it while they write;
                else it holds the end of their last line. None: no other one writes there.
            key: makes the chain's digests HMACs.
            worker: the number of this process among several.

        Raises OSError for a file that cannot be written.
        """
        super().__init__()
        self._file = file
        self._lock_path = lock
        self._worker = worker
        self._chain = Chain(key)
        self._output = self._lock_file = -1
        self._regular = False
        self._last: Link | None = None  # the line that the next one follows
        self._end = 0  # of the file, after this process' own last line
        self._written = 0
        self._waiting: deque[bytes] = deque()
        self._fault = ""
        self._lost = 0
        self._tried = 0.0
        try:
            self._open()
        except BaseException:
            self._release()
            raise

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the line, as the last thing before this returns; or keeps it, if it cannot be written."""
        self._waiting.append(self.format(record).encode(errors="backslashreplace"))
        if self._fault and len(self._waiting) > _KEPT:
            self._waiting.popleft()
            self._lost += 1
        self._write_waiting()

    def problem(self) -> str | None:
        """Why lines cannot be written; None if they can. Tries again, once a second."""
        if self._fault and time.monotonic() - self._tried >= _RETRY_S:
            with self._guarded():
                self._write_waiting()
        return self._fault or None

    def close(self) -> None:
        """Writes what waits and a last line. Another record opens the log again."""
        with self._guarded():
            if self._output >= 0:
                self._write_waiting()
                with contextlib.suppress(OSError):
                    self._put(self._own("closed", lines=self._written))
            if self._waiting:
                _log.error("%d audit lines were never written: %s", len(self._waiting) + self._lost, self._fault)
            self._release()
        super().close()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def _write_waiting(self) -> None:
        self._tried = time.monotonic()
        try:
            if self._output < 0:  # whoever configures logging closes all handlers
                self._open()
            if self._lost:
                self._put(self._own("lost", lines=self._lost))
                self._lost = 0
            while self._waiting:
                self._put(self._waiting[0])
                self._waiting.popleft()
                self._written += 1
        except OSError as error:
            self._fail(error)
        else:
            if self._fault:
                _log.warning("the audit log is written again, with all lines that waited")
            self._fault = ""

    def _fail(self, error: OSError) -> None:
        where = self._file or "standard output"
        fault = f"the audit log ({where}) cannot be written: {error.strerror or error}; free space or mend it"
        if fault != self._fault:
            _log.error("%s. Lines wait in memory meanwhile", fault)
        self._fault = fault

    def _own(self, what: str, **fields: Any) -> bytes:
        """A line of the log's own life."""
        told = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "audit": what, "process": os.getpid()}
        worker = {} if self._worker is None else {"worker": self._worker}
        return orjson.dumps(told | worker | fields)

    def _open(self) -> None:
        self._attach()
        self._put(self._own("opened"))

    def _attach(self) -> None:
        if self._file is None:
            sys.stdout.flush()
            self._output = os.dup(sys.stdout.fileno())
        else:
            # Of a pipe that this process could read too, it would never learn that the reader is gone.
            access = os.O_WRONLY if self._file.exists() and not self._file.is_file() else os.O_RDWR
            self._output = _opened(self._file, access | os.O_APPEND)
        self._regular = self._file is not None and stat.S_ISREG(os.fstat(self._output).st_mode)
        # A descriptor of this process' own: those that were inherited share one lock.
        if self._lock_path:
            self._lock_file = _opened(self._lock_path, os.O_RDWR)

    def _release(self) -> None:
        for descriptor in (self._output, self._lock_file):
            if descriptor >= 0:
                os.close(descriptor)
        self._output = self._lock_file = -1

    def _put(self, line: bytes) -> None:
        """Raises OSError; then nothing of the line is in the file."""
        while True:
            with self._alone():
                end = self._caught_up() if self._regular else 0
                if not self._moved():
                    sealed, place = self._chain.sealed(line, self._last)
                    self._write_whole(sealed + b"\n", end)
                    self._last, self._end = place, end + len(sealed) + 1
                    self._share(sealed)
                    return
            self._release()
            self._attach()
            self._end = 0

    def _moved(self) -> bool:
        """Whether the file has another name now."""
        if not self._regular or self._file is None:
            return False
        try:
            named = os.stat(self._file)
        except FileNotFoundError:
            return True
        own = os.fstat(self._output)
        return (named.st_ino, named.st_dev) != (own.st_ino, own.st_dev)

    def _caught_up(self) -> int:
        """The end of the file, once `_last` is the last line that any process wrote. If that line is no longer in the
        file, the chain goes on from it nevertheless, and the gap shows."""
        end = os.fstat(self._output).st_size
        if end == self._end and end:
            return end
        self._last = _later(self._shared(), self._last)
        if not end:
            return end
        tail = os.pread(self._output, min(end, LONGEST_SEAL), max(0, end - LONGEST_SEAL))
        if tail.endswith(b"\n"):
            self._last = _later(link_of(tail[:-1]), self._last)
            return end
        return self._mended(end)

    def _share(self, sealed: bytes) -> None:
        """For processes that find an empty file. The line is written already, so that no error matters."""
        if self._regular and self._lock_file >= 0:
            with contextlib.suppress(OSError):
                os.pwrite(self._lock_file, sealed[-LONGEST_SEAL:].rjust(LONGEST_SEAL), 0)

    def _shared(self) -> Link | None:
        return link_of(os.pread(self._lock_file, LONGEST_SEAL, 0)) if self._lock_file >= 0 else None

    def _mended(self, end: int) -> int:
        """Ends a line that a crash cut short, and tells of it."""
        begin = end
        while begin and b"\n" not in os.pread(self._output, end - begin, begin):
            begin = max(0, begin - _BLOCK)
        piece = os.pread(self._output, end - begin, begin)
        begin += piece.rfind(b"\n") + 1
        if whole := link_of(piece[piece.rfind(b"\n") + 1 :]):  # its end alone is missing
            self._write_whole(b"\n", end)
            self._last = _later(whole, self._last)
            return end + 1
        before = os.pread(self._output, min(begin, LONGEST_SEAL), max(0, begin - LONGEST_SEAL))
        last = _later(link_of(before[:-1]), self._last)
        sealed, place = self._chain.sealed(self._own("torn", bytes=end - begin), last)
        self._write_whole(b"\n" + sealed + b"\n", end)
        self._last = place
        return end + len(sealed) + 2

    def _write_whole(self, line: bytes, end: int) -> None:
        """All of it, or, in a file that ends at `end`, nothing."""
        left = memoryview(line)
        try:
            while left:
                left = left[self._write(left) :]
        except OSError:
            if self._regular:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._output, end)
            raise

    def _write(self, line: memoryview) -> int:
        """How many bytes of it were taken."""
        try:
            return os.write(self._output, line)
        except BlockingIOError:  # another owner of the pipe wants it so
            select.select((), (self._output,), ())
            return 0

    @contextmanager
    def _alone(self) -> Iterator[None]:
        locked = self._output if self._regular else self._lock_file
        if locked < 0:
            yield
            return
        fcntl.flock(locked, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(locked, fcntl.LOCK_UN)


def _later(found: Link | None, own: Link | None) -> Link | None:
    """Of a file's last line and a process' own last line, the one that the next line follows."""
    if found and own and found.chain == own.chain:
        return max(found, own, key=lambda link: link.seq)
    return found or own


def _opened(file: Path, flags: int) -> int:
    return os.open(file, flags | os.O_CREAT | os.O_CLOEXEC, 0o666)
