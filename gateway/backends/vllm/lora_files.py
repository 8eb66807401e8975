"""Unlearning LoRAs as folders that a model server can load, one for each mixture of scopes and weights."""

import asyncio
import fcntl
import hashlib
import os
import re
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from adapters.lora.model import ADAPTER_FILES, joined
from gateway.errors import AdapterError
from gateway.prompts.execution import WeightedAdapter

__all__ = ["PREFIX", "LoraFiles", "MergedAdapter"]

PREFIX = "unrecall-"
_OWN = re.compile(re.escape(PREFIX) + "[0-9a-f]{16}")
_DIGESTS = "digests.json"
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM knows


@dataclass(frozen=True, slots=True)
class MergedAdapter:
    """A mixture of weighted LoRAs under its own name: vLLM may serve outdated caches where a name's weights change."""

    name: str
    parts: tuple[WeightedAdapter, ...]
    digests: frozenset[str]

    @classmethod
    def of(cls, parts: Sequence[WeightedAdapter]) -> "MergedAdapter":
        """Slow for a LoRA that was not hashed yet: not for the event loop."""
        mixture = sorted((part.lora.digest, float(part.weight)) for part in parts)
        name = PREFIX + hashlib.sha256(repr(mixture).encode()).hexdigest()[:16]
        return cls(name, tuple(parts), frozenset(digest for digest, _ in mixture))


@dataclass(slots=True)
class _Use:
    """A shared lock on a file, and how many requests of ours need it."""

    descriptor: int
    requests: int = 0


class LoraFiles:
    """The folder that the gateway writes adapters to and its upstreams read them from.

    A folder stays as long as an upstream has it loaded: vLLM reads it again whenever it runs out of memory for it.
    Several gateways, or several workers of one, may share the folder: a lock on a file in an adapter's folder keeps
    each from taking away what another one's request uses. The lock of a process that dies is gone with it.
    """

    def __init__(self, folder: Path, seen_as: Path | None = None) -> None:
        """`seen_as` is the path of `folder` for the upstreams, if it is another."""
        self.folder = folder.resolve()
        self._seen_as = seen_as or self.folder
        self._held: Counter[str] = Counter()
        self._uses: dict[Path, _Use] = {}
        self._lock = asyncio.Lock()

    def path(self, name: str) -> str:
        """Where the upstreams find an adapter."""
        return str(self._seen_as / name)

    async def hold(self, adapter: MergedAdapter) -> None:
        """Sees to it that the adapter is there until it is dropped. AdapterError if it cannot be written."""
        async with self._lock:
            try:
                await asyncio.to_thread(self._write, adapter)
            except ValueError as error:
                raise AdapterError(f"the scopes' LoRAs cannot be put into one adapter: {error}") from error
            except OSError as error:
                raise AdapterError(
                    f"the gateway cannot write {self.folder / adapter.name} ({error.strerror}): make room there and "
                    "let the gateway's user write, or set adapters_folder to another folder"
                ) from error
            self._held[adapter.name] += 1

    def use(self, name: str, upstream: str) -> bool:
        """Until `release`, no gateway removes the folder or unloads the adapter from this upstream. False if the folder
        is not whole, or if another gateway is just about to."""
        taken: list[Path] = []
        for file in (self._lock_file(name), self._lock_file(name, upstream)):
            if file not in self._uses:
                descriptor = _locked(file, fcntl.LOCK_SH)
                if descriptor is None:
                    self._release(taken)
                    return False
                self._uses[file] = _Use(descriptor)
            self._uses[file].requests += 1
            taken.append(file)
        if _complete(self.folder / name):
            return True
        self._release(taken)
        return False

    def release(self, name: str, upstream: str) -> None:
        """The counterpart of `use`."""
        self._release([self._lock_file(name), self._lock_file(name, upstream)])

    def _release(self, files: Sequence[Path]) -> None:
        for file in files:
            use = self._uses[file]
            use.requests -= 1
            if not use.requests:
                os.close(self._uses.pop(file).descriptor)

    @contextmanager
    def alone(self, name: str, upstream: str = "") -> Iterator[bool]:
        """Whether no request, of this gateway or another, uses the adapter on this upstream, or on any. Within it none
        begins to."""
        file = self._lock_file(name, upstream)
        descriptor = _locked(file, fcntl.LOCK_EX)
        try:
            yield descriptor is not None or not file.parent.exists()
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _lock_file(self, name: str, upstream: str = "") -> Path:
        key = hashlib.sha256(upstream.encode()).hexdigest()[:16] if upstream else "any"
        return self.folder / name / f"in-use-{key}"

    def adopt(self, name: str) -> None:
        """Holds a folder that is there already."""
        self._held[name] += 1

    async def drop(self, name: str, *, keep_files: bool = False) -> None:
        """The counterpart of `hold` and `adopt`; the last one deletes the folder."""
        async with self._lock:
            self._held[name] = max(0, self._held[name] - 1)
        if not keep_files:
            await self.discard(name)

    async def discard(self, name: str) -> None:
        """Deletes the folder, if it is one of ours and nobody holds or uses it."""
        async with self._lock:
            if not self._held[name] and _OWN.fullmatch(name):
                with self.alone(name) as alone:
                    if alone:
                        await asyncio.to_thread(shutil.rmtree, self.folder / name, ignore_errors=True)

    async def sweep(self, in_force: frozenset[str]) -> None:
        """Deletes what an earlier run left: folders that nobody holds, of LoRAs that are no longer in force."""
        for name in await asyncio.to_thread(self._names):
            digests = await asyncio.to_thread(self.digests, name)
            if digests is None or not digests <= in_force:
                await self.discard(name)

    def digests(self, name: str) -> frozenset[str] | None:
        """Of the LoRAs in a folder, which another gateway or an earlier run may have written; None if unknown."""
        try:
            return frozenset(orjson.loads((self.folder / name / _DIGESTS).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def _names(self) -> list[str]:
        try:
            return [found.name for found in self.folder.iterdir() if _OWN.fullmatch(found.name)]
        except OSError:
            return []

    def _write(self, adapter: MergedAdapter) -> None:
        """Whole or not at all: an upstream, or another gateway, may look at any time."""
        folder = self.folder / adapter.name
        if _complete(folder):
            return
        lora = joined([(part.lora, part.weight) for part in adapter.parts])
        rank = next((rank for rank in _RANKS if rank >= lora.rank), None)
        if rank is None:
            raise ValueError(f"together their rank is {lora.rank} and vLLM takes at most {_RANKS[-1]}")
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f".{adapter.name}.{uuid.uuid4().hex}"
        draft.mkdir()
        try:
            lora.save(draft, rank=rank)
            (draft / _DIGESTS).write_bytes(orjson.dumps(sorted(adapter.digests)))
            _put(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _put(draft: Path, folder: Path) -> None:
    """Another gateway may be faster: its folder is as good, and may be in use already."""
    try:
        draft.replace(folder)
    except OSError:
        if _complete(folder):
            return
        shutil.rmtree(folder, ignore_errors=True)  # of a writer that was killed
        draft.replace(folder)


def _locked(file: Path, how: int) -> int | None:
    """A descriptor with a lock on a file, which is made if need be. None if its folder is gone, or if another has the
    lock."""
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:
        return None
    if _lock(descriptor, how) and _is(descriptor, file):
        return descriptor
    os.close(descriptor)
    return None


def _lock(descriptor: int, how: int) -> bool:
    """False if another has it. On a file system without locks this gateway acts as if it were alone."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _is(descriptor: int, file: Path) -> bool:
    """Whether the file was neither removed nor replaced since it was opened."""
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except OSError:
        return False


def _complete(folder: Path) -> bool:
    return all((folder / file).is_file() for file in (*ADAPTER_FILES, _DIGESTS))
