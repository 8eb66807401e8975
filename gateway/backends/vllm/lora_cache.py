"""The unlearning adapters that one upstream has loaded: loaded when first needed, kept within a number of slots."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.backends.vllm.client import Upstream
from gateway.backends.vllm.lora_files import PREFIX, LoraFiles, MergedAdapter
from gateway.backends.vllm.rivals import Rivals
from gateway.errors import AdapterError, AnswerError, UpstreamError

__all__ = ["LoraCache", "load_fault"]

_log = logging.getLogger("unrecall.adapters")
_RETRY_S = 30
_WATCH_S = 20.0  # between two looks at what others load
_LOOK_AGAIN_S = 1.0  # for an adapter that another gateway, or another worker, uses
_TRIES, _PAUSE_S = 100, 0.05  # for one that another gateway is just unloading
_CHECK = PREFIX + "check"
_SWITCHES = (
    "start vLLM with --enable-lora --max-lora-rank 16 and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True (docs/deploy.md)"
)


@dataclass(slots=True)
class _Loaded:
    """`digests` of its LoRAs, and how many requests are using it."""

    digests: frozenset[str]
    users: int = 0


class LoraCache:
    """What is in memory here is a guess that `reconcile` corrects: the upstream's own list is the truth.

    Several workers, or several gateways, may share an upstream and the folder. An adapter's name tells its content, so
    what another one loaded is as good as our own. None unloads an adapter that a request of another one uses
    (`LoraFiles.alone`); one that was unloaded meanwhile is loaded anew when it is needed.
    """

    def __init__(
        self, upstream: Upstream, files: LoraFiles, *, slots: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Args:
            upstream: the server that loads the adapters.
            files: writes them where the server can read them.
            slots: above this number the cache unloads the adapter that was not used for longest, but none in use.
            clock: seconds, for tests.
        """
        self._upstream = upstream
        self._files = files
        self._slots = slots
        self._clock = clock
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()  # the latest used comes last
        self._in_force: frozenset[str] | None = None  # unknown until `prepare`
        self._preferred: Mapping[str, MergedAdapter] = {}
        self._faults: dict[str, tuple[float, str]] = {}  # until when an adapter is not tried again, and why
        self._lock = asyncio.Lock()  # one change of the upstream at a time
        self._chores: set[asyncio.Task[None]] = set()
        self._looking = False
        self._reconciled = False
        self._watched_at = -_WATCH_S
        self.rivals = Rivals(upstream.url, clock=clock)
        """What other gateways do to this upstream."""

    async def aclose(self) -> None:
        """Stops what runs in the background. The upstream keeps its adapters: the next start finds them."""
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)

    async def fault(self) -> str | None:
        """Why the upstream loads no adapter at all; None if it may. Raises UpstreamError."""
        fields = {"lora_name": _CHECK, "lora_path": self._files.path(_CHECK)}  # a folder that is never there
        return _switched_off(*await self._upstream.adapter("load", fields))

    @asynccontextmanager
    async def using(self, adapter: MergedAdapter) -> AsyncIterator[None]:
        """Within it the adapter is loaded. AdapterError says why it cannot be, for half a minute without asking again;
        UpstreamError that nobody is there."""
        loaded = await self._take(adapter)
        try:
            yield
        finally:
            loaded.users -= 1
            self._files.release(adapter.name, self._upstream.url)
            if not loaded.users and self._victim() is not None:
                self._later(self._trim())  # the answer is complete: nobody should wait for this

    def want(self, adapters: Mapping[str, MergedAdapter], in_force: frozenset[str]) -> None:
        """From now on the LoRAs of these digests are in force, and no others. These scopes' adapters should be
        ready."""
        self._preferred = adapters
        self._in_force = in_force

    async def prepare(self) -> Mapping[str, str]:
        """Unloads what is not in force and loads what should be ready, up to the slots; the rest is loaded when it is
        needed. Returns what could not be loaded, by scope. Raises UpstreamError."""
        await self.reconcile()
        return await self._preload()

    async def reconcile(self, *, evict: bool = True) -> None:
        """Takes over what the upstream lists and unloads what nobody wants, unless it is not to `evict` what this
        gateway does not know. Raises UpstreamError."""
        async with self._lock:
            listed = await self._listed()
            self._faults.clear()
            gone = [name for name in self._loaded if listed.get(name) != self._files.path(name)]
            self.rivals.lost(gone)
            for name in gone:
                del self._loaded[name]
                await self._files.drop(name)
            await self._notice(listed)
            for name in listed.keys() - self._loaded.keys():
                if evict or await self._is_known(name, listed[name]):
                    await self._take_over(name, listed[name])
            self._reconciled = self._in_force is not None
        await self._trim()

    def watch(self) -> None:
        """Looks in the background, every 20 seconds at most, whether another gateway loads what is unknown here."""
        now = self._clock()
        if self._reconciled and now - self._watched_at >= _WATCH_S:
            self._watched_at = now
            self._later(self._watch())

    async def _watch(self) -> None:
        try:
            async with self._lock:
                await self._notice(await self._listed())
        except AnswerError as error:  # the next request or check finds out what is wrong
            _log.debug("%s does not list its adapters: %s", self._upstream.url, error.message)

    async def _notice(self, listed: Mapping[str, str]) -> None:
        """What was there at the start may be an earlier run's. What came since, and is not of our packs, is somebody's
        who runs now."""
        if not self._reconciled:
            return
        unknown = listed.keys() - self._loaded.keys()
        self.rivals.saw([name for name in unknown if not await self._is_known(name, listed[name])])

    async def _is_known(self, name: str, path: str) -> bool:
        """Whether it is in our folder, and of LoRAs that are in force."""
        if path != self._files.path(name):
            return False
        digests = await asyncio.to_thread(self._files.digests, name)
        return digests is not None and digests <= (self._in_force or frozenset())

    def restore(self) -> None:
        """Loads in the background what `prepare` had loaded: the upstream may have lost it."""
        self._later(self._restore())

    async def _restore(self) -> None:
        await self._preload()  # what fails is logged there

    async def _preload(self) -> Mapping[str, str]:
        faults = {}
        for scope, adapter in list(self._preferred.items())[: self._slots]:
            if len(self._loaded) >= self._slots:
                break  # what is there was needed: nobody may need this one
            try:
                async with self.using(adapter):
                    pass
            except AdapterError as error:
                faults[scope] = str(error)
            except AnswerError as error:
                faults[scope] = error.message
        return faults

    async def _take_over(self, name: str, path: str) -> None:
        """An adapter of an earlier run or of another gateway: as good as our own, if it is in our folder."""
        if self._in_force is None:
            return
        ours = path == self._files.path(name)
        digests = await asyncio.to_thread(self._files.digests, name) if ours else None
        if digests is None:
            await self._unload(name)
            return
        self._files.adopt(name)
        self._loaded[name] = _Loaded(digests)
        self._loaded.move_to_end(name, last=False)

    async def _take(self, adapter: MergedAdapter) -> _Loaded:
        """Loaded, and in use until `using` releases it."""
        for _ in range(_TRIES):
            if self._may_use(adapter.name):
                return self._taken(adapter.name)
            async with self._lock:
                if self._may_use(adapter.name) or await self._load(adapter):  # the former: somebody loaded it meanwhile
                    return self._taken(adapter.name)
            await asyncio.sleep(_PAUSE_S)
        raise AdapterError("another gateway keeps unloading it: give all of them the same packs and adapter_slots")

    def _may_use(self, name: str) -> bool:
        return name in self._loaded and self._files.use(name, self._upstream.url)

    def _taken(self, name: str) -> _Loaded:
        loaded = self._loaded[name]
        loaded.users += 1
        self._loaded.move_to_end(name)
        return loaded

    async def _load(self, adapter: MergedAdapter) -> bool:
        """Loads it and takes it into use. False while another gateway is just unloading it."""
        if self._loaded.pop(adapter.name, None):  # another gateway has unloaded it
            self.rivals.lost([adapter.name])
            await self._files.drop(adapter.name, keep_files=True)
        now = self._clock()
        self._faults = {name: fault for name, fault in self._faults.items() if fault[0] > now}
        if adapter.name in self._faults:
            raise AdapterError(self._faults[adapter.name][1])
        try:
            placed = await self._place(adapter)
        except AdapterError as error:
            self._faults[adapter.name] = (now + _RETRY_S, str(error))
            scopes = ", ".join(sorted(part.scope for part in adapter.parts))
            _log.error("%s does not serve the adapter of %s: %s", self._upstream.url, scopes, error)
            raise
        if placed:
            self._loaded[adapter.name] = _Loaded(adapter.digests)
        return placed

    async def _place(self, adapter: MergedAdapter) -> bool:
        await self._files.hold(adapter)
        if not self._files.use(adapter.name, self._upstream.url):
            await self._files.drop(adapter.name, keep_files=True)
            return False
        try:
            await self._ask_to_load(adapter)
        except BaseException:
            self._files.release(adapter.name, self._upstream.url)
            await self._files.drop(adapter.name)
            raise
        return True

    async def _ask_to_load(self, adapter: MergedAdapter) -> None:
        path = self._files.path(adapter.name)
        try:
            status, words = await self._upstream.adapter("load", {"lora_name": adapter.name, "lora_path": path})
            if status == 200:
                return
            if "already been loaded" in words:  # by a request that was broken off, or by another gateway
                found = (await self._listed()).get(adapter.name)
                if found == path:
                    return
                words = f"it has {adapter.name} already, from {found}: let all gateways use the same adapters folder"
        except UpstreamError as error:
            if not error.reached:
                raise
            raise AdapterError(f"{error.message} while it loaded an adapter") from error
        raise AdapterError(load_fault(status, words, path))

    def _victim(self, spared: Collection[str] = ()) -> str | None:
        """What should be unloaded next: an idle adapter, not wanted any more or the oldest of too many."""
        idle = [name for name, loaded in self._loaded.items() if not loaded.users and name not in spared]
        if self._in_force is not None:
            for name in idle:
                if not self._loaded[name].digests <= self._in_force:
                    return name
        return idle[0] if idle and len(self._loaded) > self._slots else None

    async def _trim(self) -> None:
        spared: set[str] = set()
        async with self._lock:
            while (name := self._victim(spared)) is not None:
                if not await self._unload(name):
                    spared.add(name)
        if spared and not self._looking:
            self._later(self._look_again())

    async def _look_again(self) -> None:
        """For what could not be unloaded because others used it."""
        self._looking = True
        await asyncio.sleep(_LOOK_AGAIN_S)
        self._looking = False
        await self._trim()

    async def _unload(self, name: str) -> bool:
        """False if a request uses it, perhaps another gateway's."""
        with self._files.alone(name, self._upstream.url) as alone:
            if alone:
                await self._unload_alone(name)
        return alone

    async def _unload_alone(self, name: str) -> None:
        known = self._loaded.pop(name, None)  # from now on, who needs it waits for the lock and loads it anew
        failed = True
        try:
            status, words = await self._upstream.adapter("unload", {"lora_name": name})
            failed = status not in (200, 404)
            if failed:
                _log.warning("%s does not unload %s (%s): %s", self._upstream.url, name, status, words)
        except UpstreamError as error:
            _log.warning("%s does not unload %s: %s", self._upstream.url, name, error.message)
        finally:
            if known is not None:
                await self._files.drop(name, keep_files=failed)
            elif not failed:
                await self._files.discard(name)

    async def _listed(self) -> Mapping[str, str]:
        """The gateway's adapters that the upstream has, and from where."""
        return {
            str(model.get("id")): str(model.get("root"))
            for model in await self._upstream.models()
            if model.get("parent") is not None and str(model.get("id")).startswith(PREFIX)
        }

    def _later(self, chore: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)


def load_fault(status: int, words: str, path: str) -> str:
    """What an upstream's refusal to load an adapter means, and what to do about it."""
    if off := _switched_off(status, words):
        return off
    if "max_lora_rank" in words:
        return f"start vLLM with a larger --max-lora-rank, the sum of the ranks of scopes used together ({words})"
    if "No adapter found" in words:
        return (
            f"the upstream cannot see the folder {path}: mount the gateway's adapters_folder there, or set "
            "upstream_adapters_folder to the path that the upstream has for it"
        )
    if "target modules" in words:
        return f"this vLLM has no LoRA for some of the layers: train the pack with other target modules ({words})"
    return f"it said ({status}): {words or 'nothing'}"


def _switched_off(status: int, words: str) -> str | None:
    """A missing route is a 404 as well, but one that says nothing of an adapter."""
    if status in (401, 403):
        return "the upstream refuses the gateway's key for adapters: correct upstream_key"
    if status == 405 or (status == 404 and PREFIX not in words):
        return f"the upstream loads no adapters at run time: {_SWITCHES}"
    if "LoRA is not enabled" in words:
        return f"the upstream has no LoRA switched on: {_SWITCHES}"
    return None
