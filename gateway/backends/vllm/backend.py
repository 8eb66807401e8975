"""Stock vLLM servers as a backend: untouched requests go through as bytes, corrupted ones as embeddings, and those for
an unlearning adapter under its name."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import Tensor

from adapters.lora.model import Lora
from gateway.backends.base import Served, Started
from gateway.backends.refusal import counted_first, refusal, with_fallback
from gateway.backends.vllm.bodies import passing_body, too_long, too_much
from gateway.backends.vllm.capabilities import CapabilityCheck
from gateway.backends.vllm.client import Upstream
from gateway.backends.vllm.lora_cache import LoraCache
from gateway.backends.vllm.lora_files import LoraFiles
from gateway.backends.vllm.passage import Opened, Passage
from gateway.backends.vllm.plans import carried_out
from gateway.backends.vllm.replica import Cards, Replica
from gateway.backends.vllm.transport import HttpTransport, Transport
from gateway.backends.vllm.verdict import judged_alike, verdict
from gateway.backends.voice import Voice
from gateway.core import Endpoint, Event, Pass, Plan, Refuse, Request
from gateway.errors import InvalidRequest, PlanError, UpstreamError
from gateway.openai_format.messages.answer import counted
from gateway.openai_format.messages.shape import MESSAGE_SHAPE, MessageShape
from gateway.openai_format.shapes import Shape
from gateway.prompts.embedding import Prompts
from gateway.prompts.execution import ModelInput, model_input
from gateway.prompts.rendering import Tokenizer

__all__ = ["VllmBackend"]

_log = logging.getLogger("unrecall.upstream")
_INLINE_CHARS = 2_000  # to read so short a prompt takes less time than to wake another thread


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
        adapter_weights: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0),
        api_key: str | None = None,
        connect_timeout_s: float = 5,
        read_timeout_s: float = 120,
        max_connections: int = 4096,
        transport: Transport | None = None,
    ) -> None:
        """
        Args:
            upstreams: base URLs of equal vLLM servers, without /v1.
            tokenizer: of the model that they serve.
            weight: the model's input embeddings, [vocabulary, hidden].
            adapters_folder: LoRAs are written here for the upstreams to load. None: plans with LoRAs end in a refusal.
            upstream_adapters_folder: the same folder as the upstreams see it, if they see it under another path.
            adapter_slots: how many LoRAs each upstream keeps, one for each mixture and weight.
            adapter_weights: the weights of a LoRA that can be served.
            api_key: the bearer key that the upstreams ask for.
            connect_timeout_s: the longest time to connect.
            read_timeout_s: the longest time without a byte.
            max_connections: to each upstream. A client that does not read holds one until it is cut off.
            transport: in place of the network, for tests.
        """
        self._voice = Voice(self.generate, tokenizer, lambda: self.served.models[0].id, token_first=True)
        self._prompts = Prompts(tokenizer, weight)
        self.adapter_slots = adapter_slots
        self._preloaded_weight = max(adapter_weights, default=1.0)
        self._lora_files = LoraFiles(adapters_folder, upstream_adapters_folder) if adapters_folder else None
        check = CapabilityCheck(self._prompts, adapter_weights)
        network = partial(
            HttpTransport,
            connect_timeout_s=connect_timeout_s,
            read_timeout_s=read_timeout_s,
            max_connections=max_connections,
        )
        self._replicas: list[Replica] = []
        for url in upstreams:
            upstream = Upstream(url, transport or network(), api_key=api_key)
            cache = LoraCache(upstream, self._lora_files, slots=adapter_slots) if self._lora_files else None
            self._replicas.append(Replica(upstream, cache, check))
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
        everywhere = self.served.unsupported_needs
        for replica in self._replicas:
            for need, why in replica.known.served.unsupported_needs.items():
                if need not in everywhere:
                    _log.warning("%s cannot serve %s, the other upstreams must: %s", replica.url, need, why)

    @property
    def served(self) -> Served:
        """The base models, under the names that the upstreams give them, and what none of these can do. Adapters are
        never offered."""
        first, *others = self._well() or self._replicas
        found = first.known.served
        if not others:
            return found
        nowhere = {
            need: why
            for need, why in found.unsupported_needs.items()
            if all(need in other.known.served.unsupported_needs for other in others)
        }
        return replace(found, unsupported_needs=nowhere)

    def shape(self, endpoint: Endpoint) -> Shape:
        """As the upstreams themselves answer."""
        return (self._well() or self._replicas)[0].known.shapes[endpoint]

    @property
    def message_shape(self) -> MessageShape:
        """See Backend."""
        return (self._well() or self._replicas)[0].known.messages or MESSAGE_SHAPE

    async def count_tokens(self, request: Request) -> bytes:
        """See Backend. The first upstream that is well counts, if it has the endpoint."""
        replica = (self._well() or self._replicas)[0]
        if "messages" in replica.known.dialects:
            return await replica.upstream.count_tokens(request.native)
        return counted(len(await self._judged(request)))

    async def problem(self) -> str | None:
        """Why no upstream is well; None if one is."""
        found = await asyncio.gather(*(replica.problem(self._cards) for replica in self._replicas))
        if None in found:
            return None
        if len(found) == 1:
            return found[0]
        return "; ".join(f"{replica.url}: {why}" for replica, why in zip(self._replicas, found, strict=True))

    @property
    def concerns(self) -> list[str]:
        """See Backend."""
        return [concern for replica in self._replicas if (concern := replica.concern)]

    async def prepare(self, adapters: Mapping[str, Lora], in_force: frozenset[str] | None = None) -> Mapping[str, str]:
        """See Backend. A scope that one upstream can serve is served; where another cannot, the log says so."""
        if in_force is None:
            in_force = await asyncio.to_thread(lambda: frozenset(lora.digest for lora in adapters.values()))
        results = await asyncio.gather(*(self._prepared(replica, adapters, in_force) for replica in self._replicas))
        faults: dict[str, dict[str, str]] = {scope: {} for scope in adapters}
        for replica, failed in zip(self._replicas, results, strict=True):
            for scope, why in failed.items():
                faults[scope][replica.url] = why
        if self._lora_files and not any(faults.values()):
            await self._lora_files.sweep(in_force)
        unserved = {}
        for scope, by_url in faults.items():
            why = "; ".join(f"{url}: {fault}" for url, fault in by_url.items())
            if len(by_url) == len(self._replicas):
                unserved[scope] = why
            elif by_url:
                _log.error("not every upstream serves the adapter of %s, it is tried again when needed: %s", scope, why)
        return unserved

    async def _prepared(
        self, replica: Replica, adapters: Mapping[str, Lora], in_force: frozenset[str]
    ) -> Mapping[str, str]:
        try:
            return await replica.prepare(adapters, in_force, self._preloaded_weight)
        except Exception:  # whatever it is, the others are served
            _log.exception("%s could not be prepared", replica.url)
            return dict.fromkeys(adapters, "the gateway failed; its log says why")

    def check_length(self, request: Request) -> int:
        """See Backend: the words are vLLM's own."""
        context = self._context(request.model)
        prompt_tokens = len(self._prompts.render(request).ids)
        max_tokens = request.sampling.max_tokens or 0
        if max_tokens > context:
            raise too_much(max_tokens, context)
        if prompt_tokens > context:
            raise too_long(request.endpoint, prompt_tokens, context)
        return prompt_tokens

    def generate(self, request: Request, plan: Plan) -> AsyncGenerator[Event, None]:
        """See Backend. A plan that no upstream can carry out is answered with its fallback."""
        if isinstance(plan, Pass):
            return self._passage(request).events()
        return self._otherwise(request, plan)

    async def start(self, request: Request) -> Started:
        """See Starting."""
        passage = self._passage(request)
        await passage.begin()
        return passage

    def _passage(self, request: Request) -> Passage:
        return Passage(request, partial(self._opened, request), partial(self._voice.heard, request))

    async def _opened(self, request: Request) -> Opened:
        """The reply of the first upstream that takes the request as it came. Raises UpstreamError if none does."""
        tried: list[Replica] = []
        while replica := self._choose(Pass(), tried):
            tried.append(replica)
            replica.in_flight += 1
            try:
                target, body = passing_body(request, replica.known.dialects)
                reply = await replica.upstream.open(target, body)
                return Opened(replica, reply, own=target == request.surface)
            except BaseException as error:
                replica.in_flight -= 1
                if not isinstance(error, UpstreamError):
                    raise
                replica.unhealthy = True
                if error.reached or len(tried) == len(self._replicas):
                    raise
        raise UpstreamError("the model server cannot be reached", reached=False)

    async def _otherwise(self, request: Request, plan: Plan) -> AsyncGenerator[Event, None]:
        """The answer to a request that must not go to an upstream as it came."""
        read = await self._judged(request)
        if isinstance(plan, Refuse):
            events = refusal(request, plan.text, self._voice, len(read))
        else:
            events = with_fallback(self._planned(request, plan, read), request, plan, self._voice, len(read))
        events = counted_first(events, request, len(read))
        async with aclosing(events):
            async for event in events:
                yield event

    async def _judged(self, request: Request) -> tuple[int, ...]:
        """The request's prompt tokens. A request that gets another answer must meet the same complaints as any other:
        the upstream itself is asked wherever the gateway is not sure to know what it would say."""
        if judged_alike(request):
            try:
                if sum(len(message.text) for message in request.messages) <= _INLINE_CHARS:
                    return self._read(request)
                return await asyncio.to_thread(self._read, request)
            except InvalidRequest as error:
                _log.debug("the upstream is asked for its own words: %s", error.message)
        return await self._verdict(request)

    def _read(self, request: Request) -> tuple[int, ...]:
        """The request's prompt tokens. Raises InvalidRequest as `check_length` does."""
        self.check_length(request)
        return self._prompts.render(request).ids

    async def _verdict(self, request: Request) -> tuple[int, ...]:
        """Of the first upstream that gives one. Raises UpstreamRefused with its own words, or UpstreamError."""
        tried: list[Replica] = []
        while replica := self._choose(Pass(), tried):
            tried.append(replica)
            try:
                with replica.busy():
                    await replica.refresh(self._cards)
                    return await verdict(replica.upstream, request)
            except UpstreamError as error:
                replica.unhealthy = True
                if error.reached or len(tried) == len(self._replicas):
                    raise
        raise UpstreamError("the model server cannot be reached", reached=False)

    async def _planned(self, request: Request, plan: Plan, read: tuple[int, ...]) -> AsyncGenerator[Event, None]:
        """`read` are the request's prompt tokens as the upstream has them."""
        if why := self.served.unsupported(plan.needs):
            raise PlanError(why)
        given = replace(await asyncio.to_thread(self._given, request, plan, read), prompt_tokens=len(read))
        async with aclosing(self._served_by_one(request, plan, given)) as events:
            async for event in events:
                yield event

    def _given(self, request: Request, plan: Plan, read: tuple[int, ...]) -> ModelInput:
        """What the plan gives the model. Embeddings are made of the upstream's own tokens where it renders the prompt
        otherwise than the gateway's copy of its chat template, which knows no names of speakers, for example. Raises
        PlanError: the upstream took the request, so that no complaint of the gateway's copy may reach the client."""
        try:
            given = model_input(request, plan, self._prompts)
            if given.embeddings is None or given.messages != request.messages or given.ids[: len(read)] == read:
                return given
        except InvalidRequest as error:  # the upstream took the request
            _log.debug("the gateway's copy of the chat template refuses what the upstream takes: %s", error.message)
        try:
            return model_input(request, plan, self._prompts.as_read(request, read))
        except InvalidRequest as error:
            raise PlanError(f"the gateway's copy of the model cannot make this prompt: {error.message}") from error

    async def _served_by_one(self, request: Request, plan: Plan, given: ModelInput) -> AsyncGenerator[Event, None]:
        """The answer of the first upstream that can give one. Raises PlanError if those that answer cannot carry the
        plan out, and UpstreamError if none answers."""
        tried: list[Replica] = []
        fault: PlanError | None = None
        while replica := self._choose(plan, tried):
            tried.append(replica)
            sent = False
            try:
                async with aclosing(self._answer(replica, request, plan, given)) as events:
                    async for event in events:
                        sent = True
                        yield event
                return
            except PlanError as error:
                if sent:
                    raise UpstreamError("the model server failed while it answered") from error
                fault = error  # another upstream may be able to
            except UpstreamError as error:
                replica.unhealthy = True
                again = not error.reached and len(tried) < len(self._replicas)
                if sent or not (again or fault):
                    raise
        raise fault or PlanError("no upstream is left to try")

    def _choose(self, plan: Plan, tried: Sequence[Replica]) -> Replica | None:
        """The least busy of the upstreams that can do it, failing that of those that are well, or else of all."""
        left = [replica for replica in self._replicas if replica not in tried]
        well = [replica for replica in left if not replica.unhealthy]
        able = [replica for replica in well if replica.unsupported(plan.needs) is None]
        chosen = min(able or well or left, key=lambda replica: replica.in_flight, default=None)
        for replica in left:
            if replica.unhealthy and replica is not chosen:
                replica.revive(self._cards)
        return chosen

    def _well(self) -> list[Replica]:
        return [replica for replica in self._replicas if not replica.unhealthy]

    def _cards(self) -> Cards | None:
        """What a replica that comes back must serve: the same as those that are well."""
        well = self._well()
        return well[0].known.served.models if well else None

    async def _answer(
        self, replica: Replica, request: Request, plan: Plan, given: ModelInput
    ) -> AsyncGenerator[Event, None]:
        with replica.busy():
            await replica.refresh(self._cards)
            if why := replica.unsupported(plan.needs):
                raise PlanError(why)
            events = carried_out(replica, request, given, self._context(request.model))
            async with aclosing(events):
                async for event in events:
                    yield event

    def _context(self, model: str) -> int:
        lengths = {card.id: card.max_tokens for card in self.served.models}
        return lengths.get(model, min(lengths.values()))


def _names(replica: Replica) -> str:
    return ", ".join(f"{card.id} ({card.max_tokens} tokens)" for card in replica.known.served.models)
