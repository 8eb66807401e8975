"""A stock vLLM server as a backend: untouched requests go through as bytes, corrupted ones as embeddings."""

import asyncio
import base64
import io
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import torch
from torch import Tensor

from gateway.backends.base import ModelCard, Served
from gateway.backends.refusal import refusal
from gateway.backends.upstream import Upstream
from gateway.backends.upstream_chunks import DONE, chunks_of, payloads
from gateway.backends.upstream_shapes import PROBE_TEXT, agree, probe_shape
from gateway.core import Chunk, Corrupt, Endpoint, Instruct, Message, Pass, Plan, Raw, Refuse, Request
from gateway.embedding import PromptEmbedder
from gateway.errors import AnswerError, InvalidRequest, NotReady, UpstreamError, UpstreamRefused
from gateway.policy import DEFAULT_REFUSAL
from gateway.prompt import Tokenizer, Unlocatable, count_tokens
from gateway.wire import Shape

__all__ = ["VllmBackend"]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Known:
    """What the probes found, replaced as a whole."""

    served: Served
    shapes: dict[Endpoint, Shape]


class VllmBackend:
    """One upstream vLLM server, or several equal ones behind one address."""

    def __init__(
        self,
        *,
        upstream: str,
        tokenizer: Tokenizer,
        weight: Tensor,
        api_key: str | None = None,
        connect_timeout_s: float = 5,
        read_timeout_s: float = 120,
        max_connections: int = 256,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`upstream` has no /v1, `weight` [vocabulary, hidden] the model's input embeddings."""
        self._upstream = Upstream(
            upstream,
            api_key=api_key,
            connect_timeout_s=connect_timeout_s,
            read_timeout_s=read_timeout_s,
            max_connections=max_connections,
            transport=transport,
        )
        self._tokenizer = tokenizer
        self._vocabulary = len(weight)
        self._embedder = PromptEmbedder(tokenizer, weight)
        self._known: _Known | None = None
        self._stale = False
        self._probing = asyncio.Lock()

    async def __aenter__(self) -> "VllmBackend":
        """Asks the server what it serves and how it answers; UpstreamError says what to do if it does not."""
        try:
            self._known = await self._probe()
        except AnswerError as error:
            await self._upstream.aclose()
            raise UpstreamError(
                f"no usable vLLM server at {self._upstream.url}: {error.message}. Start one there with "
                "--enable-prompt-embeds, wait until it is up, or correct the upstream URL or key"
            ) from error
        return self

    async def __aexit__(self, *error: object) -> None:
        """Closes all connections, which aborts what runs on them."""
        await self._upstream.aclose()

    @property
    def served(self) -> Served:
        """Its base models, under the names it gives them; adapters are never offered."""
        return self._started().served

    def shape(self, endpoint: Endpoint) -> Shape:
        """As the upstream itself answers."""
        return self._started().shapes[endpoint]

    async def trouble(self) -> str | None:
        """Asks for the server's health. One back from a failure is probed again: it may be another."""
        try:
            await self._upstream.health()
            await self._refresh()
        except UpstreamError as error:
            return error.message
        return None

    async def generate(self, request: Request, plan: Plan) -> AsyncIterator[Chunk]:
        """See Backend.generate. A plan that the upstream cannot carry out is answered with a refusal."""
        try:
            if isinstance(plan, Instruct | Corrupt):
                await self._refresh()
            async with aclosing(self._answer(request, plan)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except UpstreamError as error:
            self._stale = self._stale or not isinstance(error, UpstreamRefused)
            raise

    def _answer(self, request: Request, plan: Plan) -> AsyncGenerator[Chunk, None]:
        if type(plan).__name__ in self.served.cannot:
            return self._refused(request)
        match plan:
            case Pass():
                return self._passed(request)
            case Refuse(text):
                return self._refused(request, text)
            case Instruct(text):
                return self._instructed(request, text)
            case Corrupt():
                return self._corrupted(request, plan)

    async def _refused(self, request: Request, text: str = DEFAULT_REFUSAL) -> AsyncGenerator[Chunk, None]:
        await asyncio.to_thread(self._checked_tokens, request)
        async with aclosing(refusal(request, text, self._tokenizer)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _passed(self, request: Request) -> AsyncGenerator[Chunk, None]:
        async with self._upstream.post(request.endpoint, request.raw) as response:
            if not request.stream:
                yield Raw(await response.aread())
                return
            tail = b""
            async for data in response.aiter_bytes():
                tail = (tail + data)[-2 * len(DONE) :]
                yield Raw(data)
            if not tail.rstrip().endswith(DONE):
                raise UpstreamError("the model server broke off its answer")

    async def _instructed(self, request: Request, text: str) -> AsyncGenerator[Chunk, None]:
        prompt_tokens = await asyncio.to_thread(self._checked_tokens, request)
        body = _instructed_body(request, text)
        try:
            async with aclosing(self._read(request.endpoint, body, request, prompt_tokens)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        except UpstreamRefused as error:
            if error.param != "input_tokens":  # only the instruction made it too long
                raise
        async with aclosing(self._refused(request)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _corrupted(self, request: Request, plan: Corrupt) -> AsyncGenerator[Chunk, None]:
        try:
            body, prompt_tokens = await asyncio.to_thread(self._embedded_body, request, plan)
            async with aclosing(self._read("completions", body, request, prompt_tokens)) as chunks:
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

    async def _read(
        self, endpoint: Endpoint, body: bytes, request: Request, prompt_tokens: int
    ) -> AsyncGenerator[Chunk, None]:
        """Posts a body of the gateway's own and reads the answer as one to the client's request."""
        async with (
            self._upstream.post(endpoint, body) as response,
            aclosing(payloads(response, stream=request.stream)) as found,
        ):
            async for payload in found:
                for chunk in chunks_of(payload, request, prompt_tokens):
                    yield chunk

    def _embedded_body(self, request: Request, plan: Corrupt) -> tuple[bytes, int]:
        """The body and the number of prompt tokens. Slow: not for the event loop."""
        prompt_tokens = self._checked_tokens(request)  # before any embedding: gigabytes, for a long enough text
        body = {
            "model": request.model,
            "prompt_embeds": _encoded(self._embedder.embed(request, plan)),
            **_sampling(request, self._context(request.model) - prompt_tokens),
        }
        return orjson.dumps(body), prompt_tokens

    def _checked_tokens(self, request: Request) -> int:
        """The number of prompt tokens. Raises InvalidRequest where vLLM itself would say that it is too much."""
        context = self._context(request.model)
        prompt_tokens = count_tokens(self._tokenizer, request)
        max_tokens = request.sampling.max_tokens or 0
        if max_tokens > context:
            raise _too_much(max_tokens, context)
        if prompt_tokens > context:
            raise _too_long(request.endpoint, prompt_tokens, context)
        return prompt_tokens

    def _context(self, model: str) -> int:
        lengths = {card.id: card.max_tokens for card in self.served.models}
        return lengths.get(model, min(lengths.values()))

    def _started(self) -> _Known:
        if self._known is None:
            raise NotReady("the backend is not started")
        return self._known

    async def _refresh(self) -> None:
        if not self._stale:
            return
        async with self._probing:
            if self._stale:
                self._known = await self._probe()
                self._stale = False

    async def _probe(self) -> _Known:
        cards = [_card(model) for model in await self._upstream.models() if model.get("parent") is None]
        if not cards:
            raise UpstreamError("it lists no base model")
        model = cards[0].id
        chat, chat_tokens = await probe_shape(self._ask, "chat", model)
        completions, text_tokens = await probe_shape(self._ask, "completions", model)
        fault = self._mismatch("chat", chat_tokens) or self._mismatch("completions", text_tokens)
        fault = fault or await self._embedding_fault(model)
        served = Served(tuple(cards), self._tokenizer, self._vocabulary, {"Corrupt": fault} if fault else {})
        return _Known(served, {"chat": chat, "completions": completions})

    def _mismatch(self, endpoint: Endpoint, upstream_tokens: int | None) -> str | None:
        """Another tokenizer or chat template shows in the number of tokens."""
        if upstream_tokens is None:
            return None
        if count_tokens(self._tokenizer, _probe_request(endpoint)) == upstream_tokens:
            return None
        part = "chat template" if endpoint == "chat" else "tokenizer"
        return f"the upstream's {part} is not that of the gateway's model: give both the same model folder"

    async def _embedding_fault(self, model: str) -> str | None:
        """Why corrupted prompts cannot be sent; None if embeddings are answered as text is."""
        body = {"model": model, "max_tokens": 1, "temperature": 0, "logprobs": 2}
        probe = self._embedder.embed(_probe_request("completions"), Corrupt(()))
        try:
            (by_text,) = await self._ask("completions", {**body, "prompt": PROBE_TEXT})
            (by_embeddings,) = await self._ask("completions", {**body, "prompt_embeds": _encoded(probe)})
        except UpstreamRefused as error:
            return (
                "the upstream refuses prompt embeddings: start vLLM with --enable-prompt-embeds, on the same "
                f"model folder as the gateway's ({error.message})"
            )
        if agree(by_text, by_embeddings):
            return None
        return "the upstream serves another model than the gateway's copy: give both the same model folder"

    async def _ask(self, endpoint: Endpoint, body: Json) -> list[Json]:
        async with self._upstream.post(endpoint, orjson.dumps(body)) as response:
            return [payload async for payload in payloads(response, stream=bool(body.get("stream")))]


def _card(model: Json) -> ModelCard:
    try:
        return ModelCard(str(model["id"]), int(model["max_model_len"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UpstreamError("it does not describe its models as vLLM does (no max_model_len)") from error


def _probe_request(endpoint: Endpoint) -> Request:
    role = "user" if endpoint == "chat" else "prompt"
    return Request("probe", endpoint, "", (Message(role, PROBE_TEXT),))


def _encoded(embeddings: Tensor) -> str:
    """vLLM's form of [tokens, hidden]: base64 of what torch.save writes."""
    buffer = io.BytesIO()
    torch.save(embeddings.contiguous(), buffer)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _sampling(request: Request, room_tokens: int) -> Json:
    """The sampling fields for /v1/completions. What the client left open stays open, except that a chat may
    fill the context while a completion is short by default."""
    sampling = request.sampling
    fields: Json = {
        "max_tokens": room_tokens
        if sampling.max_tokens is None and request.endpoint == "chat"
        else sampling.max_tokens,
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
    }
    return {name: value for name, value in fields.items() if value is not None}


def _instructed_body(request: Request, text: str) -> bytes:
    """The client's body with the instruction in front of its prompt."""
    body = orjson.loads(request.raw)
    if request.endpoint == "chat":
        body["messages"] = _with_instruction(body["messages"], text)
    else:
        body["prompt"] = f"{text}\n\n{request.messages[-1].text}"
    if request.stream:
        body["stream_options"] = {"include_usage": True}
    return orjson.dumps(body)


def _with_instruction(messages: list[Json], text: str) -> list[Json]:
    """As gateway.prompt.instructed, on the messages as they came."""
    if not messages or messages[0].get("role") != "system":
        return [{"role": "system", "content": text}, *messages]
    content = messages[0].get("content") or ""
    if isinstance(content, list):
        merged: Any = [{"type": "text", "text": text}, *content]
    else:
        merged = f"{text}\n\n{content}"
    return [{**messages[0], "content": merged}, *messages[1:]]


# These two are in vLLM's words, so that they read like the answer to a request that was not touched.


def _too_much(max_tokens: int, context: int) -> InvalidRequest:
    return InvalidRequest(
        f"max_tokens={max_tokens} cannot be greater than max_model_len={context}. Please request fewer output tokens. "
        f"(parameter=max_tokens, value={max_tokens})",
        param="max_tokens",
    )


def _too_long(endpoint: Endpoint, prompt_tokens: int, context: int) -> InvalidRequest:
    """A completion's text is cut before it is counted, a chat's is not."""
    counted = min(prompt_tokens, context + 1) if endpoint == "completions" else prompt_tokens
    contained = f"at least {counted}" if counted == context + 1 else str(counted)
    return InvalidRequest(
        f"This model's maximum context length is {context} tokens. However, your prompt contains "
        f"{contained} input tokens, which exceeds this limit even without any output tokens. "
        f"Please reduce the length of the input prompt. (parameter=input_tokens, value={counted})",
        param="input_tokens",
    )
