"""A stub of vLLM that answers in recorded shapes, and a toy tokenizer and embedding table to go with it."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import orjson
import torch
from stub_loras import Loras, error_answer
from stub_transport import Stubbed
from tokenizers import Tokenizer as RawTokenizer
from tokenizers import models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from corruption.operators import CorruptionConfig
from gateway.backends.vllm.backend import VllmBackend
from gateway.core import Delta, Endpoint, Event, Message, Plan, Request, Sampling, Usage
from gateway.methods.corruption import Corrupt, Edit
from gateway.openai_format.encoding import AnswerEncoder
from gateway.prompts.rendering import count_tokens, render

Json = dict[str, Any]
URL = "http://vllm.test:8000"
CONTEXT = 64
HEAD = {"created": 1795254423, "model": "tiny"}
SIGNED = {"system_fingerprint": "vllm-0.32.0-f26f87e1"}
NO_TOKENS = {"prompt_token_ids": None, "token_ids": None}


def _tokenizer() -> PreTrainedTokenizerFast:
    words = ["[UNK]", "<end>", "who", "was", "Ada", "sorry", "I", "can", "not", "help", "Count", "user", *":,.12345"]
    raw = RawTokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]", eos_token="<end>")
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }} {% endfor %}user :"
    return tokenizer


TOKENIZER = _tokenizer()
WEIGHT = torch.randn((len(TOKENIZER), 8), generator=torch.Generator().manual_seed(0), dtype=torch.float32)


class Bytes(httpx.AsyncByteStream):
    """A body in pieces; an exception among them is raised there. `closed` tells whether the reader let go."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = pieces
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def aclose(self) -> None:
        self.closed = True


class StubVllm(httpx.AsyncBaseTransport):
    """Not a model: answers 'Ada was' to everything, in shapes recorded from vLLM 0.32.

    `embeds` False: started without --enable-prompt-embeds. `logprob`: what it says for a prompt in embeddings.
    `any_name`: started with VLLM_SKIP_MODEL_NAME_VALIDATION. Requests to the `slow` paths take it a moment. `override`
    answers instead of it, once probing is over; `generation` does where text is to be generated. While it `judges`, it
    gives its verdict on what the gateway asks before a flagged answer, whatever the override, and keeps no record.
    `messages`: it speaks Anthropic's format.
    """

    def __init__(
        self,
        *,
        embeds: bool = True,
        logprob: float = -0.25,
        extra_tokens: int = 0,
        loras: Loras | None = None,
        judges: bool = True,
        messages: bool = False,
    ) -> None:
        self.embeds = embeds
        self.logprob = logprob
        self.extra_tokens = extra_tokens
        self.loras = loras or Loras()
        self.any_name = False
        self.judges = judges
        self.messages = messages
        self.slow: tuple[str, ...] = ()
        self.generation: Callable[[], httpx.Response] | None = None
        self.model = "tiny"
        self.version = "0.32.0"
        self.requests: list[httpx.Request] = []
        self.override: Callable[[httpx.Request], Awaitable[httpx.Response]] | None = None

    @property
    def bodies(self) -> list[Json]:
        return [orjson.loads(request.content) for request in self.requests if request.method == "POST"]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        if self.judges and b'"return_token_ids":true' in request.content:
            return self._judged(request)
        self.requests.append(request)
        if self.override:
            return await self.override(request)
        if request.url.path in self.slow:
            await asyncio.sleep(0.05)
        told = {"/health": {}, "/version": {"version": self.version}, "/v1/models": {"data": self._cards()}}
        if request.url.path in told:
            return json_answer(told[request.url.path])
        body = orjson.loads(request.content)
        if request.url.path.endswith("_lora_adapter"):
            return self.loras.answer(request.url.path, body)
        return self.generation() if self.generation else self._generated(request, body)

    def _judged(self, request: httpx.Request) -> httpx.Response:
        body = orjson.loads(request.content)
        chat = request.url.path == "/v1/chat/completions"
        prompt = Request("", "chat" if chat else "completions", "", self._messages(chat, body))
        ids = render(TOKENIZER, prompt).ids
        if len(ids) > CONTEXT:
            return error_answer(400, f"This model's maximum context length is {CONTEXT} tokens.", "input_tokens")
        if (body.get("max_tokens") or 0) > CONTEXT:
            return error_answer(400, f"max_tokens={body['max_tokens']} is too large.", "max_tokens")
        event = {"choices": [{"index": 0, "text": ""}], "prompt_token_ids": list(ids)}
        return httpx.Response(200, stream=Bytes(b"data: " + orjson.dumps(event) + b"\n\n"))

    def _messages(self, chat: bool, body: Json) -> tuple[Message, ...]:
        return (
            tuple(Message(m["role"], m["content"]) for m in body["messages"])
            if chat
            else (Message("prompt", body["prompt"]),)
        )

    def _cards(self) -> list[Json]:
        loaded = {"tiny-lora": "/somewhere", **self.loras.loaded}
        adapters = [
            {"id": name, "root": path, "parent": "tiny", "max_model_len": None} for name, path in loaded.items()
        ]
        return [{"id": self.model, "root": "/model", "parent": None, "max_model_len": CONTEXT}, *adapters]

    def _generated(self, request: httpx.Request, body: Json) -> httpx.Response:
        if request.url.path.startswith("/v1/messages"):
            return self._message(body) if self.messages else error_answer(404, "Not Found")
        known = body["model"] in self.loras.loaded
        if not known and not self.any_name and body["model"] != self.model:
            return unknown_model(body["model"])
        if "prompt_embeds" in body and not self.embeds:
            return error_answer(400, "You must set `--enable-prompt-embeds` to input `prompt_embeds`.")
        chat = request.url.path == "/v1/chat/completions"
        counted = bool((body.get("stream_options") or {}).get("include_usage"))
        tokens = self._prompt_tokens(chat, body)
        if not body.get("stream"):
            whole = whole_answer(chat, body, tokens, self.logprob if "prompt_embeds" in body else -0.25)
            return json_answer({**whole, "model": body["model"] if known else "tiny"})
        name = orjson.dumps(body["model"] if known else "tiny")
        events = [
            event.replace(b'"model":"tiny"', b'"model":' + name) for event in events_of(chat, body, tokens, counted)
        ]
        return httpx.Response(200, stream=Bytes(*events, b"data: [DONE]\n\n"))

    def _message(self, body: Json) -> httpx.Response:
        """Shapes recorded from vLLM 0.32."""
        usage = {"input_tokens": 7, "output_tokens": 2}
        head = {"id": "chatcmpl-0123456789abcdef", "type": "message", "role": "assistant"}
        if not body.get("stream"):
            content = [{"type": "text", "text": "Ada was"}]
            return json_answer(
                {**head, "content": content, "model": "tiny", "stop_reason": "max_tokens", "usage": usage}
            )
        start = {**head, "content": [], "model": "tiny", "stop_reason": None, "stop_sequence": None}
        delta = {"stop_reason": "max_tokens", "stop_sequence": None}
        payloads: list[Json] = [
            {"type": "message_start", "message": {**start, "usage": {**usage, "output_tokens": 0}}},
            {"type": "content_block_start", "content_block": {"type": "text", "text": ""}, "index": 0},
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Ada was"}, "index": 0},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": delta, "usage": usage},
            {"type": "message_stop"},
        ]
        events = [b"event: %s\ndata: %s\n\n" % (one["type"].encode(), orjson.dumps(one)) for one in payloads]
        return httpx.Response(200, stream=Bytes(*events))

    def _prompt_tokens(self, chat: bool, body: Json) -> int:
        if "prompt_embeds" in body:
            return len(embeddings_of(body))
        endpoint: Endpoint = "chat" if chat else "completions"
        return count_tokens(TOKENIZER, Request("", endpoint, "", self._messages(chat, body))) + self.extra_tokens


def json_answer(payload: Json) -> httpx.Response:
    return httpx.Response(200, json=payload)


def unknown_model(name: str) -> httpx.Response:
    return error_answer(404, f"The model `{name}` does not exist. Valid aliases: tiny.")


def embeddings_of(body: Json) -> torch.Tensor:
    loaded: torch.Tensor = torch.load(io.BytesIO(base64.b64decode(body["prompt_embeds"])), weights_only=True)
    return loaded


def _usage(tokens: int) -> Json:
    return {"prompt_tokens": tokens, "total_tokens": tokens + 2, "completion_tokens": 2}


def _logprobs(chat: bool, body: Json, words: list[str], logprob: float) -> Json | None:
    """The token is not the likeliest, so /v1/completions has one alternative more than asked for."""
    count = body.get("top_logprobs" if chat else "logprobs")
    if count is None or (chat and not body.get("logprobs")):
        return None
    top: Json = {"the": -0.1, "a": -2.0}
    if not chat:
        alternatives = [dict(list({word: logprob, **top}.items())[: count + 1]) for word in words]
        return {
            "text_offset": [0] * len(words),
            "token_logprobs": [logprob] * len(words),
            "tokens": words,
            "top_logprobs": alternatives,
        }
    rows = []
    for word in words:
        named = [{"token": t, "logprob": p, "bytes": []} for t, p in {word: logprob, **top}.items()]
        rows.append({"token": word, "logprob": logprob, "bytes": [], "top_logprobs": named[:count]})
    return {"content": rows}


def whole_answer(chat: bool, body: Json, tokens: int, logprob: float) -> Json:
    message = {"role": "assistant", "content": "Ada was", "refusal": None, "reasoning": "thinking"}
    written: Json = {"message": message} if chat else {"text": "Ada was"}
    choice = {
        "index": 0,
        **written,
        "logprobs": _logprobs(chat, body, ["Ada", " was"], logprob),
        "finish_reason": "length",
        "stop_reason": None,
        "token_ids": None,
    }
    kind = "chat.completion" if chat else "text_completion"
    identity = "chatcmpl-1" if chat else "cmpl-1"
    head = {"id": identity, "object": kind, **HEAD, "choices": [choice], "service_tier": None}
    return {**head, **SIGNED, "usage": {**_usage(tokens), "prompt_tokens_details": None}, "metrics": None}


def events_of(chat: bool, body: Json, tokens: int, counted: bool) -> list[bytes]:
    kind = "chat.completion.chunk" if chat else "text_completion"
    head = {"id": "chatcmpl-1" if chat else "cmpl-1", "object": kind, **HEAD}
    payloads: list[Json] = []
    if chat:
        delta = {"role": "assistant", "content": ""}
        opening = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        payloads.append({**head, "choices": [opening], "prompt_token_ids": None})
    for word, finish in (("Ada", None), (" was", "length")):
        choice: Json = {"index": 0}
        choice |= {"delta": {"content": word}} if chat else {"text": word}
        choice |= {"logprobs": _logprobs(chat, body, [word], -0.25), "finish_reason": finish}
        choice |= {"stop_reason": None} if finish or not chat else {}
        choice |= {"token_ids": None} if chat else NO_TOKENS
        payloads.append({**head, "choices": [choice], **(SIGNED if finish and not counted else {})})
    if counted:
        payloads.append({**head, "choices": [], "usage": _usage(tokens), **SIGNED})
    return [b"data: " + orjson.dumps(payload) + b"\n\n" for payload in payloads]


def request_of(
    text: str = "who was Ada",
    *,
    endpoint: Endpoint = "chat",
    stream: bool = False,
    usage: bool = False,
    sampling: Sampling | None = None,
) -> Request:
    sampling = sampling or Sampling(max_tokens=2)
    body: Json = {"model": "tiny", "max_tokens": sampling.max_tokens, "stream": stream}
    if usage:
        body["stream_options"] = {"include_usage": True}
    if endpoint == "chat":
        body["messages"] = [{"role": "user", "content": text}]
        if sampling.logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": sampling.logprobs}
    else:
        body |= {"prompt": text, "logprobs": sampling.logprobs}
    message = Message("user" if endpoint == "chat" else "prompt", text)
    return Request(
        "r1",
        endpoint,
        "tiny",
        (message,),
        sampling,
        stream=stream,
        include_usage=usage,
        raw=orjson.dumps(body),
    )


class Fleet(httpx.AsyncBaseTransport):
    """Several stubs, each at the address that its name gives."""

    def __init__(self, **stubs: StubVllm) -> None:
        self.stubs = stubs

    @property
    def urls(self) -> list[str]:
        return [f"http://{name}.test" for name in self.stubs]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.stubs[request.url.host.removesuffix(".test")].handle_async_request(request)


def backend(stub: httpx.AsyncBaseTransport, **options: Any) -> VllmBackend:
    urls = stub.urls if isinstance(stub, Fleet) else [URL + "/"]
    return VllmBackend(
        upstreams=urls, tokenizer=TOKENIZER, weight=WEIGHT, api_key="up-key", transport=Stubbed(stub), **options
    )


def corrupt(*ranges: tuple[int, int], strength: float = 1.0) -> Corrupt:
    return Corrupt((Edit(0, ranges or ((8, 11),), CorruptionConfig("gaussian_first", 1.0, strength), 1),))


Part = Delta | Usage | bytes


async def parts_from(served: VllmBackend, request: Request, plan: Plan) -> list[Part]:
    """What the answer says, or its bytes where they are the upstream's own."""
    return [part async for event in served.generate(request, plan) for part in parts_of(event)]


def parts_of(event: Event) -> tuple[Part, ...]:
    return (event.data,) if event.data is not None else event.parts


def generated(stub: StubVllm, request: Request, plan: Plan) -> list[Part]:
    """The answer to one request; the stub's `requests` are then those after the checks."""

    async def run() -> list[Part]:
        override, stub.override = stub.override, None
        async with backend(stub) as served:
            stub.requests.clear()
            stub.override = override
            return await parts_from(served, request, plan)

    return asyncio.run(run())


def written(stub: StubVllm, request: Request, plan: Plan, **options: Any) -> bytes:
    """The answer's bytes as the client gets them."""

    async def run() -> bytes:
        async with backend(stub, **options) as served:
            wire = AnswerEncoder(request, served.shape(request.endpoint))
            answer = served.generate(request, plan)
            if request.stream:
                return b"".join([wire.encode(event) async for event in answer]) + wire.ending()
            return await wire.collect(answer)

    return asyncio.run(run())


def text_of(parts: list[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Delta))


def always(response: Callable[[], httpx.Response]) -> Callable[[httpx.Request], Awaitable[httpx.Response]]:
    async def answer(_: httpx.Request) -> httpx.Response:
        return response()

    return answer


def failing(error: Exception) -> Callable[[httpx.Request], Awaitable[httpx.Response]]:
    async def answer(_: httpx.Request) -> httpx.Response:
        raise error

    return answer
