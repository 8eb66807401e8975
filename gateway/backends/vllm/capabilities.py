"""What one upstream serves, how it answers, and what it cannot do: found out by asking it."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from gateway.backends.base import ModelCard, Served
from gateway.backends.vllm.bodies import encoded
from gateway.backends.vllm.client import Target, Upstream
from gateway.backends.vllm.complaints import payloads
from gateway.backends.vllm.lora_cache import LoraCache
from gateway.backends.vllm.shapes import CHECK_TEXT, agree, learn_messages, learn_shape
from gateway.backends.vllm.transport import pieces
from gateway.core import Dialect, Endpoint, Message, ModelNeed, Request
from gateway.errors import UpstreamError, UpstreamRefused
from gateway.openai_format.messages.shape import MessageShape
from gateway.openai_format.shapes import Shape
from gateway.prompts.embedding import Prompts
from gateway.prompts.rendering import count_tokens

__all__ = ["CapabilityCheck", "Known"]

Json = dict[str, Any]
_NO_FOLDER = "vLLM gets no adapters: set adapters_folder to a folder that the gateway can write and vLLM can read"


@dataclass(frozen=True, slots=True)
class Known:
    """What the capability check found, replaced as a whole."""

    served: Served
    shapes: dict[Endpoint, Shape]
    messages: MessageShape | None = None

    @property
    def dialects(self) -> frozenset[Dialect]:
        """Which the upstream speaks itself, beside OpenAI's chats and completions."""
        return frozenset({"messages"} if self.messages else ())


@dataclass(frozen=True, slots=True)
class CapabilityCheck:
    """`prompts` are those of the model that the gateway holds, to compare the upstreams' with."""

    prompts: Prompts
    adapter_weights: tuple[float, ...]

    async def known(self, upstream: Upstream, lora_cache: LoraCache | None) -> Known:
        """Asks one upstream. Raises UpstreamError, or another AnswerError, if it does not answer as vLLM does."""
        cards = tuple(_card(model) for model in await upstream.models() if model.get("parent") is None)
        if not cards:
            raise UpstreamError("it lists no base model")
        model = cards[0].id

        async def ask(endpoint: Endpoint, body: Json) -> list[Json]:
            return await _ask(upstream, endpoint, body)

        chat, chat_tokens = await learn_shape(ask, "chat", model)
        completions, text_tokens = await learn_shape(ask, "completions", model)
        mismatch = self._mismatch("chat", chat_tokens) or self._mismatch("completions", text_tokens)
        closed, stranger = None, mismatch
        if not stranger:
            closed, stranger = await self._embedding_faults(upstream, model)
        by_embeddings = stranger or closed
        by_adapter = stranger or (await lora_cache.fault() if lora_cache else _NO_FOLDER)
        faults: dict[ModelNeed, str | None] = {
            "prompt_embeds": by_embeddings,
            "adapters": by_adapter,
            "logits": "vLLM takes no transform of the logits from the gateway",
        }
        served = Served(
            cards,
            self.prompts.tokenizer,
            self.prompts.vocabulary,
            unsupported_needs={need: fault for need, fault in faults.items() if fault},
            adapter_weights=self.adapter_weights,
            tokenizer_mismatch=mismatch or "",
        )
        messages = await learn_messages(partial(_ask, upstream, "messages"), model)
        return Known(served, {"chat": chat, "completions": completions}, messages)

    def _mismatch(self, endpoint: Endpoint, upstream_tokens: int | None) -> str | None:
        """Another tokenizer or chat template shows in the number of tokens."""
        if upstream_tokens is None:
            return None
        if count_tokens(self.prompts.tokenizer, _check_request(endpoint)) == upstream_tokens:
            return None
        part = "chat template" if endpoint == "chat" else "tokenizer"
        return f"the upstream's {part} is not that of the gateway's model: give both the same model folder"

    async def _embedding_faults(self, upstream: Upstream, model: str) -> tuple[str | None, str | None]:
        """Why prompt embeddings cannot be sent, and why nothing made for the gateway's model can be; None if they are
        answered as text is."""
        body = {"model": model, "max_tokens": 1, "temperature": 0, "logprobs": 2}
        embedded = self.prompts.embed(self.prompts.render(_check_request("completions")).ids)
        try:
            (by_text,) = await _ask(upstream, "completions", {**body, "prompt": CHECK_TEXT})
            (by_embeddings,) = await _ask(upstream, "completions", {**body, "prompt_embeds": encoded(embedded)})
        except UpstreamRefused as error:
            return (
                "the upstream refuses prompt embeddings: start vLLM with --enable-prompt-embeds, on the same "
                f"model folder as the gateway's ({error.message})"
            ), None
        if agree(by_text, by_embeddings):
            return None, None
        return None, "the upstream serves another model than the gateway's copy: give both the same model folder"


async def _ask(upstream: Upstream, endpoint: Target, body: Json) -> list[Json]:
    async with upstream.post(endpoint, orjson.dumps(body)) as reply:
        return [payload async for payload in payloads(pieces(reply), stream=bool(body.get("stream")))]


def _card(model: Json) -> ModelCard:
    try:
        return ModelCard(str(model["id"]), int(model["max_model_len"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UpstreamError("it does not describe its models as vLLM does (no max_model_len)") from error


def _check_request(endpoint: Endpoint) -> Request:
    role = "user" if endpoint == "chat" else "prompt"
    return Request("check", endpoint, "", (Message(role, CHECK_TEXT),))
