"""The folder of what was downloaded or converted once."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from gateway.errors import ModelError, reason_of

__all__ = ["cache_folder", "made_once"]


def cache_folder() -> Path:
    """The folder of pulled models: $UNRECALL_CACHE, or ~/.cache/unrecall."""
    return Path(os.environ.get("UNRECALL_CACHE") or Path.home() / ".cache" / "unrecall")


def made_once(name: str, make: Callable[[Path, Path], None]) -> Path:
    """The cache's folder of that name. If it is not there, `make` fills a folder, and the whole of it appears at once.

    Raises ModelError if nothing can be written there.

    Args:
        name: of the folder.
        make: gets the folder to fill, which is not there yet, and an empty one for what it needs meanwhile.
    """
    folder = cache_folder() / name
    if folder.is_dir():
        return folder
    with _scratch(folder.parent) as scratch:
        fresh, work = Path(scratch) / "folder", Path(scratch) / "work"
        work.mkdir()
        make(fresh, work)
        try:
            fresh.rename(folder)
        except OSError:  # another process was faster: its folder is as good
            if not folder.is_dir():
                raise
    return folder


def _scratch(cache: Path) -> tempfile.TemporaryDirectory[str]:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=cache, prefix=".make-")
    except OSError as error:
        raise ModelError(
            f"cannot write into {cache}: {reason_of(error)}; let this user write there, or name another folder in "
            "UNRECALL_CACHE"
        ) from error
