"""What an upstream's answers look like, and whether it is the model that the gateway holds: by asking."""

from collections.abc import Awaitable, Callable
from typing import Any

from gateway.core import Endpoint
from gateway.errors import AnswerError, UpstreamError, UpstreamRefused
from gateway.openai_format.messages.shape import MessageShape, message_shape_of
from gateway.openai_format.shapes import CHAT_SHAPE, Shape, shape_of

__all__ = ["CHECK_TEXT", "Ask", "agree", "learn_messages", "learn_shape"]

Json = dict[str, Any]
Ask = Callable[[Endpoint, Json], Awaitable[list[Json]]]
"""Sends a body to an endpoint and returns the answer's payloads: one, or one for each event of a stream."""

CHECK_TEXT = "Count: 1, 2, 3, 4, 5,"
# Rounding differs between a batch and the next; another model is further off than this by far.
_LOGPROB_TOLERANCE = 0.5


async def learn_shape(ask: Ask, endpoint: Endpoint, model: str) -> tuple[Shape, int | None]:
    """The shape of an endpoint's answers, and how many tokens the check's prompt had there.

    A model without a chat template refuses the chat check: then OpenAI's own shape and None.
    """
    prompt: Json = (
        {"messages": [{"role": "user", "content": CHECK_TEXT}]} if endpoint == "chat" else {"prompt": CHECK_TEXT}
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


async def learn_messages(ask: Callable[[Json], Awaitable[list[Json]]], model: str) -> MessageShape | None:
    """The shape of an upstream's messages in Anthropic's format; None if it has none, or if they look like none."""
    question = [{"role": "user", "content": CHECK_TEXT}]
    body: Json = {"model": model, "messages": question, "max_tokens": 4, "temperature": 0}
    try:
        (whole,) = await ask(body)
        return message_shape_of(whole, await ask({**body, "stream": True}))
    except (AnswerError, KeyError, TypeError, ValueError, StopIteration):
        return None


def agree(by_text: Json, by_embeddings: Json) -> bool:
    """Whether two answers (with logprobs) to one prompt have the same likeliest first token, ties aside."""
    first = by_text["choices"][0]["logprobs"]
    token, logprob = first["tokens"][0], first["token_logprobs"][0]
    other = by_embeddings["choices"][0]["logprobs"]["top_logprobs"][0].get(token)
    return other is not None and abs(other - logprob) < _LOGPROB_TOLERANCE
