"""The folder of a comparison: it holds one comparison, keeps finished arms, and admits one run at a time."""

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from benchmarks.compare.core import Reply
from benchmarks.compare.results import ArmRecord
from gateway.errors import SetupError, reason_of

__all__ = ["Store"]

_HASHES = ("items_sha256", "model_fingerprint")  # they follow from the others, mostly, and tell a person nothing
_RUN, _ARM, _REPLIES, _LOCK = "run.json", "arm.json", "replies.jsonl", ".lock"


class Store:
    """RESULTS/run.json, models/, packs/, arms/ARM/{replies.jsonl, arm.json}, and the report."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        """`identity` holds all that two runs must share. Raises SetupError if the folder holds another one."""
        self.folder = folder
        if folder.exists() and not folder.is_dir():
            raise SetupError(f"--out {folder} is a file; choose a folder")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._identify(dict(identity))
        except OSError as error:
            raise SetupError(f"cannot write to {folder}: {reason_of(error)}; give another --out") from error

    def _identify(self, identity: dict[str, Any]) -> None:
        path = self.folder / _RUN
        if not path.is_file():
            if any(self.folder.iterdir()):
                raise SetupError(f"{self.folder} holds something else than a comparison; choose another --out folder")
            _write(path, identity)
            return
        there = _read(path)
        if wrong := sorted(key for key in {*there, *identity} if there.get(key) != identity.get(key)):
            told = [key for key in wrong if key not in _HASHES] or wrong
            said = ", ".join(f"{key} {there.get(key)!r} there and {identity.get(key)!r} now" for key in told)
            raise SetupError(f"{self.folder} holds another comparison ({said}); choose another --out folder")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Raises SetupError while another run writes into this folder."""
        with (self.folder / _LOCK).open("w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise SetupError(
                    f"another run is writing into {self.folder}; wait for it, or choose another --out folder"
                ) from error
            yield

    def path(self, *parts: str) -> Path:
        """A folder of this comparison, made if need be."""
        folder = self.folder.joinpath(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def finished(self) -> list[str]:
        """The arms of this run and of earlier ones."""
        return sorted(path.parent.name for path in self.folder.glob(f"arms/*/{_ARM}"))

    def record(self, arm: str) -> ArmRecord | None:
        """The record of a finished arm; None if the arm is not finished."""
        path = self.folder / "arms" / arm / _ARM
        if not path.is_file():
            return None
        record = _read(path)
        if not {"kind", "arm", "status"} <= record.keys():
            raise _damaged(path)
        return cast(ArmRecord, record)

    def replies(self, arm: str) -> list[Reply]:
        """The replies of a finished arm; none if it failed."""
        path = self.folder / "arms" / arm / _REPLIES
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        try:
            return [Reply.read(json.loads(line)) for line in lines]
        except (ValueError, TypeError, AttributeError) as error:
            raise _damaged(path) from error

    def damaged(self, arm: str, why: str) -> SetupError:
        """The error that a finished arm's replies are not what they were."""
        return _damaged(self.folder / "arms" / arm / _REPLIES, why)

    def keep(self, arm: str, record: ArmRecord, replies: Sequence[Reply]) -> None:
        """Writes the replies and then the record, which marks the arm as finished."""
        folder = self.path("arms", arm)
        lines = [json.dumps(asdict(reply), ensure_ascii=True) for reply in replies]
        _replace(folder / _REPLIES, "\n".join(lines))
        _write(folder / _ARM, record)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _damaged(path) from error
    if not isinstance(found, dict):
        raise _damaged(path)
    return found


def _damaged(path: Path, why: str = "") -> SetupError:
    what = f"{path} is damaged" + (f" ({why})" if why else "")
    if path.name == _RUN:
        return SetupError(f"{what}; put it back from a copy, or choose another --out folder")
    return SetupError(f"{what}; delete the folder {path.parent} and run again")


def _write(path: Path, content: Mapping[str, Any]) -> None:
    _replace(path, json.dumps(content, indent=1))


def _replace(path: Path, text: str) -> None:
    scratch = path.with_name(f".{path.name}.part")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
