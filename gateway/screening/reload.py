"""The packs in force, kept up to date with their folder while the gateway serves."""

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from classifiers.encoder.sentence import Encoder
from gateway.errors import ModelError, PackError
from gateway.models.languages import LoadLanguages
from gateway.packs.artifacts import ArtifactCache
from gateway.packs.folders import has_manifest, is_enabled, read_manifest, verify_files
from gateway.packs.store import Pack, load_pack, load_packs
from gateway.packs.watch import FolderWatch
from gateway.screening.gate import Gate

__all__ = ["Listener", "PackInForce", "PackReloader"]

_log = logging.getLogger("unrecall.packs")
_ROOT = "the packs folder"
_MANY = 1_000  # packs, to look through which the garbage collector takes a while
Listener = Callable[[Gate], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class PackInForce:
    """Which version of a pack is in force, and whether the operator has it switched on."""

    version: str
    enabled: bool


class PackReloader:
    """Loads packs at start (a bad pack stops the start) and again whenever they change on disk.

    If a pack becomes bad, its last good version keeps serving, and `problems` says so. If it has no good version, its
    scope has no guard: `unguarded` names it, and the gateway answers nothing until the operator mends or removes it. A
    request keeps the gate that it began with.

    What a method learned is read when a request first needs it; `gateway.packs.watch` says when a change is noticed.
    """

    def __init__(
        self,
        root: Path,
        *,
        encoder: Encoder | Callable[[], Encoder],
        base_fingerprint: str,
        encoder_fingerprint: str,
        poll_s: float = 0.25,
        soft_prompts_gated: bool = True,
        artifact_cache: ArtifactCache | None = None,
        load_languages: LoadLanguages | None = None,
    ) -> None:
        """
        Args:
            root: the folder of packs.
            encoder: embeds texts for the packs' detectors; or what loads it, once all packs are found good.
            base_fingerprint: of the base model that is served. A pack of another one is refused.
            encoder_fingerprint: of the encoder, likewise.
            poll_s: how often the folder is looked at, in seconds.
            soft_prompts_gated: whether soft prompts act on flagged requests alone.
            artifact_cache: keeps what the methods learned. None: one of the default size.
            load_languages: loads the encoder of other languages than English. None: names alone guard them.
        """
        self._root = root
        self._base = base_fingerprint
        self._encoder_fingerprint = encoder_fingerprint
        self._poll_s = poll_s
        self._watcher: asyncio.Task[None] | None = None
        self._listener: Listener | None = None
        self._cache = artifact_cache or ArtifactCache()
        self._problems: dict[str, str] = {}
        self._not_loaded: set[str] = set()  # folders that claim to be packs, and no version of them is in force
        self.unguarded: frozenset[str] = frozenset()
        self._watch = FolderWatch(root)
        stamps = self._watch.look()  # first: a pack that changes while it is read is read again
        with _no_collections():
            packs = load_packs(
                root, base_fingerprint=self._base, encoder_fingerprint=encoder_fingerprint, cache=self._cache
            )
            ready = encoder if isinstance(encoder, Encoder) else encoder()
            self.gate = Gate(packs, ready, soft_prompts_gated=soft_prompts_gated, load_languages=load_languages)
            if len(packs) >= _MANY:
                gc.freeze()  # the collector never looks at them
        self._packs = {scope: PackInForce(pack.version, pack.enabled) for scope, pack in packs.items()}
        for scope, stamp in stamps.items():
            if stamp is not None and scope in packs:
                self._watch.accept(scope, stamp)

    def listen(self, listener: Listener) -> None:
        """Awaits `listener` with every new gate, once the gate screens requests."""
        self._listener = listener

    @property
    def packs(self) -> Mapping[str, PackInForce]:
        """The packs in force by scope, disabled ones too."""
        return self._packs

    @property
    def problems(self) -> Mapping[str, str]:
        """What is wrong, by scope: packs that cannot be loaded, and artifacts that could not be read when they were
        needed."""
        return {**self._cache.faults, **self._problems}

    async def __aenter__(self) -> "PackReloader":
        self._watcher = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._watcher:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)

    def refresh(self) -> None:
        """Compares the folder with what is loaded and swaps in what changed. Never raises for a bad pack. Slow."""
        try:
            looks = self._watch.look()
        except PackError as error:
            self._complain(_ROOT, str(error))
            return
        self._problems.pop(_ROOT, None)
        gone = {scope for scope, stamp in looks.items() if stamp is None and not self._emptied(scope)}
        stamps = {scope: stamp for scope, stamp in looks.items() if stamp is not None}
        packs = {scope: pack for scope, stamp in stamps.items() if (pack := self._reloaded(scope, stamp))}
        for scope in gone:
            self._leave(scope)
        off = {scope for scope in stamps.keys() - packs.keys() if not is_enabled(self._root / scope)}
        self._put_in_force(packs, (gone | off) & self._packs.keys(), stamps)
        unguarded = (scope for scope in self._not_loaded if has_manifest(self._root / scope))
        self.unguarded = frozenset(unguarded)

    def _emptied(self, scope: str) -> bool:
        """Whether a folder lost its pack and is still there: by mistake, or because somebody is at work in it."""
        in_force = self._packs.get(scope)
        if in_force is None or not in_force.enabled or not (self._root / scope).is_dir():
            return False
        self._complain(
            scope,
            f"the folder {self._root / scope} holds no pack any more, and its last good version keeps serving; put the "
            "pack back, or remove the folder, too, if the scope is not to be guarded any longer",
        )
        return True

    def _reloaded(self, scope: str, stamp: int) -> Pack | None:
        """The pack as it is on disk now; None if it is bad, or is being changed while it is read."""
        folder, earlier = self._root / scope, self._packs.get(scope)
        try:
            pack = load_pack(
                folder,
                base_fingerprint=self._base,
                encoder_fingerprint=self._encoder_fingerprint,
                cache=self._cache,
            )
            if earlier and pack.enabled and pack.version == earlier.version:  # somebody was at work in its files
                verify_files(folder, read_manifest(folder))
            return pack
        except PackError as error:
            if self._watch.is_still(scope, stamp):
                self._reject(scope, str(error), stamp)
            elif earlier is None and is_enabled(folder):
                self._not_loaded.add(scope)  # until the next look, which sees the whole of it
            return None

    def _put_in_force(self, packs: Mapping[str, Pack], gone: Collection[str], stamps: Mapping[str, int]) -> None:
        if not packs and not gone:
            return
        try:
            self.gate = self.gate.updated(packs, gone)
        except (ValueError, PackError, ModelError) as error:  # of one of them: it must not hold up the others
            if len(packs) + len(gone) > 1:
                self._put_in_force({}, gone, stamps)
                for scope, pack in packs.items():
                    self._put_in_force({scope: pack}, (), stamps)
                return
            for scope in packs:
                self._reject(scope, f"pack {scope!r} cannot be served: {error}; train the scope again", stamps[scope])
            return
        kept = {scope: pack for scope, pack in self._packs.items() if scope not in gone}
        self._packs = kept | {scope: PackInForce(pack.version, pack.enabled) for scope, pack in packs.items()}
        for scope, pack in packs.items():
            self._mended(scope)
            self._watch.accept(scope, stamps[scope])
            _log.info("pack %s %s loaded", scope, pack.version)
            if not pack.enabled:
                _log.warning("pack %s is switched off: its scope is not guarded", scope)

    def _leave(self, scope: str) -> None:
        """The folder holds no pack any more."""
        if scope in self._packs:
            _log.warning("pack %s was removed: its scope is no longer guarded", scope)
        self._mended(scope)

    def _mended(self, scope: str) -> None:
        self._problems.pop(scope, None)
        self._not_loaded.discard(scope)
        self._cache.forget_fault(scope)

    def _reject(self, scope: str, why: str, stamp: int) -> None:
        """A bad pack: complains, once for each state of its files."""
        folder, earlier = self._root / scope, self._packs.get(scope)
        # A version that was switched off guards nothing: it cannot stand in for one that is switched on.
        guarded = earlier is not None and earlier.enabled
        self._complain(scope, f"{why} ({_meanwhile(folder, guarded)})")
        if guarded or not is_enabled(folder):
            self._not_loaded.discard(scope)
        else:
            self._not_loaded.add(scope)
        self._watch.accept(scope, stamp, settled=False)

    def _complain(self, what: str, message: str) -> None:
        if self._problems.get(what) != message:
            _log.error("%s", message)
        self._problems[what] = message

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            before = self.gate
            try:
                await asyncio.to_thread(self.refresh)
                if self.gate is not before and self._listener:
                    await self._listener(self.gate)
            except Exception:  # the watch must outlive every fault of a disk
                _log.exception("looking for changed packs failed; the packs in force keep serving")


@contextmanager
def _no_collections() -> Iterator[None]:
    """No garbage is collected. All that is made here stays, and with ten thousand packs to look through again and again
    the collector would take as long as the packs themselves."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _meanwhile(folder: Path, had_a_version: bool) -> str:
    if not is_enabled(folder):
        return "it is switched off, so that nothing depends on it"
    if had_a_version:
        return "its last good version keeps serving"
    # A first version is written before its manifest: a folder without one is not a pack yet.
    return "NOTHING is answered until it is mended or removed" if has_manifest(folder) else "it is not a pack yet"
