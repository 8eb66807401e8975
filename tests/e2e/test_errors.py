"""Whatever is wrong, the client gets one shape of error; and the server goes on."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import orjson
import pytest
from harness import MODEL, Gateway, chat, completion, eventually, gateway_over, text_of

from gateway.backends.embedded.backend import EmbeddedBackend
from gateway.models.language_model import LanguageModel

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
HELLO = {"role": "user", "content": "Hello"}


def body(**fields: Any) -> bytes:
    return orjson.dumps({**chat("Hello"), **fields})


WRONG = {
    "unknown model": (CHAT, body(model="gpt-9"), 404, "model", "model_not_found"),
    "an adapter's name": (CHAT, body(model="smollm2-lora"), 404, "model", "model_not_found"),
    "unknown field": (CHAT, body(guided_json={}), 400, "guided_json", "unsupported_parameter"),
    "client's embeddings": (TEXT, orjson.dumps(completion("a", prompt_embeds="AA")), 400, "prompt_embeds", None),
    "client's template": (CHAT, body(chat_template="{{ x }}"), 400, "chat_template", "unsupported_parameter"),
    "malformed JSON": (CHAT, b'{"model": "smollm2", "messages": [', 400, None, None),
    "no JSON": (CHAT, b"\xff\xfe", 400, None, None),
    "an array": (CHAT, b"[]", 400, None, None),
    "nothing": (CHAT, b"", 400, None, None),
    "nested without end": (CHAT, b'{"messages":' + b"[" * 100_000, 400, None, None),
    "a key twice": (CHAT, b'{"model":"smollm2","messages":[],"messages":[]}', 400, None, None),
    "no messages": (CHAT, body(messages=[]), 400, "messages", None),
    "a lone surrogate": (CHAT, body().replace(b"Hello", b"\\ud800"), 400, None, None),
    "an image": (CHAT, body(messages=[{**HELLO, "content": [{"type": "image_url"}]}]), 400, None, None),
    "max_tokens as text": (CHAT, body(max_tokens="9"), 400, "max_tokens", None),
    "no max_tokens": (CHAT, body(max_tokens=0), 400, "max_tokens", None),
    "too many messages": (CHAT, body(messages=[HELLO] * 300), 413, "messages", "request_too_large"),
    "too many characters": (CHAT, body(messages=[{**HELLO, "content": "a" * 1_000_001}]), 413, "messages", None),
    "too many bytes": (CHAT, b" " * 2_000_001, 413, None, "request_too_large"),
    "an empty prompt": (TEXT, orjson.dumps(completion("")), 400, "prompt", None),
    "several prompts": (TEXT, orjson.dumps(completion(["a", "b"])), 400, "prompt", None),
    "a token that is none": (TEXT, orjson.dumps(completion([1, 10**6])), 400, "prompt", None),
    "a negative token": (TEXT, orjson.dumps(completion([-1])), 400, "prompt", None),
    "an unknown path": ("/v1/embeddings", body(), 404, None, "path_not_found"),
    "a side door": ("/invocations", body(), 404, None, "path_not_found"),
    "a side door's slash": (f"{CHAT}/batch", body(), 404, None, "path_not_found"),
    "more tokens than the model takes": (CHAT, body(max_tokens=20_000), 400, None, "context_length_exceeded"),
    "a megabyte": (CHAT, body(messages=[{**HELLO, "content": "word " * 200_000}]), 400, "messages", None),
}


@pytest.mark.parametrize(("path", "content", "status", "param", "code"), WRONG.values(), ids=WRONG)
def test_one_shape(
    embedded_gateway: Gateway, path: str, content: bytes, status: int, param: str | None, code: str | None
) -> None:
    answer = embedded_gateway.post(path, content)
    assert answer.status_code == status, answer.text
    assert_shape(answer)
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert param in (None, error["param"])
    assert code in (None, error["code"])


def test_a_wrong_method(embedded_gateway: Gateway) -> None:
    answer = embedded_gateway.get(CHAT)
    assert answer.status_code == 405
    assert_shape(answer)


def assert_shape(answer: httpx.Response) -> None:
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    error = answer.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert error["message"]


def test_keys(language_model: LanguageModel, policy_root: Any) -> None:
    backend = EmbeddedBackend(language_model, name=MODEL)
    with gateway_over(backend, policy_root, api_keys=["one", "two"]) as gateway:
        for headers in ({}, {"authorization": "Bearer three"}, {"authorization": "one"}, {"authorization": "Bearer"}):
            for answer in (
                gateway.post(CHAT, body(), headers=headers),
                gateway.post(TEXT, b"not even JSON", headers=headers),
                gateway.get("/v1/models", headers=headers),
            ):
                assert answer.status_code == 401
                assert answer.json()["error"]["code"] == "invalid_api_key"
                assert_shape(answer)
        assert text_of(gateway.post(CHAT, body(max_tokens=2), headers={"authorization": "Bearer two"}))
        assert gateway.get("/healthz").status_code == 200
        with pytest.raises(openai.AuthenticationError):
            gateway.openai.models.list()


def test_a_full_queue(language_model: LanguageModel, policy_root: Any) -> None:
    backend = EmbeddedBackend(language_model, name=MODEL, slots=1, queue=0)
    long = completion("Count: 1, 2, 3, 4, 5,", max_tokens=900, stream=True)
    with (
        gateway_over(backend, policy_root) as gateway,
        httpx.Client(base_url=gateway.url, timeout=60) as client,
    ):
        with client.stream("POST", TEXT, json=long) as answer:
            lines = answer.iter_lines()  # held: the stream closes with it
            next(lines)
            for stream in (False, True):
                for prompt in ("Hello", "Who is Harry Potter?"):
                    refused = gateway.post(CHAT, chat(prompt, stream=stream))
                    assert refused.status_code == 429
                    assert int(refused.headers["retry-after"]) >= 1
                    assert refused.json()["error"]["code"] == "queue_full"
                    assert_shape(refused)
        assert eventually(lambda: backend.busy == 0, within_s=30)
        assert text_of(gateway.post(CHAT, chat("Hello", max_tokens=2)))


def test_a_queue_waits_its_turn(language_model: LanguageModel, policy_root: Any) -> None:
    backend = EmbeddedBackend(language_model, name=MODEL, slots=1, queue=3)
    with gateway_over(backend, policy_root) as gateway, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: gateway.post(CHAT, chat("Hello", max_tokens=4)), range(4)))
    assert len({text_of(answer) for answer in answers}) == 1
