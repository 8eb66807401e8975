"""What an upstream's answers look like, and whether it is the model that the gateway holds: by asking."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gateway.core import Endpoint
from gateway.errors import UpstreamError, UpstreamRefused
from gateway.openai_format.encoding import CHAT_SHAPE, Shape

__all__ = ["PROBE_TEXT", "Ask", "agree", "probe_shape", "shape_of"]

Json = dict[str, Any]
Ask = Callable[[Endpoint, Json], Awaitable[list[Json]]]
"""Sends a body to an endpoint and returns the answer's payloads: one, or one for each event of a stream."""

PROBE_TEXT = "Count: 1, 2, 3, 4, 5,"
# Rounding differs between a batch and the next; another model is further off than this by far.
_LOGPROB_TOLERANCE = 0.5


async def probe_shape(ask: Ask, endpoint: Endpoint, model: str) -> tuple[Shape, int | None]:
    """The shape of an endpoint's answers, and how many tokens the probe's prompt had there.

    A model without a chat template refuses the chat probe: then OpenAI's own shape and None.
    """
    prompt: Json = (
        {"messages": [{"role": "user", "content": PROBE_TEXT}]} if endpoint == "chat" else {"prompt": PROBE_TEXT}
    )
    body = {"model": model, **prompt, "max_tokens": 4, "temperature": 0, "ignore_eos": True}
    streamed = {**body, "stream": True}
    try:
        (whole,) = await ask(endpoint, body)
    except UpstreamRefused:
        if endpoint == "chat":
            return CHAT_SHAPE, None
        raise
    counted = await ask(endpoint, {**streamed, "stream_options": {"include_usage": True}})
    plain = await ask(endpoint, streamed)
    try:
        return shape_of(whole, counted, plain), int(whole["usage"]["prompt_tokens"])
    except (KeyError, IndexError, TypeError, StopIteration) as error:
        raise UpstreamError(f"its {endpoint} answers do not look like vLLM's") from error


def shape_of(whole: Json, counted: Sequence[Json], plain: Sequence[Json]) -> Shape:
    """From a whole answer, a stream with usage, one without. vLLM signs the usage event, or else the last."""
    choice = whole["choices"][0]
    events = [event for event in counted if event["choices"]]
    opening = events[0] if "role" in events[0]["choices"][0].get("delta", {}) else None
    written = events[1:] if opening else events
    # A slow reader may get several tokens in one event, so that the first is also the last.
    middle = next((event for event in written if not event["choices"][0]["finish_reason"]), written[-1])
    closing = next(event for event in reversed(plain) if event["choices"])
    return Shape(
        answer=whole,
        choice=choice,
        usage=whole["usage"],
        message=_blank(choice.get("message", {})),
        opening=opening,
        opening_choice=opening["choices"][0] if opening else {},
        event=middle,
        event_choice=middle["choices"][0],
        closing_event=closing,
        closing_choice=closing["choices"][0],
        usage_event=next(event for event in counted if event.get("usage")),
    )


def agree(by_text: Json, by_embeddings: Json) -> bool:
    """Whether two answers (with logprobs) to one prompt have the same likeliest first token, ties aside."""
    first = by_text["choices"][0]["logprobs"]
    token, logprob = first["tokens"][0], first["token_logprobs"][0]
    other = by_embeddings["choices"][0]["logprobs"]["top_logprobs"][0].get(token)
    return other is not None and abs(other - logprob) < _LOGPROB_TOLERANCE


def _blank(message: Json) -> Json:
    """A message's fields without what the probe's answer said in them (its reasoning, say)."""
    return {key: value if key == "role" or not value else None for key, value in message.items()}
