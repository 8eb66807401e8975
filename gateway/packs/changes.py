"""Which packs changed: a file that every command of ours adds a line to, and that a gateway reads on.

PACKS/.changes    one scope's id a line, in the order of the changes; a long one is begun anew with an empty line
"""

import contextlib
import os
from pathlib import Path

from gateway.files.atomic import replace_file

__all__ = ["ChangeLog", "note_change"]

_FILE = ".changes"
_LONGEST = 1 << 16  # bytes


def note_change(root: Path, scope: str) -> None:
    """Tells running gateways that a pack changed. Never raises: without the line they notice a little later."""
    path = root / _FILE
    line = f"{scope}\n".encode()
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)  # lines of several writers do not mix
        with open(descriptor, "ab", buffering=0) as file:
            file.write(line)
            long = file.tell() > _LONGEST
        if long:
            replace_file(path, b"\n" + line)


class ChangeLog:
    """Reads on in the file of changes. What was there before the first look does not count."""

    def __init__(self, root: Path) -> None:
        self._path = root / _FILE
        self._file = 0  # the inode: another one is another file
        self._read = 0
        self.changes()

    def changes(self) -> frozenset[str] | None:
        """The scopes that were named since the last look. None: lines may be lost, so that any pack may have changed.

        Costs one look at the file's status where nothing changed. Raises OSError for a file that cannot be read.
        """
        try:
            status = self._path.stat()
        except FileNotFoundError:
            lost, self._file, self._read = self._file != 0, 0, 0
            return None if lost else frozenset()
        if (status.st_ino, status.st_size) == (self._file, self._read):
            return frozenset()
        another, cut = status.st_ino != self._file, status.st_size < self._read
        start = 0 if another or cut else self._read
        with self._path.open("rb") as file:
            file.seek(start)
            content = file.read()
        lines = content[: content.rfind(b"\n") + 1]
        lost = cut or (another and self._file != 0) or (start == 0 and lines.startswith(b"\n"))
        self._file, self._read = status.st_ino, start + len(lines)
        return None if lost else frozenset(lines.decode("utf-8", "replace").split("\n")) - {""}
