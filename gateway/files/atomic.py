"""Writing that leaves the whole new file or the old one, and says so when the disk is full."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from gateway.errors import SetupError

__all__ = ["TextOutput", "open_output", "replace_file"]


def replace_file(path: Path, content: bytes, *, private: bool = False) -> None:
    """Writes a file in one step: its content is on disk before its name is. Nobody but its owner can read a `private`
    one. Raises OSError; then the scratch file is removed."""
    scratch = _scratch_for(path)
    mode = 0o600 if private else 0o666  # less what the umask takes
    try:
        with open(scratch, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException:
        _remove(scratch)
        raise


class TextOutput:
    """A text file that is being written. `write` raises SetupError, which names the file that the user asked for."""

    def __init__(self, file: TextIO, path: Path) -> None:
        self._file = file
        self._path = path

    def write(self, text: str) -> None:
        """Adds text."""
        with _told(self._path):
            self._file.write(text)


@contextlib.contextmanager
def open_output(path: Path) -> Iterator[TextOutput]:
    """A UTF-8 text file that takes its name when the block ends well; else nothing is left of it.

    A link is followed; a device or a pipe is written directly. Raises SetupError, which names the file.
    """
    with _told(path):
        target = path.resolve()
        direct = target.exists() and not target.is_file()
        scratch = target if direct else _scratch_for(target)
        file = scratch.open("w" if direct else "x", encoding="utf-8", newline="\n")
    try:
        yield TextOutput(file, path)
        with _told(path):
            file.flush()
            if not direct:
                os.fsync(file.fileno())
                scratch.replace(target)
    except BaseException:
        if not direct:
            _remove(scratch)
        raise
    finally:
        with contextlib.suppress(OSError):  # an error of the flush is told above
            file.close()


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SetupError(f"cannot write {path}: {error.strerror or error}; free space or choose another") from error


def _scratch_for(path: Path) -> Path:
    return path.with_name(f".{path.name}-{secrets.token_hex(4)}.part")


def _remove(scratch: Path) -> None:
    with contextlib.suppress(OSError):
        scratch.unlink(missing_ok=True)
