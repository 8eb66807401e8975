"""A refusal written as the model would have written it: token by token, within the same limits."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from gateway.backends.voice import Voice
from gateway.core import Delta, Event, Plan, Request, Usage
from gateway.errors import PlanError, UpstreamError
from gateway.openai_format.encoding import whole
from gateway.prompts.rendering import Tokenizer

__all__ = ["counted_first", "refusal", "with_fallback"]

_log = logging.getLogger("unrecall.backend")


async def with_fallback(
    events: AsyncGenerator[Event, None], request: Request, plan: Plan, voice: Voice, prompt_tokens: int
) -> AsyncGenerator[Event, None]:
    """The events of a plan. If a PlanError comes before the first event: an event that says why, and the plan's
    fallback. A plan that cannot act never becomes a pass.

    Args:
        events: what the backend makes of the plan.
        request: the request that is answered.
        plan: the plan, with its fallback.
        voice: of the served model.
        prompt_tokens: of the request as the client sent it.
    """
    begun = False
    try:
        async with aclosing(events):
            async for event in events:
                begun = True
                yield event
        return
    except PlanError as error:
        if begun:
            raise UpstreamError("the model server failed while it answered") from error
        reason = str(error)
    _log.warning("%s: %s cannot be carried out, the request is refused: %s", request.id, plan.name, reason)
    yield Event(fallback=reason)
    async with aclosing(refusal(request, plan.fallback, voice, prompt_tokens)) as refused:
        async for event in refused:
            yield event


async def counted_first(
    events: AsyncGenerator[Event, None], request: Request, prompt_tokens: int
) -> AsyncGenerator[Event, None]:
    """The events, and before the first that says something the number of the prompt's tokens, for the dialects that
    tell it at the beginning of an answer."""
    told = request.dialect == "openai"
    async with aclosing(events):
        async for event in events:
            if not told and not event.fallback:
                told = True
                yield Event(prompt_tokens=prompt_tokens)
            yield event


async def refusal(request: Request, text: str, voice: Voice, prompt_tokens: int) -> AsyncGenerator[Event, None]:
    """The text as each of the n choices, then the usage. No model is asked for it.

    Stop strings and max_tokens cut it as they would cut a generated answer. Logprobs are those of a model
    (`gateway.backends.voice`). Raises AnswerError, as an answer of the model would, if they cannot be had.

    Args:
        request: the request that is refused.
        text: the refusal.
        voice: of the served model.
        prompt_tokens: what the usage tells.
    """
    written = [await _written(request, text, voice, index) for index in range(request.sampling.n)]
    steps = zip(*written, strict=True) if request.stream else [tuple(map(whole, written))]
    for step in steps:
        for delta in step:
            yield Event.of(delta)
    yield Event.of(Usage(prompt_tokens, sum(map(len, written))))


async def _written(request: Request, text: str, voice: Voice, index: int) -> list[Delta]:
    """One delta a token. The last token is the end-of-text one, which is counted but has no text."""
    pieces = _pieces(voice.tokenizer, text)
    limit = request.most_tokens
    stops = [(text.find(stop), stop) for stop in request.sampling.stop if stop and stop in text]
    cut, stop = min(stops, default=(len(text), None))
    tokens = [*pieces, str(getattr(voice.tokenizer, "eos_token", None) or "")]
    asked = request.sampling.logprobs is not None
    logprobs = await voice.logprobs(request, tokens, index) if asked else ()
    deltas: list[Delta] = []
    end = 0
    for number, piece in enumerate([*pieces, ""], start=1):
        start, end = end, end + len(piece)
        stopped = stop is not None and end >= cut + len(stop)
        over = number > len(pieces)
        finish = "stop" if stopped or over else "length" if number == limit else None
        own = tuple(logprobs[number - 1 : number])
        deltas.append(Delta(index, piece[: max(0, cut - start)], own, finish, stop if stopped else None))
        if finish:
            break
    return deltas


def _pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    """The text of each token; joined they are the whole text, whatever spaces the tokenizer leaves out."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ends = [int(end) for _, end in encoded["offset_mapping"]]
    if ends:
        ends[-1] = len(text)
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
