"""The bodies that the gateway sends in place of a client's, and its complaints in vLLM's words."""

import base64
import io
from collections.abc import Collection, Sequence
from typing import Any

import orjson
import torch
from torch import Tensor

from gateway.backends.vllm.calls import tool_choice_of
from gateway.backends.vllm.client import Target
from gateway.core import COMPLETION_TOKENS, Dialect, Endpoint, Message, Request
from gateway.errors import InvalidRequest

__all__ = [
    "adapted_body",
    "embedded_body",
    "encoded",
    "instructed_body",
    "is_verbatim",
    "own_body",
    "passing_body",
    "tokens_body",
    "too_long",
    "too_much",
]

Json = dict[str, Any]


def embedded_body(request: Request, embeddings: Tensor, context_tokens: int) -> bytes:
    """For /v1/completions: the prompt as embeddings [tokens, hidden], with the client's sampling."""
    room_tokens = context_tokens - len(embeddings)
    body = {"model": request.model, "prompt_embeds": encoded(embeddings), **_sampling(request, room_tokens)}
    return orjson.dumps(body)


def tokens_body(request: Request, ids: Sequence[int], context_tokens: int) -> bytes:
    """For /v1/completions: the prompt as token ids, with the client's sampling."""
    body = {"model": request.model, "prompt": list(ids), **_sampling(request, context_tokens - len(ids))}
    return orjson.dumps(body)


def instructed_body(request: Request, messages: Sequence[Message]) -> bytes:
    """The client's body with an instruction in front: `messages` are those of the request, the first one new or with
    another text. What else its turns have, such as calls of tools, stays."""
    body = _own(request)
    if request.endpoint == "chat":
        body["messages"] = _instructed(body["messages"], messages, added=len(messages) > len(request.messages))
    else:
        body["prompt"] = "\n\n".join(message.text for message in messages)
    return orjson.dumps(body)


def own_body(request: Request) -> bytes:
    """The client's body, the usage asked for."""
    return orjson.dumps(_own(request))


def passing_body(request: Request, dialects: Collection[Dialect]) -> tuple[Target, bytes]:
    """Where a request goes that may pass, and as what: as it came, where the upstream has its dialect, else as a chat
    whose usage stands in each event."""
    if request.dialect == "openai":
        return request.endpoint, request.raw
    if request.dialect in dialects:
        return request.dialect, request.native
    body: Json = orjson.loads(request.raw)
    if request.stream:
        body["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
    return request.endpoint, orjson.dumps(body)


def adapted_body(body: bytes, adapter: str) -> bytes:
    """A body for an adapter instead of the model."""
    return orjson.dumps({**orjson.loads(body), "model": adapter})


def is_verbatim(request: Request) -> bool:
    """Whether the payloads of an answer go to the client as the upstream wrote them, but for the model's name and the
    count of the prompt's tokens: calls of tools have a shape of the upstream's own."""
    return bool(request.carries) and request.dialect == "openai"


def encoded(embeddings: Tensor) -> str:
    """vLLM's form of [tokens, hidden]: base64 of what torch.save writes."""
    buffer = io.BytesIO()
    torch.save(embeddings.contiguous(), buffer)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _instructed(turns: Sequence[Json], messages: Sequence[Message], *, added: bool) -> list[Json]:
    first = messages[0]
    if added:
        return [{"role": first.role, "content": first.text}, *turns]
    return [{**turns[0], "content": first.text}, *turns[1:]]


def _own(request: Request) -> Json:
    body: Json = orjson.loads(request.raw)
    if request.stream and not is_verbatim(request):
        body["stream_options"] = {"include_usage": True}
    return body


def _sampling(request: Request, room_tokens: int) -> Json:
    """The sampling fields for /v1/completions. What the client left open stays open, except that a chat may
    fill the context while a completion is short by default."""
    sampling = request.sampling
    fields: Json = {
        "max_tokens": _max_tokens(request, room_tokens),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "n": sampling.n,
        "stop": list(sampling.stop) or None,
        "seed": sampling.seed,
        "logprobs": sampling.logprobs,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "stream": request.stream,
        "stream_options": {"include_usage": True} if request.stream else None,
        **dict(sampling.extra),
        **(_form(request) if request.carries else {}),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _form(request: Request) -> Json:
    """The form of the answer: the client's, or the schema of the call that the model must make."""
    body: Json = orjson.loads(request.raw)
    choice = tool_choice_of(body) if request.endpoint == "chat" else None
    if choice is None or choice.schema is None:
        return {"response_format": body.get("response_format")}
    return {"structured_outputs": {"json": choice.schema, "disable_any_whitespace": True}}


def _max_tokens(request: Request, room_tokens: int) -> int | None:
    """No more than there is room for: virtual tokens take some of it. Where there is none, vLLM complains itself."""
    asked = request.sampling.max_tokens
    if asked is not None:
        return min(asked, room_tokens) if room_tokens > 0 else asked
    if request.endpoint == "chat" or 0 < room_tokens < COMPLETION_TOKENS:
        return room_tokens
    return None


# These two are in vLLM's words, so that they read like the answer to a request that was not touched.


def too_much(max_tokens: int, context: int) -> InvalidRequest:
    """More tokens are asked for than the model's context has."""
    return InvalidRequest(
        f"max_tokens={max_tokens} cannot be greater than max_model_len={context}. Please request fewer output tokens. "
        f"(parameter=max_tokens, value={max_tokens})",
        param="max_tokens",
    )


def too_long(endpoint: Endpoint, prompt_tokens: int, context: int) -> InvalidRequest:
    """A completion's text is cut before it is counted, a chat's is not."""
    counted = min(prompt_tokens, context + 1) if endpoint == "completions" else prompt_tokens
    contained = f"at least {counted}" if counted == context + 1 else str(counted)
    return InvalidRequest(
        f"This model's maximum context length is {context} tokens. However, your prompt contains "
        f"{contained} input tokens, which exceeds this limit even without any output tokens. "
        f"Please reduce the length of the input prompt. (parameter=input_tokens, value={counted})",
        param="input_tokens",
    )
