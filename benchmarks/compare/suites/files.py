"""Where a suite's rows come from: the folder given with --data, else the Hugging Face hub."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.errors import SetupError
from gateway.files.rows import read_rows

__all__ = ["Fields", "Files"]

Fields = dict[str, Any]


class _Absent(SetupError):
    """The file does not exist. (Another SetupError: nobody can fetch or read it.)"""


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a data set: in `folder` below `data` if that is given, else below `prefix` of `hub`, a data set on
    the Hugging Face hub. `on_hub` is False where the hub's format is not read here."""

    data: Path | None
    folder: str
    hub: str
    prefix: str = ""
    on_hub: bool = True

    def rows(self, name: str, *fields: str, optional: bool = False) -> list[Fields]:
        """The objects of a JSON or JSON lines file, each of which must have these fields; none of an `optional` file
        that is not there. Raises SetupError."""
        return [dict(row) for row in self._entries(name, optional, lambda row: _lacking(row, fields))]

    def texts(self, name: str, *, optional: bool = False) -> list[str]:
        """The strings of a JSON file; none of an `optional` file that is not there. Raises SetupError."""
        return list(self._entries(name, optional, lambda text: "" if isinstance(text, str) else "is no text"))

    def either(self, *names: str) -> str:
        """The first of these names that there is below `data`, else the first of all."""
        folder = self.data / self.folder if self.data else None
        return next((name for name in names if folder and (folder / name).is_file()), names[0])

    def _entries(self, name: str, optional: bool, wrong: Callable[[Any], str]) -> list[Any]:
        try:
            path = self._path(name)
        except _Absent:
            if optional:
                return []
            raise
        entries = list(_content(path))
        for number, entry in enumerate(entries, 1):
            if fault := wrong(entry):
                raise SetupError(f"{path}: row {number} {fault}; is it the file {name} of {self.hub}?")
        return entries

    def _path(self, name: str) -> Path:
        if self.data is None:
            return self._fetched(name)
        path = self.data / self.folder / name
        if not path.is_file():
            raise _Absent(
                f"no file {path}: below the folder given with --data, {self.folder}/{name} should hold "
                f"{self.prefix}{name} of the Hugging Face data set {self.hub}"
            )
        return path

    def _fetched(self, name: str) -> Path:
        instead = f"give --data DIR with that file as DIR/{self.folder}/{name}"
        if not self.on_hub:
            raise SetupError(
                f"the hub's {self.hub} is no JSON, and nothing else is read here: save it as JSON and {instead}"
            )
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        try:
            return Path(hf_hub_download(self.hub, f"{self.prefix}{name}", repo_type="dataset"))
        except Exception as error:  # the hub's and the network's, of many kinds
            kind = _Absent if isinstance(error, EntryNotFoundError) else SetupError
            if isinstance(error, LocalEntryNotFoundError):  # no network
                kind = SetupError
            raise kind(
                f"cannot get {self.prefix}{name} of {self.hub} from the Hugging Face hub ({type(error).__name__}): "
                f"check the network, or {instead}"
            ) from error


def _lacking(row: Any, fields: Sequence[str]) -> str:
    missing = [field for field in fields if not isinstance(row, dict) or row.get(field) in (None, "", [])]
    return f"has no {missing[0]!r}" if missing else ""


def _content(path: Path) -> Iterator[Any]:
    """The entries of a JSON array, of one on every line, or of JSON lines. Raises SetupError."""
    rows = read_rows(path)
    if not rows:
        raise SetupError(f"{path} is empty")
    for row in rows:
        if row.fault:
            raise SetupError(row.problem(path))
        yield from row.value if isinstance(row.value, list) else [row.value]
