"""Unlearning LoRAs as folders that a model server can load, one for each mixture of scopes and weights."""

import asyncio
import hashlib
import re
import shutil
import uuid
from collections import Counter
from collections.abc import Sequence
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


class LoraFiles:
    """The folder that the gateway writes adapters to and its upstreams read them from.

    A folder stays as long as an upstream has it loaded: vLLM reads it again whenever it runs out of memory for it.
    """

    def __init__(self, folder: Path, seen_as: Path | None = None) -> None:
        """`seen_as` is the path of `folder` for the upstreams, if it is another."""
        self.folder = folder.resolve()
        self._seen_as = seen_as or self.folder
        self._held: Counter[str] = Counter()
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
        """Deletes the folder, if it is one of ours and nobody holds it."""
        async with self._lock:
            if not self._held[name] and _OWN.fullmatch(name):
                await asyncio.to_thread(shutil.rmtree, self.folder / name, ignore_errors=True)

    async def sweep(self, in_force: frozenset[str]) -> None:
        """Deletes what an earlier run left: folders that nobody holds, of LoRAs that are no longer in force."""
        for name in await asyncio.to_thread(self._names):
            digests = self.digests(name)
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
            shutil.rmtree(folder, ignore_errors=True)
            draft.replace(folder)
        except OSError:
            if not _complete(folder):  # else another gateway was faster
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _complete(folder: Path) -> bool:
    return all((folder / file).is_file() for file in (*ADAPTER_FILES, _DIGESTS))
