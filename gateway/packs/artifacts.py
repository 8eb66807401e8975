"""What methods learned, read from packs when a request first needs it and kept within a bound of memory."""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from classifiers.cache import Recent
from gateway.errors import PackError
from gateway.methods.base import Method, MethodArtifact

__all__ = ["ArtifactCache", "StoredArtifact"]

_RETRY_S = 5.0
_log = logging.getLogger("unrecall.packs")


class ArtifactCache:
    """The artifacts that were used last. Thread-safe.

    `faults` says, by scope, why an artifact could not be read when it was last needed.
    """

    def __init__(self, limit_bytes: int = 1 << 28, *, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            limit_bytes: of all artifacts together, counted as the size of their files. A larger one is read each time.
            clock: seconds, for tests.
        """
        self._clock = clock
        self._kept: Recent[StoredArtifact, _Kept] = Recent(limit_bytes, size_of=lambda kept: kept.size)
        self._faults: dict[str, tuple[StoredArtifact, str, float]] = {}  # the fault, and until when it stands
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
            return {scope: message for scope, (_, message, _) in self._faults.items()}

    def forget_fault(self, scope: str) -> None:
        """The scope's pack is another now, or gone."""
        with self._lock:
            self._faults.pop(scope, None)

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
        now = self._clock()
        with self._lock:
            known, message, until = self._faults.get(artifact.scope, (None, "", 0.0))
        if known is artifact and now < until:
            raise PackError(message)
        try:
            found, size = artifact.from_files()
        except PackError as error:
            if (known, message) != (artifact, str(error)):
                _log.error("%s; requests inside its scope are refused", error)
            with self._lock:
                self._faults[artifact.scope] = (artifact, str(error), now + _RETRY_S)
            raise
        self.forget_fault(artifact.scope)
        self._kept.keep({artifact: _Kept(found, size)})
        return found


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
                f"pack {self.scope!r}: what its method learned cannot be read: {error}; restore it or train the scope "
                "again"
            ) from error
