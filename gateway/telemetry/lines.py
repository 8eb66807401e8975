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
        self._file = file
        self._lock_path = lock
        self._output = self._lock_file = -1
        self._open()

    def _open(self) -> None:
        if self._file is None:
            sys.stdout.flush()
            self._output = os.dup(sys.stdout.fileno())
        else:
            self._output = _opened(self._file, os.O_WRONLY | os.O_APPEND)
        # A descriptor of this process' own: those that were inherited share one lock.
        self._lock_file = _opened(self._lock_path, os.O_RDWR) if self._lock_path else -1

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the line, as the last thing before this returns."""
        try:
            if self._output < 0:  # whoever configures logging closes all handlers
                self._open()
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
        if self._lock_file < 0:
            yield
            return
        fcntl.flock(self._lock_file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Another record opens it again."""
        for descriptor in (self._output, self._lock_file):
            if descriptor >= 0:
                os.close(descriptor)
        self._output = self._lock_file = -1
        super().close()


def _opened(file: Path, flags: int) -> int:
    return os.open(file, flags | os.O_CREAT | os.O_CLOEXEC, 0o666)
