"""The packs in force, kept up to date with their folder while the gateway serves."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from classifiers.encoder.sentence import Encoder
from gateway.errors import PackError
from gateway.packs.folders import has_manifest, list_packs
from gateway.packs.store import Pack, load_pack
from gateway.screening.gate import Gate

__all__ = ["Listener", "PackReloader"]

_log = logging.getLogger("unrecall.packs")
_Stamp = tuple[tuple[str, int, int], ...]
Listener = Callable[[Gate], Awaitable[None]]


class PackReloader:
    """Loads packs at start (a bad pack stops the start) and again whenever they change on disk.

    If a pack becomes bad, its last good version keeps serving, and `problems` says so. If it has no good version, its
    scope has no guard: `unguarded` names it, and the gateway answers nothing until the operator mends or removes it. A
    request keeps the gate that it began with.
    """

    def __init__(
        self,
        root: Path,
        *,
        encoder: Encoder,
        base_fingerprint: str,
        encoder_fingerprint: str,
        poll_s: float = 1.0,
        soft_prompts_gated: bool = True,
    ) -> None:
        """
        Args:
            root: the folder of packs.
            encoder: embeds texts for the packs' detectors.
            base_fingerprint: of the base model that is served. A pack of another one is refused.
            encoder_fingerprint: of the encoder, likewise.
            poll_s: how often the folder is looked at, in seconds.
            soft_prompts_gated: whether soft prompts act on flagged requests alone.
        """
        self._root = root
        self._encoder = encoder
        self._base = base_fingerprint
        self._encoder_fingerprint = encoder_fingerprint
        self._poll_s = poll_s
        # stamps first: a pack that changes while it is read is read again
        self._stamps: dict[str, _Stamp] = {path.name: _stamp(path) for path in list_packs(root)}
        self._packs: dict[str, Pack] = {path.name: self._load(path) for path in list_packs(root)}
        self._watcher: asyncio.Task[None] | None = None
        self._gated = soft_prompts_gated
        self._listener: Listener | None = None
        self.problems: dict[str, str] = {}
        self.unguarded: frozenset[str] = frozenset()
        self.gate = self._gate()

    def _gate(self) -> Gate:
        return Gate(self._packs, self._encoder, soft_prompts_gated=self._gated)

    def listen(self, listener: Listener) -> None:
        """Awaits `listener` with every new gate, once the gate screens requests."""
        self._listener = listener

    @property
    def packs(self) -> Mapping[str, Pack]:
        """The packs in force by scope, disabled ones too."""
        return self._packs

    async def __aenter__(self) -> "PackReloader":
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._watcher:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)

    def refresh(self) -> None:
        """Compares the folder with what is loaded and swaps in what changed. Never raises for a bad pack."""
        try:
            folders = {path.name: path for path in list_packs(self._root)}
        except PackError as error:
            self._complain("the packs folder", str(error))
            return
        self.problems.pop("the packs folder", None)
        packs = {scope: pack for scope, pack in self._packs.items() if scope in folders}
        for scope in self._packs.keys() - folders.keys():
            _log.warning("pack %s was removed: its scope is no longer guarded", scope)
            self._stamps.pop(scope, None)
        for scope in self.problems.keys() - folders.keys():
            del self.problems[scope]
        for scope, folder in folders.items():
            self._refresh_one(scope, folder, packs)
        if packs != self._packs:
            self._packs = packs
            self.gate = self._gate()
        self.unguarded = frozenset(scope for scope in folders.keys() - packs.keys() if has_manifest(folders[scope]))

    def _refresh_one(self, scope: str, folder: Path, packs: dict[str, Pack]) -> None:
        stamp = _stamp(folder)
        if self._stamps.get(scope) == stamp:
            return
        try:
            packs[scope] = self._load(folder)
        except PackError as error:
            if _stamp(folder) != stamp:  # replaced while it was read: the next look sees the whole of it
                return
            self._complain(scope, f"{error} ({_meanwhile(folder, scope in packs)})")
        else:
            self.problems.pop(scope, None)
            _log.info("pack %s %s loaded", scope, packs[scope].manifest.version)
        self._stamps[scope] = stamp

    def _load(self, folder: Path) -> Pack:
        return load_pack(folder, base_fingerprint=self._base, encoder_fingerprint=self._encoder_fingerprint)

    def _complain(self, what: str, message: str) -> None:
        if self.problems.get(what) != message:
            _log.error("%s", message)
        self.problems[what] = message

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            before = self.gate
            try:
                await asyncio.to_thread(self.refresh)
                if self.gate is not before and self._listener:
                    await self._listener(self.gate)
            except Exception:  # the watch must outlive every fault of a disk
                _log.exception("looking for changed packs failed; the packs in force keep serving")


def _meanwhile(folder: Path, had_a_version: bool) -> str:
    if had_a_version:
        return "its last good version keeps serving"
    # A first version is written before its manifest: a folder without one is not a pack yet.
    return "NOTHING is answered until it is mended or removed" if has_manifest(folder) else "it is not a pack yet"


def _stamp(folder: Path) -> _Stamp:
    """Changes whenever a file of the pack does: path, size and time of change in nanoseconds."""
    try:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return tuple((str(p.relative_to(folder)), (s := p.stat()).st_size, s.st_mtime_ns) for p in files)
    except OSError:
        return ()
