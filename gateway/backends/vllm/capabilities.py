"""What one upstream serves, how it answers, and what it cannot do: found out by asking it."""

from dataclasses import dataclass
from typing import Any

import orjson

from gateway.backends.base import ModelCard, Served
from gateway.backends.vllm.bodies import encoded
from gateway.backends.vllm.client import Upstream
from gateway.backends.vllm.lora_cache import Shelf
from gateway.backends.vllm.shapes import PROBE_TEXT, agree, probe_shape
from gateway.core import Corrupt, Endpoint, Message, Request
from gateway.errors import UpstreamError, UpstreamRefused
from gateway.openai_format.decoding import payloads
from gateway.openai_format.encoding import Shape
from gateway.prompts.embedding import PromptEmbedder
from gateway.prompts.rendering import Tokenizer, count_tokens

__all__ = ["Known", "Probe"]

Json = dict[str, Any]
_NO_FOLDER = "vLLM gets no adapters: set adapters_folder to a folder that the gateway can write and vLLM can read"


@dataclass(frozen=True, slots=True)
class Known:
    """What the probes found, replaced as a whole."""

    served: Served
    shapes: dict[Endpoint, Shape]


@dataclass(frozen=True, slots=True)
class Probe:
    """What the gateway holds of the model, to compare the upstreams' with."""

    tokenizer: Tokenizer
    vocabulary: int
    embedder: PromptEmbedder
    strengths: tuple[float, ...]

    async def known(self, upstream: Upstream, shelf: Shelf | None) -> Known:
        """Asks one upstream. Raises UpstreamError, or another AnswerError, if it does not answer as vLLM does."""
        cards = tuple(_card(model) for model in await upstream.models() if model.get("parent") is None)
        if not cards:
            raise UpstreamError("it lists no base model")
        model = cards[0].id

        async def ask(endpoint: Endpoint, body: Json) -> list[Json]:
            return await _ask(upstream, endpoint, body)

        chat, chat_tokens = await probe_shape(ask, "chat", model)
        completions, text_tokens = await probe_shape(ask, "completions", model)
        misread = self._mismatch("chat", chat_tokens) or self._mismatch("completions", text_tokens)
        closed, stranger = None, misread
        if not stranger:
            closed, stranger = await self._embedding_faults(upstream, model)
        by_embeddings = stranger or closed
        by_adapter = stranger or (await shelf.fault() if shelf else _NO_FOLDER)
        faults = {"Corrupt": by_embeddings, "SoftPrompt": by_embeddings, "UseAdapter": by_adapter}
        cannot = {plan: fault for plan, fault in faults.items() if fault}
        served = Served(cards, self.tokenizer, self.vocabulary, cannot, self.strengths, misread or "")
        return Known(served, {"chat": chat, "completions": completions})

    def _mismatch(self, endpoint: Endpoint, upstream_tokens: int | None) -> str | None:
        """Another tokenizer or chat template shows in the number of tokens."""
        if upstream_tokens is None:
            return None
        if count_tokens(self.tokenizer, _probe_request(endpoint)) == upstream_tokens:
            return None
        part = "chat template" if endpoint == "chat" else "tokenizer"
        return f"the upstream's {part} is not that of the gateway's model: give both the same model folder"

    async def _embedding_faults(self, upstream: Upstream, model: str) -> tuple[str | None, str | None]:
        """Why prompt embeddings cannot be sent, and why nothing made for the gateway's model can be; None if they are
        answered as text is."""
        body = {"model": model, "max_tokens": 1, "temperature": 0, "logprobs": 2}
        probe = self.embedder.embed(_probe_request("completions"), Corrupt(()))
        try:
            (by_text,) = await _ask(upstream, "completions", {**body, "prompt": PROBE_TEXT})
            (by_embeddings,) = await _ask(upstream, "completions", {**body, "prompt_embeds": encoded(probe)})
        except UpstreamRefused as error:
            return (
                "the upstream refuses prompt embeddings: start vLLM with --enable-prompt-embeds, on the same "
                f"model folder as the gateway's ({error.message})"
            ), None
        if agree(by_text, by_embeddings):
            return None, None
        return None, "the upstream serves another model than the gateway's copy: give both the same model folder"


async def _ask(upstream: Upstream, endpoint: Endpoint, body: Json) -> list[Json]:
    async with upstream.post(endpoint, orjson.dumps(body)) as response:
        return [payload async for payload in payloads(response, stream=bool(body.get("stream")))]


def _card(model: Json) -> ModelCard:
    try:
        return ModelCard(str(model["id"]), int(model["max_model_len"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UpstreamError("it does not describe its models as vLLM does (no max_model_len)") from error


def _probe_request(endpoint: Endpoint) -> Request:
    role = "user" if endpoint == "chat" else "prompt"
    return Request("probe", endpoint, "", (Message(role, PROBE_TEXT),))
