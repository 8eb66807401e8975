"""The requests that a process has taken and not yet accounted for, kept where they outlive it: if it is killed, the
next process writes their audit lines.

They stand in a file beside the audit file, mapped into memory, so that noting one costs a copy of some hundred bytes.
A lock on the file tells whether its process lives. A machine that loses its power may lose them.
"""

import fcntl
import logging
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from gateway.files.mapped import map_file

__all__ = ["Pending", "account_for_killed"]

_SLOT_BYTES = 512
_SLOTS = 4096
_LONGEST_MODEL = 100  # characters; a client may send any name
_TAIL_BYTES = 1 << 20  # of the audit file, where the line of a request may stand that was killed in this moment
_log = logging.getLogger("unrecall")


class Pending:
    """What one process has taken. More than 4,096 requests at once are not all noted."""

    def __init__(self, audit_file: Path) -> None:
        """Raises OSError if no file can be made beside the audit file, or if the disk has no room for it."""
        self._path = audit_file.with_name(f"{audit_file.name}.open-{os.getpid()}-{secrets.token_hex(4)}")
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            self._map = map_file(self._descriptor, _SLOT_BYTES * _SLOTS)
        except BaseException:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            raise
        self._free = list(range(_SLOTS - 1, -1, -1))

    def begin(self, fields: Mapping[str, Any]) -> int | None:
        """Notes a request; the number is for `end`."""
        if not self._free:
            return None
        noted = {name: fields[name] for name in ("time", "id", "endpoint", "stream")}
        text = orjson.dumps(noted | {"model": fields["model"][:_LONGEST_MODEL]})
        if len(text) > _SLOT_BYTES:  # a name of letters that take much room
            text = orjson.dumps(noted)
        slot = self._free.pop()
        place = slot * _SLOT_BYTES
        self._map[place + 1 : place + len(text)] = text[1:]
        self._map[place] = text[0]  # last, so that a slot is free or whole
        return slot

    def end(self, slot: int | None) -> None:
        """The request has its audit line."""
        if slot is not None and not self._map.closed:
            self._map[slot * _SLOT_BYTES : (slot + 1) * _SLOT_BYTES] = bytes(_SLOT_BYTES)
            self._free.append(slot)

    def close(self) -> None:
        """Leaves the file for the next process if a request is still noted there; else removes it."""
        if self._map.closed:
            return
        if len(self._free) == _SLOTS:
            self._path.unlink(missing_ok=True)
        self._map.close()
        os.close(self._descriptor)


def account_for_killed(audit_file: Path, write: Callable[[str], None]) -> None:
    """Writes a line for every request whose process was killed before it could: its outcome is 'killed'."""
    for path in sorted(audit_file.parent.glob(f"{audit_file.name}.open-*")):
        try:
            with path.open("rb+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _account(file.read(), _tail(audit_file), write)
                path.unlink()
        except (BlockingIOError, FileNotFoundError):  # its process lives; or another one was quicker
            continue
        except (OSError, ValueError, KeyError) as error:
            _log.error("cannot account for the requests of a process that was killed, in %s: %s", path, error)


def _account(slots: bytes, written: bytes, write: Callable[[str], None]) -> None:
    for place in range(0, len(slots), _SLOT_BYTES):
        text = slots[place : place + _SLOT_BYTES].rstrip(b"\0")
        if not text.startswith(b"{"):
            continue
        noted = orjson.loads(text)
        if f'"id":"{noted["id"]}"'.encode() not in written:
            write(orjson.dumps({**noted, "outcome": "killed"}).decode())


def _tail(audit_file: Path) -> bytes:
    with audit_file.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        return file.read()
