"""How many requests each caller may send: a rate for a minute and a quota for a day.

The rate is the generic cell rate algorithm (ITU-T I.371): one time a caller, at which its bucket would be full again.
The quota counts in a window of 24 hours that begins with a caller's first request. Both stand in a table of fixed size,
which the workers of a gateway share, so that the limits hold exactly however its connections are spread. Libraries that
count across processes need a server beside them (Redis) or a database on disk, a write for each request.
"""

import fcntl
import hashlib
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.errors import QuotaUsed, RateExceeded
from gateway.files.mapped import map_file

__all__ = ["Quota"]

_ROW = struct.Struct("<16sddQ")  # caller, when its bucket is full again, when its day began, requests since then
_ROWS = 1 << 14
_NEAR = 16  # rows that one caller may stand in; if all are taken, the one that asked longest ago is forgotten
_MINUTE_S, _DAY_S = 60.0, 86_400.0


class Quota:
    """Counts the requests of each caller. Times are those of the monotonic clock, which all processes share."""

    def __init__(
        self,
        per_minute: int | None,
        per_day: int | None,
        *,
        shared: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            per_minute: requests of one caller; so many may come at once. None: no limit.
            per_day: requests of one caller. None: no limit.
            shared: a file of all processes that count together. None: this process counts alone.
            clock: seconds, for tests.
        """
        self._per_minute = per_minute
        self._per_day = per_day
        self._clock = clock
        self._file, length = -1, _ROW.size * _ROWS
        if shared:
            self._file = os.open(shared, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with self._alone():
            self._table = map_file(self._file, length) if shared else mmap.mmap(-1, length)

    def take(self, caller: str) -> None:
        """Counts one request. Raises RateExceeded or QuotaUsed, and counts nothing, if it is one too many."""
        if self._per_minute is None and self._per_day is None:
            return
        name = hashlib.sha256(caller.encode()).digest()[:16]
        with self._alone():
            now = self._clock()
            place = self._place(name)
            found, full_at, day_began, count = _ROW.unpack_from(self._table, place)
            if found != name:
                full_at, day_began, count = now, now, 0
            if now >= day_began + _DAY_S:
                day_began, count = now, 0
            full_at = self._filled(full_at, now)
            if self._per_day is not None and count >= self._per_day:
                raise QuotaUsed(day_began + _DAY_S - now)
            _ROW.pack_into(self._table, place, name, full_at, day_began, count + 1)

    def _filled(self, full_at: float, now: float) -> float:
        """When the bucket is full again after one request more."""
        full_at = max(full_at, now)
        if self._per_minute is None:
            return now
        full_at += _MINUTE_S / self._per_minute
        over_s = full_at - now - _MINUTE_S
        if over_s > 1e-6:
            raise RateExceeded(over_s)
        return full_at

    def _place(self, name: bytes) -> int:
        """Where the caller's row is, or will be."""
        first = int.from_bytes(name[:4], "little")
        places = [((first + near) % _ROWS) * _ROW.size for near in range(_NEAR)]
        rows = [(_ROW.unpack_from(self._table, place), place) for place in places]
        own = next((place for row, place in rows if row[0] == name), None)
        return min(rows, key=lambda row: max(row[0][1:3]))[1] if own is None else own

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._file < 0:
            yield
            return
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
