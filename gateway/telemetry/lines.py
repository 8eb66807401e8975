"""Whole lines in a log that several processes write to."""

import fcntl
import logging
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["LineHandler"]


class LineHandler(logging.Handler):
    """Appends each record to a file or to standard output as one line, past all buffers.

    A line is given to the system in one piece. A pipe takes more than 4 KiB piece by piece, and so does a disk that is
    nearly full; `lock` keeps other processes out meanwhile.
    """

    def __init__(self, file: Path | None, *, lock: Path | None = None) -> None:
        """
        Args:
            file: is appended to. None: standard output.
            lock: a file that all processes lock while they write. None: no other process writes there.

        Raises OSError for a file that cannot be written.
        """
        super().__init__()
        self._owned: list[int] = []
        if file is None:
            sys.stdout.flush()
            self._output = sys.stdout.fileno()
        else:
            self._output = self._open(file, os.O_WRONLY | os.O_APPEND)
        # A descriptor of this process' own: those that were inherited share one lock.
        self._lock_file = self._open(lock, os.O_RDWR) if lock else None

    def _open(self, file: Path, flags: int) -> int:
        descriptor = os.open(file, flags | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._owned.append(descriptor)
        return descriptor

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the line, as the last thing before this returns."""
        try:
            line = memoryview(f"{self.format(record)}\n".encode(errors="backslashreplace"))
            with self._alone():
                while line:
                    line = line[self._write(line) :]
        except Exception:
            self.handleError(record)

    def _write(self, line: memoryview) -> int:
        """How many bytes of it were taken."""
        try:
            return os.write(self._output, line)
        except BlockingIOError:  # another owner of the pipe wants it so
            select.select((), (self._output,), ())
            return 0

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._lock_file is None:
            yield
            return
        fcntl.flock(self._lock_file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Closes the file, if it has one of its own."""
        while self._owned:
            os.close(self._owned.pop())
        super().close()
