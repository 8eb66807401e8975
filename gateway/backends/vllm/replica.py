"""One of several equal upstreams: what is known of it, how busy it is, and answers read from it."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager

from adapters.lora.model import Lora
from gateway.backends.base import ModelCard
from gateway.backends.vllm.capabilities import Known, Probe
from gateway.backends.vllm.client import Upstream
from gateway.backends.vllm.lora_cache import Shelf
from gateway.backends.vllm.lora_files import Adapter
from gateway.core import Chunk, Dose, Endpoint, Raw, Request
from gateway.errors import AdapterError, AnswerError, NotReady, UpstreamError, UpstreamRefused
from gateway.openai_format.decoding import DONE, chunks_of, payloads

__all__ = ["Replica"]

_log = logging.getLogger("unrecall.upstream")
_REVIVE_S = 5
Cards = tuple[ModelCard, ...]


class Replica:
    """One upstream. `stale`: it failed, and is to be probed before it is trusted again, as it may be another now."""

    def __init__(self, upstream: Upstream, shelf: Shelf | None, probe: Probe) -> None:
        self.upstream = upstream
        self.shelf = shelf
        self.stale = False
        self.in_flight = 0
        self._probe = probe
        self._known: Known | None = None
        self._probing = asyncio.Lock()
        self._revival: asyncio.Task[None] | None = None
        self._revived_at = -float(_REVIVE_S)

    @property
    def url(self) -> str:
        """Without /v1."""
        return self.upstream.url

    @property
    def known(self) -> Known:
        """Raises NotReady before `start`."""
        if self._known is None:
            raise NotReady("the backend is not started")
        return self._known

    def can(self, plan: str) -> bool:
        """Whether it serves plans of this name."""
        return plan not in self.known.served.cannot

    async def start(self) -> None:
        """The first probe. UpstreamError says what to do if there is no usable server."""
        try:
            self._known = await self._probe.known(self.upstream, self.shelf)
        except AnswerError as error:
            raise UpstreamError(
                f"no usable vLLM server at {self.url}: {error.message}. Start one there with "
                "--enable-prompt-embeds, wait until it is up, or correct the upstream URL or key"
            ) from error

    async def aclose(self) -> None:
        """Closes all connections, which aborts what runs on them."""
        if self._revival:
            self._revival.cancel()
            await asyncio.gather(self._revival, return_exceptions=True)
        if self.shelf:
            await self.shelf.aclose()
        await self.upstream.aclose()

    async def refresh(self, others: Callable[[], Cards | None]) -> None:
        """Probes it again if it is stale. Raises UpstreamError if that fails, or if it does not serve what the other
        replicas do."""
        if not self.stale:
            return
        async with self._probing:
            if not self.stale:
                return
            try:
                known = await self._probe.known(self.upstream, self.shelf)
            except UpstreamRefused as error:  # of the probe, not of any client's request
                raise UpstreamError("the model server does not answer as vLLM does") from error
            expected = others()
            if expected is not None and known.served.models != expected:
                raise UpstreamError("it serves other models, or another context length, than the other upstreams do")
            if self.shelf and "UseAdapter" not in known.served.cannot:
                await self.shelf.reconcile()
                self.shelf.restore()
            self._known = known
            self.stale = False

    def revive(self, others: Callable[[], Cards | None]) -> None:
        """Probes a stale replica in the background, every few seconds at most."""
        now = time.monotonic()
        running = self._revival is not None and not self._revival.done()
        if self.stale and not running and now - self._revived_at >= _REVIVE_S:
            self._revived_at = now
            self._revival = asyncio.get_running_loop().create_task(self._revive(others))

    async def _revive(self, others: Callable[[], Cards | None]) -> None:
        try:
            await self.refresh(others)
            _log.info("%s is back", self.url)
        except AnswerError as error:
            _log.warning("%s is still out: %s", self.url, error.message)

    async def trouble(self, others: Callable[[], Cards | None]) -> str | None:
        """Asks for its health. One back from a failure is probed again."""
        try:
            await self.upstream.health()
            await self.refresh(others)
        except AnswerError as error:
            if isinstance(error, UpstreamError) and not error.reached:
                self.stale = True
            return error.message
        return None

    async def prepare(self, adapters: Mapping[str, Lora], strength: float) -> Mapping[str, str]:
        """As Backend.prepare. Each adapter is loaded at one strength, the others when they are needed."""
        why = self.known.served.cannot.get("UseAdapter")
        if self.shelf is None:
            return dict.fromkeys(adapters, why or "")
        doses = {scope: Dose(scope, lora, strength) for scope, lora in adapters.items()}
        self.shelf.want({scope: await asyncio.to_thread(Adapter.of, [dose]) for scope, dose in doses.items()})
        if why is not None:
            return dict.fromkeys(adapters, why)
        try:
            return await self.shelf.prepare()
        except AnswerError as error:
            self.stale = True  # so that it is made ready once it is back
            return dict.fromkeys(adapters, error.message)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Counts a request while it is answered."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    async def passed(self, request: Request) -> AsyncGenerator[Chunk, None]:
        """The client's own body there and the upstream's own bytes back."""
        async with self.upstream.post(request.endpoint, request.raw) as response:
            if not request.stream:
                yield Raw(await response.aread())
                return
            tail = b""
            async for data in response.aiter_bytes():
                tail = (tail + data)[-2 * len(DONE) :]
                yield Raw(data)
            if not tail.rstrip().endswith(DONE):
                raise UpstreamError("the model server broke off its answer")

    async def read(
        self, endpoint: Endpoint, body: bytes, request: Request, prompt_tokens: int, *, adapter: str | None = None
    ) -> AsyncGenerator[Chunk, None]:
        """Posts a body of the gateway's own and reads the answer as one to the client's request.

        With `adapter`, AdapterError if the answer is another model's: vLLM can be told to take any name for its own.
        """
        async with (
            self.upstream.post(endpoint, body) as response,
            aclosing(payloads(response, stream=request.stream)) as found,
        ):
            async for payload in found:
                if adapter is not None and payload.get("model") != adapter:
                    raise AdapterError(
                        "it answered without the adapter: start vLLM without VLLM_SKIP_MODEL_NAME_VALIDATION"
                    )
                for chunk in chunks_of(payload, request, prompt_tokens):
                    yield chunk
