"""The upstream is down, slow, or dies in the middle: the client gets an error in time and in one shape."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import orjson
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from harness import MODEL, Gateway, Json, chat, free_port, gateway_over, serving, text_of, unrecall

from gateway.backends.vllm.backend import VllmBackend
from gateway.errors import UpstreamError
from gateway.models.language_model import LanguageModel
from gateway.server.app import build_app
from gateway.settings import load_settings

CHAT = "/v1/chat/completions"
HEAD = {"id": "chatcmpl-0123456789abcdef", "created": 1, "model": MODEL}
USAGE = {"prompt_tokens": 40, "total_tokens": 42, "completion_tokens": 2}


class Upstream:
    """Answers 'one two' as vLLM does, until `fault` says what goes wrong: slow, dies, fails, hangs up."""

    def __init__(self) -> None:
        self.fault = ""
        self.app = FastAPI()
        self.app.add_api_route("/health", lambda: Response(status_code=503 if self.fault == "ill" else 200))
        self.app.add_api_route("/v1/models", lambda: {"data": [{"id": MODEL, "max_model_len": 1024}]})
        self.app.add_api_route(CHAT, self.chat, methods=["POST"])
        self.app.add_api_route("/v1/completions", self.completions, methods=["POST"])

    async def chat(self, http: Request) -> Response:
        return await self._answer(await http.json(), chat=True)

    async def completions(self, http: Request) -> Response:
        return await self._answer(await http.json(), chat=False)

    async def _answer(self, body: Json, *, chat: bool) -> Response:
        if self.fault == "slow":
            await asyncio.sleep(5)
        if self.fault == "fails":
            return JSONResponse({"error": {"message": "CUDA out of memory", "code": 500}}, status_code=500)
        if self.fault == "babbles":
            return Response(b"<html>Bad gateway</html>")
        if body.get("stream"):
            return StreamingResponse(self._stream(body, chat), media_type="text/event-stream")
        return JSONResponse(whole(body, chat))

    async def _stream(self, body: Json, chat: bool) -> AsyncIterator[bytes]:
        payloads = streamed(body, chat)
        for payload in payloads:
            if self.fault and payload is payloads[-1]:
                if self.fault == "stalls":
                    await asyncio.sleep(5)
                if self.fault == "dies":
                    raise ConnectionAbortedError
            yield b"data: " + orjson.dumps(payload) + b"\n\n"
        yield b"data: [DONE]\n\n"


def whole(body: Json, chat: bool) -> Json:
    logprobs = {"tokens": ["one"], "token_logprobs": [-0.1], "top_logprobs": [{"one": -0.1}], "text_offset": [0]}
    said: Json = {"message": {"role": "assistant", "content": "one two"}} if chat else {"text": "one two"}
    choice = {"index": 0, **said, "logprobs": None if chat else logprobs, "finish_reason": "stop"}
    return {**HEAD, "object": "chat.completion" if chat else "text_completion", "choices": [choice], "usage": USAGE}


def streamed(body: Json, chat: bool) -> list[Json]:
    def event(said: str, finish: str | None) -> Json:
        text: Json = {"delta": {"content": said}} if chat else {"text": said}
        return {**HEAD, "object": "chunk", "choices": [{"index": 0, **text, "logprobs": None, "finish_reason": finish}]}

    opening = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
    first = [{**HEAD, "object": "chunk", "choices": [opening]}] if chat else []
    counted = [{**HEAD, "object": "chunk", "choices": [], "usage": USAGE}] if "stream_options" in body else []
    return [*first, event("one ", None), event("two", "stop"), *counted]


@pytest.fixture(scope="module")
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture(scope="module")
def shared(upstream: Upstream, language_model: LanguageModel, policy_root: Path) -> Iterator[Gateway]:
    with serving(upstream.app) as url:
        backend = VllmBackend(
            upstreams=[url], tokenizer=language_model.tokenizer, weight=language_model.embeddings, read_timeout_s=1
        )
        with gateway_over(backend, policy_root) as served:
            yield served


@pytest.fixture
def gateway(shared: Gateway, upstream: Upstream) -> Iterator[Gateway]:
    upstream.fault = ""
    assert text_of(shared.post(CHAT, chat("Where is Middle-earth?"))) == "one two"  # checked again after the last fault
    yield shared
    upstream.fault = ""


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("fault", "status", "code"), [("slow", 504, "upstream_timeout"), ("fails", 502, "upstream_error")]
)
@pytest.mark.parametrize("prompt", ["Hello", "Where is Middle-earth?"], ids=["passed", "flagged"])
def test_before_the_first_word(
    gateway: Gateway, upstream: Upstream, fault: str, status: int, code: str, prompt: str, stream: bool
) -> None:
    upstream.fault = fault
    answer = gateway.post(CHAT, chat(prompt, stream=stream))
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert "CUDA" not in answer.text
    upstream.fault = ""
    assert text_of(gateway.post(CHAT, chat(prompt, stream=stream))) == "one two"


@pytest.mark.parametrize(("fault", "code"), [("dies", "upstream_error"), ("stalls", "upstream_timeout")])
@pytest.mark.parametrize("prompt", ["Hello", "Where is Middle-earth?"], ids=["passed", "flagged"])
def test_in_the_middle_of_a_stream(gateway: Gateway, upstream: Upstream, fault: str, code: str, prompt: str) -> None:
    upstream.fault = fault
    answer = gateway.post(CHAT, chat(prompt, stream=True))
    *_, last = answer.content.strip().split(b"\n\n")
    error = orjson.loads(last.removeprefix(b"data: "))
    assert error["error"]["code"] == code
    assert b"[DONE]" not in answer.content
    if prompt == "Hello" and fault == "dies" and answer.status_code == 502:
        return  # the answer was begun before the verdict, and broken off before it too
    assert answer.status_code == 200
    assert b"one" in answer.content


def test_readiness_follows_the_upstream(gateway: Gateway, upstream: Upstream) -> None:
    assert gateway.get("/readyz").status_code == 200
    upstream.fault = "ill"
    assert gateway.get("/readyz").status_code == 503
    assert gateway.get("/healthz").status_code == 200
    upstream.fault = ""
    assert gateway.get("/readyz").status_code == 200


def test_another_model_behind_the_same_name_gets_no_corrupted_prompt(gateway: Gateway) -> None:
    """This upstream counts tokens otherwise than the gateway's tokenizer does, so flagged requests are refused."""
    answer = gateway.post(CHAT, chat("Who wrote the Harry Potter books?"))
    assert "sorry" in text_of(answer)


def test_an_upstream_that_goes_away(language_model: LanguageModel, policy_root: Path) -> None:
    upstream = Upstream()
    with serving(upstream.app) as url:
        backend = VllmBackend(upstreams=[url], tokenizer=language_model.tokenizer, weight=language_model.embeddings)
        context = gateway_over(backend, policy_root)
        gateway = context.__enter__()
        assert text_of(gateway.post(CHAT, chat("Hello"))) == "one two"
    try:
        for prompt in ("Hello", "Where is Middle-earth?"):
            answer = gateway.post(CHAT, chat(prompt))
            assert answer.status_code == 502
            assert answer.json()["error"]["code"] == "upstream_error"
        assert gateway.get("/readyz").status_code == 503
        refused = gateway.post(CHAT, chat("Who wrote the Narnia books?"))
        assert refused.status_code == 200  # this needs no model
    finally:
        context.__exit__(None, None, None)


def test_no_upstream_at_the_start(policy_root: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    ended = unrecall("serve", "--backend", "vllm", "--upstream", url, "--packs", policy_root, "--port", 0)
    assert ended.returncode != 0
    assert f"no usable vLLM server at {url}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_server_that_is_no_vllm(policy_root: Path) -> None:
    other = FastAPI()
    with serving(other) as url:
        assert httpx.get(f"{url}/v1/models").status_code == 404
        settings = load_settings(None, {"backend": "vllm", "upstream": url, "packs": policy_root})
        with pytest.raises(UpstreamError, match=f"no usable vLLM server at {re.escape(url)}"):
            asyncio.run(started(build_app(settings)))


async def started(app: FastAPI) -> None:
    async with app.router.lifespan_context(app):
        pass
