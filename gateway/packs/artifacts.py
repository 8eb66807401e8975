"""What methods learned, read from packs when a request first needs it and kept within a bound of memory."""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from classifiers.cache import Recent
from gateway.errors import PackError, reason_of
from gateway.methods.base import Method, MethodArtifact

__all__ = ["ArtifactCache", "StoredArtifact"]

_RETRY_S = 5.0
_T = TypeVar("_T")
_log = logging.getLogger("unrecall.packs")


class ArtifactCache:
    """The artifacts that were used last. Thread-safe.

    `faults` says, by scope, why an artifact, or another file that is read late, could not be read when it was last
    needed.
    """

    def __init__(self, limit_bytes: int = 1 << 28, *, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            limit_bytes: of all artifacts together, counted as the size of their files. A larger one is read each time.
            clock: seconds, for tests.
        """
        self._clock = clock
        self._kept: Recent[StoredArtifact, _Kept] = Recent(limit_bytes, size_of=lambda kept: kept.size)
        self._faults: dict[tuple[str, str], _Fault] = {}  # by scope and part
        self._reading: dict[StoredArtifact, threading.Lock] = {}
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """Of the artifacts in memory."""
        return self._kept.used

    @property
    def faults(self) -> Mapping[str, str]:
        """Why artifacts could not be read, by scope."""
        with self._lock:
            return {scope: fault.message for (scope, _), fault in self._faults.items()}

    def forget_fault(self, scope: str) -> None:
        """The scope's pack is another now, or gone."""
        with self._lock:
            self._faults = {place: fault for place, fault in self._faults.items() if place[0] != scope}

    def read_late(self, scope: str, part: str, owner: object, read: Callable[[], _T]) -> _T:
        """What `read` gives. If it raises PackError, the log says so once, and `faults` until it succeeds or the pack
        is another.

        Args:
            scope: of the pack.
            part: which of the scope's files.
            owner: of the file: another one is another version of it. Its fault stands for some seconds.
            read: slow. Raises PackError.
        """
        now, place = self._clock(), (scope, part)
        with self._lock:
            known = self._faults.get(place)
        if known and known.owner is owner and now < known.until:
            raise PackError(known.message)
        try:
            found = read()
        except PackError as error:
            if known is None or (known.owner, known.message) != (owner, str(error)):
                _log.error("%s; requests inside its scope are refused", error)
            with self._lock:
                self._faults[place] = _Fault(owner, str(error), now + _RETRY_S)
            raise
        with self._lock:
            self._faults.pop(place, None)
        return found

    def held(self, artifact: "StoredArtifact") -> MethodArtifact | None:
        """An artifact that is in memory; None if it must be read first. Never waits for a disk."""
        found = self._kept.known([artifact]).get(artifact)
        return None if found is None else found.artifact

    def read(self, artifact: "StoredArtifact") -> MethodArtifact:
        """An artifact, from its files if need be. Slow. Raises PackError, for some seconds without another try."""
        with self._lock:
            reading = self._reading.setdefault(artifact, threading.Lock())
        try:
            with reading:  # who else needs it waits, instead of reading it too
                found = self.held(artifact)
                return self._read(artifact) if found is None else found
        finally:
            with self._lock:
                self._reading.pop(artifact, None)

    def _read(self, artifact: "StoredArtifact") -> MethodArtifact:
        found, size = self.read_late(artifact.scope, "artifact", artifact, artifact.from_files)
        self._kept.keep({artifact: _Kept(found, size)})
        return found


class _Fault(NamedTuple):
    """Why a file could not be read, and until when nobody tries again."""

    owner: object
    message: str
    until: float


class _Kept(NamedTuple):
    """An artifact in memory, and the bytes of its files."""

    artifact: MethodArtifact
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class StoredArtifact:
    """One scope's artifact in its pack: `root`/`scope`/`version` has the method's files, which must have these
    SHA-256."""

    root: Path
    scope: str
    version: str
    method: Method
    hashes: tuple[str, ...]
    cache: ArtifactCache

    @property
    def digest(self) -> str:
        """Of the files' content: as `adapters.lora.model.Lora.digest` for a LoRA."""
        return hashlib.sha256(" ".join(self.hashes).encode()).hexdigest()

    def held(self) -> MethodArtifact | None:
        """The artifact if it is in memory, else None."""
        return self.cache.held(self)

    def load(self) -> MethodArtifact:
        """The artifact, read from its files if need be. Slow: not for the event loop. Raises PackError."""
        found = self.held()
        return self.cache.read(self) if found is None else found

    def from_files(self) -> tuple[MethodArtifact, int]:
        """The artifact and the bytes of its files, which are checked first. Raises PackError."""
        folder, size = self.root / self.scope / self.version, 0
        try:
            for file, expected in zip(self.method.files, self.hashes, strict=True):
                content = (folder / file).read_bytes()
                size += len(content)
                if hashlib.sha256(content).hexdigest() != expected:
                    raise PackError(
                        f"pack {self.scope!r}: {file} was altered or cut short; restore it or train the scope again"
                    )
            return self.method.load(folder), size
        except (OSError, ValueError) as error:
            raise PackError(
                f"pack {self.scope!r}: what its method learned cannot be read in {folder}: {reason_of(error)}; restore "
                "it or train the scope again"
            ) from error
