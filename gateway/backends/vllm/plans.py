"""A plan on a stock vLLM server: the prompt as embeddings, another model name for an adapter, or other messages."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing

import orjson

from gateway.backends.vllm.bodies import adapted_body, embedded_body, instructed_body, own_body, tokens_body
from gateway.backends.vllm.calls import tool_choice_of, with_calls
from gateway.backends.vllm.lora_files import MergedAdapter
from gateway.backends.vllm.replica import Replica
from gateway.core import Endpoint, Event, Request
from gateway.errors import AdapterError, PlanError, UpstreamRefused
from gateway.prompts.execution import ModelInput

__all__ = ["carried_out"]

_log = logging.getLogger("unrecall.upstream")
_INLINE_TOKENS = 256  # to encode so few takes less time than to wake another thread


async def carried_out(
    replica: Replica, request: Request, given: ModelInput, context: int
) -> AsyncGenerator[Event, None]:
    """One upstream's answer to what a plan gives the model. Raises PlanError, before the first event, if it cannot.

    Args:
        replica: the upstream.
        request: what the client asked.
        given: what the model is given instead.
        context: the model's context in tokens.
    """
    if len(given) <= _INLINE_TOKENS:
        endpoint, body = _body(request, given, context)
    else:
        endpoint, body = await asyncio.to_thread(_body, request, given, context)
    if given.adapters:
        adapter = await asyncio.to_thread(MergedAdapter.of, given.adapters)
        answer = _adapted(replica, request, given, endpoint, adapted_body(body, adapter.name), adapter)
    else:
        answer = _asked(replica, request, given, endpoint, body)
    async with AsyncExitStack() as stack:
        events = await stack.enter_async_context(aclosing(answer))
        unparsed = bool(request.carries) and request.endpoint == "chat" != endpoint
        if unparsed and (choice := tool_choice_of(orjson.loads(request.raw))):
            events = await stack.enter_async_context(aclosing(with_calls(events, choice)))
        async for event in events:
            yield event


def _body(request: Request, given: ModelInput, context: int) -> tuple[Endpoint, bytes]:
    """Where to post what. Raises PlanError for what vLLM has no way to take."""
    if given.logits_transform is not None:
        raise PlanError("vLLM takes no transform of the logits from the gateway")
    if given.embeddings is not None:
        if len(given) >= context > len(given.ids):
            raise PlanError("the plan leaves no room for an answer in the model's context")
        return "completions", embedded_body(request, given.embeddings, context)
    if request.written:
        return "completions", tokens_body(request, given.ids, context)
    if given.messages != request.messages:
        return request.endpoint, instructed_body(request, given.messages)
    return request.endpoint, own_body(request)


async def _asked(
    replica: Replica, request: Request, given: ModelInput, endpoint: Endpoint, body: bytes
) -> AsyncGenerator[Event, None]:
    try:
        async with aclosing(replica.read(endpoint, body, request, given.prompt_tokens)) as events:
            async for event in events:
                yield event
    except UpstreamRefused as error:  # it comes before the first event
        if _tells_of_the_plan(error, request, given):
            raise PlanError(f"the upstream refuses what the plan gives it: {error.message}") from error
        raise


def _tells_of_the_plan(error: UpstreamRefused, request: Request, given: ModelInput) -> bool:
    """Whether a complaint is about what the gateway put in, which must not reach the client."""
    if given.embeddings is not None and "embed" in f"{error.param} {error.message}".lower():
        return True
    return given.messages != request.messages and error.param == "input_tokens"  # the instruction made it too long


async def _adapted(
    replica: Replica, request: Request, given: ModelInput, endpoint: Endpoint, body: bytes, adapter: MergedAdapter
) -> AsyncGenerator[Event, None]:
    """Raises AdapterError, before the first event, if this upstream cannot."""
    cache = replica.lora_cache
    if cache is None:
        raise AdapterError("there is no folder for adapters")
    for attempt in (1, 2):
        sent = False
        try:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(cache.using(adapter))
                answer = replica.read(endpoint, body, request, given.prompt_tokens, adapter=adapter.name)
                events = await stack.enter_async_context(aclosing(answer))
                async for event in events:
                    sent = True
                    yield event
            return
        except UpstreamRefused as error:  # a complaint about the adapter would tell the client of it
            if adapter.name not in error.message and "lora" not in error.message.lower():
                raise
            if sent or attempt == 2 or error.status != 404:
                _log.error("%s refuses an adapter that it has loaded: %s", replica.url, error.message)
                raise AdapterError(error.message) from error
        # It was started anew, or another gateway unloaded the adapter: to unload the other's in turn would not end.
        await cache.reconcile(evict=False)
