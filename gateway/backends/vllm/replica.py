"""One of several equal upstreams: what is known of it, how busy it is, and answers read from it."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any

import orjson

from adapters.lora.model import Lora
from gateway.backends.base import ModelCard
from gateway.backends.vllm.bodies import is_verbatim
from gateway.backends.vllm.capabilities import CapabilityCheck, Known
from gateway.backends.vllm.client import Upstream
from gateway.backends.vllm.complaints import payloads
from gateway.backends.vllm.lora_cache import LoraCache
from gateway.backends.vllm.lora_files import MergedAdapter
from gateway.backends.vllm.transport import pieces
from gateway.core import Endpoint, Event, ModelNeed, Request
from gateway.errors import AdapterError, AnswerError, NotReady, UpstreamError, UpstreamRefused
from gateway.openai_format.decoding import parts_of
from gateway.openai_format.encoding import sse
from gateway.prompts.execution import WeightedAdapter

__all__ = ["Replica"]

_log = logging.getLogger("unrecall.upstream")
_REVIVE_S = 5
Cards = tuple[ModelCard, ...]


class Replica:
    """One upstream. `unhealthy`: it failed, and the gateway asks it again before it trusts it."""

    def __init__(self, upstream: Upstream, lora_cache: LoraCache | None, check: CapabilityCheck) -> None:
        self.upstream = upstream
        self.lora_cache = lora_cache
        self.unhealthy = False
        self.in_flight = 0
        self._check = check
        self._known: Known | None = None
        self._checking = asyncio.Lock()
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

    def unsupported(self, needs: frozenset[ModelNeed]) -> str | None:
        """Why it cannot carry out a plan with these needs; None if it can."""
        return self.known.served.unsupported(needs)

    async def start(self) -> None:
        """The first capability check. UpstreamError says what to do if there is no usable server."""
        try:
            self._known = await self._check.known(self.upstream, self.lora_cache)
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
        if self.lora_cache:
            await self.lora_cache.aclose()
        await self.upstream.aclose()

    async def refresh(self, others: Callable[[], Cards | None]) -> None:
        """Asks it again if it is unhealthy. Raises UpstreamError if that fails, or if it does not serve what the other
        replicas do."""
        if not self.unhealthy:
            return
        async with self._checking:
            if not self.unhealthy:
                return
            try:
                known = await self._check.known(self.upstream, self.lora_cache)
            except UpstreamRefused as error:  # of the check, not of any client's request
                raise UpstreamError("the model server does not answer as vLLM does") from error
            expected = others()
            if expected is not None and known.served.models != expected:
                raise UpstreamError("it serves other models, or another context length, than the other upstreams do")
            if self.lora_cache and "adapters" not in known.served.unsupported_needs:
                await self.lora_cache.reconcile()
                self.lora_cache.restore()
            self._known = known
            self.unhealthy = False

    def revive(self, others: Callable[[], Cards | None]) -> None:
        """Checks an unhealthy replica in the background, every few seconds at most."""
        now = time.monotonic()
        running = self._revival is not None and not self._revival.done()
        if self.unhealthy and not running and now - self._revived_at >= _REVIVE_S:
            self._revived_at = now
            self._revival = asyncio.get_running_loop().create_task(self._revive(others))

    async def _revive(self, others: Callable[[], Cards | None]) -> None:
        try:
            await self.refresh(others)
            _log.info("%s is back", self.url)
        except AnswerError as error:
            _log.warning("%s is still out: %s", self.url, error.message)

    async def problem(self, others: Callable[[], Cards | None]) -> str | None:
        """Asks for its health. One back from a failure is checked again."""
        try:
            await self.upstream.health()
            await self.refresh(others)
        except AnswerError as error:
            if isinstance(error, UpstreamError) and not error.reached:
                self.unhealthy = True
            return error.message
        if self.lora_cache:
            self.lora_cache.watch()
        return None

    @property
    def concern(self) -> str | None:
        """What the operator should look into, though it answers; None if there is nothing."""
        return self.lora_cache.rivals.problem if self.lora_cache else None

    async def prepare(self, adapters: Mapping[str, Lora], in_force: frozenset[str], weight: float) -> Mapping[str, str]:
        """As Backend.prepare. Each adapter is loaded at one weight, the others when they are needed."""
        why = self.known.served.unsupported_needs.get("adapters")
        if self.lora_cache is None:
            return dict.fromkeys(adapters, why or "")
        weighted = {scope: WeightedAdapter(scope, lora, weight) for scope, lora in adapters.items()}
        merged = {scope: await asyncio.to_thread(MergedAdapter.of, [one]) for scope, one in weighted.items()}
        self.lora_cache.want(merged, in_force)
        if why is not None:
            return dict.fromkeys(adapters, why)
        try:
            return await self.lora_cache.prepare()
        except AnswerError as error:
            self.unhealthy = True  # so that it is made ready once it is back
            return dict.fromkeys(adapters, error.message)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Counts a request while it is answered."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    async def read(
        self, endpoint: Endpoint, body: bytes, request: Request, prompt_tokens: int, *, adapter: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """Posts a body of the gateway's own and reads the answer as one to the client's request.

        Args:
            endpoint: where to post.
            body: what to post.
            request: the client's.
            prompt_tokens: what the usage tells.
            adapter: AdapterError if the answer is another model's: vLLM can be told to take any name for its own.
        """
        async with (
            self.upstream.post(endpoint, body) as reply,
            aclosing(payloads(pieces(reply), stream=request.stream)) as found,
        ):
            async for payload in found:
                if adapter is not None and payload.get("model") != adapter:
                    raise AdapterError(
                        "it answered without the adapter: start vLLM without VLLM_SKIP_MODEL_NAME_VALIDATION"
                    )
                parts = parts_of(payload, request, prompt_tokens)
                if endpoint == "chat" and is_verbatim(request):
                    yield Event(data=_as_asked(payload, request, prompt_tokens), parts=tuple(parts))
                elif parts:
                    yield Event.of(*parts)


def _as_asked(payload: dict[str, Any], request: Request, prompt_tokens: int) -> bytes:
    """A payload of the upstream's as an answer to the request that the client sent."""
    payload["model"] = request.model
    if usage := payload.get("usage"):
        usage["total_tokens"] += prompt_tokens - usage["prompt_tokens"]
        usage["prompt_tokens"] = prompt_tokens
    return sse(payload) if request.stream else orjson.dumps(payload)
