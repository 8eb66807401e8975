"""Stock vLLM servers as a backend: untouched requests go through as bytes, corrupted ones as embeddings, and those for
an unlearning adapter under its name."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import httpx
from torch import Tensor

from adapters.lora.model import Lora
from gateway.backends.base import Served
from gateway.backends.refusal import refusal
from gateway.backends.vllm.bodies import adapted_body, embedded_body, instructed_body, too_long, too_much
from gateway.backends.vllm.capabilities import Probe
from gateway.backends.vllm.client import Upstream
from gateway.backends.vllm.lora_cache import Shelf
from gateway.backends.vllm.lora_files import Adapter, AdapterStore
from gateway.backends.vllm.replica import Cards, Replica
from gateway.core import Chunk, Corrupt, Endpoint, Instruct, Pass, Plan, Refuse, Request, SoftPrompt, UseAdapter
from gateway.errors import AdapterError, UpstreamError, UpstreamRefused
from gateway.openai_format.encoding import Shape
from gateway.policy import DEFAULT_REFUSAL
from gateway.prompts.embedding import PromptEmbedder
from gateway.prompts.rendering import Tokenizer, Unlocatable, count_tokens

__all__ = ["VllmBackend"]

_log = logging.getLogger("unrecall.upstream")


class VllmBackend:
    """One upstream vLLM server, or several equal ones: a request goes to the one with the fewest."""

    def __init__(
        self,
        *,
        upstreams: Sequence[str],
        tokenizer: Tokenizer,
        weight: Tensor,
        adapters_folder: Path | None = None,
        upstream_adapters_folder: Path | None = None,
        adapter_slots: int = 8,
        strengths: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0),
        api_key: str | None = None,
        connect_timeout_s: float = 5,
        read_timeout_s: float = 120,
        max_connections: int = 256,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`upstreams` have no /v1, `weight` [vocabulary, hidden] is the model's input embeddings.

        LoRAs are written to `adapters_folder` for the upstreams to load from there, or from `upstream_adapters_folder`
        if they see it under that path. Each keeps about `adapter_slots` of them, one for each mixture and strength.
        """
        self._tokenizer = tokenizer
        self._embedder = PromptEmbedder(tokenizer, weight)
        self._strength = max(strengths, default=1.0)
        self._store = AdapterStore(adapters_folder, upstream_adapters_folder) if adapters_folder else None
        probe = Probe(tokenizer, len(weight), self._embedder, strengths)
        self._replicas: list[Replica] = []
        for url in upstreams:
            upstream = Upstream(
                url,
                api_key=api_key,
                connect_timeout_s=connect_timeout_s,
                read_timeout_s=read_timeout_s,
                max_connections=max_connections,
                transport=transport,
            )
            shelf = Shelf(upstream, self._store, slots=adapter_slots) if self._store else None
            self._replicas.append(Replica(upstream, shelf, probe))
        if not self._replicas:
            raise ValueError("the vLLM backend needs at least one upstream")

    async def __aenter__(self) -> "VllmBackend":
        """Asks each server what it serves and how it answers; UpstreamError says what to do if one does not."""
        try:
            for replica in self._replicas:
                await replica.start()
            self._compare()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        """Closes all connections, which aborts what runs on them."""
        for replica in self._replicas:
            await replica.aclose()

    def _compare(self) -> None:
        """UpstreamError if the upstreams serve different models; a line in the log if one can do less than others."""
        first, *others = self._replicas
        for other in others:
            if other.known.served.models != first.known.served.models:
                raise UpstreamError(
                    f"{first.url} serves {_names(first)} and {other.url} serves {_names(other)}: start all "
                    "upstreams on the same model, with the same --served-model-name and --max-model-len"
                )
        everywhere = self.served.cannot
        for replica in self._replicas:
            for plan, why in replica.known.served.cannot.items():
                if plan not in everywhere:
                    _log.warning("%s cannot serve %s, the other upstreams must: %s", replica.url, plan, why)

    @property
    def served(self) -> Served:
        """The base models, under the names that the upstreams give them, and what none of these can do. Adapters are
        never offered."""
        first, *others = self._well() or self._replicas
        found = first.known.served
        cannot = {plan: why for plan, why in found.cannot.items() if not any(other.can(plan) for other in others)}
        return replace(found, cannot=cannot)

    def shape(self, endpoint: Endpoint) -> Shape:
        """As the upstreams themselves answer."""
        return (self._well() or self._replicas)[0].known.shapes[endpoint]

    async def trouble(self) -> str | None:
        """Why no upstream is well; None if one is."""
        found = await asyncio.gather(*(replica.trouble(self._cards) for replica in self._replicas))
        if None in found:
            return None
        if len(found) == 1:
            return found[0]
        return "; ".join(f"{replica.url}: {why}" for replica, why in zip(self._replicas, found, strict=True))

    async def prepare(self, adapters: Mapping[str, Lora]) -> Mapping[str, str]:
        """See Backend. A scope that one upstream can serve is served; where another cannot, the log says so."""
        results = await asyncio.gather(*(self._prepared(replica, adapters) for replica in self._replicas))
        faults: dict[str, dict[str, str]] = {scope: {} for scope in adapters}
        for replica, failed in zip(self._replicas, results, strict=True):
            for scope, why in failed.items():
                faults[scope][replica.url] = why
        if self._store and not any(faults.values()):
            await self._store.sweep(frozenset(lora.digest for lora in adapters.values()))
        unserved = {}
        for scope, by_url in faults.items():
            why = "; ".join(f"{url}: {fault}" for url, fault in by_url.items())
            if len(by_url) == len(self._replicas):
                unserved[scope] = why
            elif by_url:
                _log.error("not every upstream serves the adapter of %s, it is tried again when needed: %s", scope, why)
        return unserved

    async def _prepared(self, replica: Replica, adapters: Mapping[str, Lora]) -> Mapping[str, str]:
        try:
            return await replica.prepare(adapters, self._strength)
        except Exception:  # whatever it is, the others are served
            _log.exception("%s could not be prepared", replica.url)
            return dict.fromkeys(adapters, "the gateway failed; its log says why")

    async def generate(self, request: Request, plan: Plan) -> AsyncIterator[Chunk]:
        """See Backend.generate. A plan that no upstream can carry out is answered with a refusal."""
        tried: list[Replica] = []
        unserved = isinstance(plan, Refuse)  # this plan needs no upstream
        while not isinstance(plan, Refuse) and (replica := self._choose(plan, tried)):
            tried.append(replica)
            sent = False
            try:
                async with aclosing(self._answer(replica, request, plan)) as chunks:
                    async for chunk in chunks:
                        sent = True
                        yield chunk
                return
            except AdapterError as error:
                if sent:
                    raise UpstreamError("the model server failed while it answered") from error
                unserved = True  # another upstream may have it
            except UpstreamError as error:
                replica.stale = True
                again = not error.reached and len(tried) < len(self._replicas)
                if sent or not (again or unserved):
                    raise
        async with aclosing(self._refused(request, plan.text if isinstance(plan, Refuse) else None)) as refused:
            async for chunk in refused:
                yield chunk

    def _choose(self, plan: Plan, tried: Sequence[Replica]) -> Replica | None:
        """The least busy of the upstreams that can do it, failing that of those that are well, or else of all."""
        left = [replica for replica in self._replicas if replica not in tried]
        well = [replica for replica in left if not replica.stale]
        able = [replica for replica in well if replica.can(type(plan).__name__)]
        chosen = min(able or well or left, key=lambda replica: replica.in_flight, default=None)
        for replica in left:
            if replica.stale and replica is not chosen:
                replica.revive(self._cards)
        return chosen

    def _well(self) -> list[Replica]:
        return [replica for replica in self._replicas if not replica.stale]

    def _cards(self) -> Cards | None:
        """What a replica that comes back must serve: the same as those that are well."""
        well = self._well()
        return well[0].known.served.models if well else None

    async def _answer(self, replica: Replica, request: Request, plan: Plan) -> AsyncGenerator[Chunk, None]:
        with replica.busy():
            if not isinstance(plan, Pass):
                await replica.refresh(self._cards)
            async with aclosing(self._planned(replica, request, plan)) as chunks:
                async for chunk in chunks:
                    yield chunk

    def _planned(self, replica: Replica, request: Request, plan: Plan) -> AsyncGenerator[Chunk, None]:
        if not replica.can(type(plan).__name__):
            return self._refused(request)
        match plan:
            case Pass():
                return replica.passed(request)
            case Refuse(text):
                return self._refused(request, text)
            case Instruct(text):
                return self._instructed(replica, request, text)
            case Corrupt() | SoftPrompt():
                return self._embedded(replica, request, plan)
            case UseAdapter():
                return self._adapted(replica, request, plan)

    async def _refused(self, request: Request, text: str | None = None) -> AsyncGenerator[Chunk, None]:
        await asyncio.to_thread(self._checked_tokens, request)
        async with aclosing(refusal(request, text or DEFAULT_REFUSAL, self._tokenizer)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _instructed(self, replica: Replica, request: Request, text: str) -> AsyncGenerator[Chunk, None]:
        prompt_tokens = await asyncio.to_thread(self._checked_tokens, request)
        body = instructed_body(request, text)
        try:
            async with aclosing(replica.read(request.endpoint, body, request, prompt_tokens)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        except UpstreamRefused as error:
            if error.param != "input_tokens":  # only the instruction made it too long
                raise
        async with aclosing(self._refused(request)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _embedded(
        self, replica: Replica, request: Request, plan: Corrupt | SoftPrompt
    ) -> AsyncGenerator[Chunk, None]:
        try:
            body, prompt_tokens = await asyncio.to_thread(self._embedded_body, request, plan)
            async with aclosing(replica.read("completions", body, request, prompt_tokens)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        except Unlocatable:
            pass
        except UpstreamRefused as error:
            # A complaint about the embeddings would tell the client of them. It comes before the first chunk.
            if "embed" not in f"{error.param} {error.message}".lower():
                raise
        async with aclosing(self._refused(request)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _adapted(self, replica: Replica, request: Request, plan: UseAdapter) -> AsyncGenerator[Chunk, None]:
        """Raises AdapterError, before the first chunk, if this upstream cannot."""
        shelf = replica.shelf
        if shelf is None:
            raise AdapterError("there is no folder for adapters")
        prompt_tokens = await asyncio.to_thread(self._checked_tokens, request)
        adapter = await asyncio.to_thread(Adapter.of, plan.doses)
        body = adapted_body(request, adapter.name)
        for attempt in (1, 2):
            try:
                async with (
                    shelf.using(adapter),
                    aclosing(
                        replica.read(request.endpoint, body, request, prompt_tokens, adapter=adapter.name)
                    ) as chunks,
                ):
                    async for chunk in chunks:
                        yield chunk
                return
            except UpstreamRefused as error:
                # A complaint about the adapter would tell the client of it. It comes before the first chunk.
                if adapter.name not in error.message and "lora" not in error.message.lower():
                    raise
                if attempt == 2 or error.status != 404:
                    _log.error("%s refuses an adapter that it has loaded: %s", replica.url, error.message)
                    raise AdapterError(error.message) from error
            await shelf.reconcile()  # it was started anew, or another gateway unloaded the adapter

    def _embedded_body(self, request: Request, plan: Corrupt | SoftPrompt) -> tuple[bytes, int]:
        """The body and the number of prompt tokens. Slow: not for the event loop."""
        prompt_tokens = self._checked_tokens(request)  # before any embedding: gigabytes, for a long enough text
        embeddings = self._embedder.embed(request, plan)
        context = self._context(request.model)
        if isinstance(plan, SoftPrompt) and len(embeddings) >= context:
            raise Unlocatable("the virtual tokens leave no room for an answer")
        return embedded_body(request, embeddings, context), prompt_tokens

    def _checked_tokens(self, request: Request) -> int:
        """The number of prompt tokens. Raises InvalidRequest where vLLM itself would say that it is too much."""
        context = self._context(request.model)
        prompt_tokens = count_tokens(self._tokenizer, request)
        max_tokens = request.sampling.max_tokens or 0
        if max_tokens > context:
            raise too_much(max_tokens, context)
        if prompt_tokens > context:
            raise too_long(request.endpoint, prompt_tokens, context)
        return prompt_tokens

    def _context(self, model: str) -> int:
        lengths = {card.id: card.max_tokens for card in self.served.models}
        return lengths.get(model, min(lengths.values()))


def _names(replica: Replica) -> str:
    return ", ".join(f"{card.id} ({card.max_tokens} tokens)" for card in replica.known.served.models)
