"""The edges of HTTP: every answer has an id and OpenAI's shape, and nothing but plain JSON is read."""

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from harness import (
    ADMIN_KEY,
    MODEL,
    Gateway,
    chat,
    completion,
    events,
    free_port,
    gateway_app,
    gateway_over,
    serving,
)
from tiny import tiny_model

from gateway.backends.embedded.backend import EmbeddedBackend
from gateway.errors import SetupError
from gateway.server.process import check_port

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
SITE = {"origin": "https://app.example"}
GETS = ("/v1/models", f"/v1/models/{MODEL}", "/healthz", "/readyz")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway_over(EmbeddedBackend(tiny_model(), name=MODEL), tmp_path_factory.mktemp("none")) as served:
        yield served


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Web pages may call this one; its model has no chat template."""
    backend = EmbeddedBackend(tiny_model(template=""), name=MODEL)
    packs = tmp_path_factory.mktemp("none")
    with gateway_over(backend, packs, cors_origins="https://app.example, http://localhost:3000/") as served:
        yield served


def ask(gateway: Gateway, method: str, path: str, **options: Any) -> httpx.Response:
    return httpx.request(method, gateway.url + path, timeout=60, **options)


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The error, which must have OpenAI's shape."""
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    error: dict[str, Any] = answer.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert error["message"]
    return error


def test_embeddings_are_closed_in_words(gateway: Gateway) -> None:
    """Whatever the text: a refusal of flagged ones alone would tell which they are."""
    bodies = (orjson.dumps({"model": MODEL, "input": text}) for text in ("Hello", "Who wrote the Harry Potter books?"))
    told = [gateway.post("/v1/embeddings", body) for body in bodies]
    assert [answer.status_code for answer in told] == [404, 404]
    assert told[0].json() == told[1].json()
    assert "embedding server" in error_of(told[0])["message"]


@pytest.mark.parametrize("path", ["/", "/health", "/docs", "/tokenize"])
def test_a_path_that_is_not_served_is_told_with_those_that_are(gateway: Gateway, path: str) -> None:
    answer = ask(gateway, "GET", path)
    assert answer.status_code == 404
    told = error_of(answer)["message"]
    assert told.startswith(f"GET {path} is not served by this gateway, which serves ")
    served = told.partition("which serves ")[2].split(", ")
    posts = ("/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/messages/count_tokens", "/v1/responses")
    gets = ("/v1/models", "/openapi.json", "/healthz", "/readyz", "/metrics")
    assert sorted(served) == sorted([*(f"POST {one}" for one in posts), *(f"GET {one}" for one in gets)])


@pytest.mark.parametrize("path", [CHAT, TEXT, "/v1/messages"])
def test_no_limit_is_told_above_the_models_context(gateway: Gateway, path: str) -> None:
    (model,) = gateway.backend.served.models
    body = {TEXT: completion("Hello")}.get(path, chat("Hello"))
    answer = gateway.post(path, {**body, "max_tokens": 100_000_000})
    assert answer.status_code == 413
    assert answer.json()["error"]["message"] == f"max_tokens is 100000000; the limit is {model.max_tokens}"


class TestIds:
    def test_every_answer_has_a_fresh_id(self, gateway: Gateway) -> None:
        hello = orjson.dumps(chat("Hello", max_tokens=2))
        stream = orjson.dumps(chat("Hello", max_tokens=2, stream=True))
        answers = [
            *(ask(gateway, "GET", path) for path in (*GETS, "/metrics", "/nowhere", CHAT, "/v1/models/other")),
            *(ask(gateway, "HEAD", path) for path in GETS),
            *(ask(gateway, "OPTIONS", path) for path in (CHAT, "/v1/models")),
            *(gateway.post(CHAT, body) for body in (hello, stream, b"{", b"", b" " * 3_000_000)),
            gateway.post("/v1/embeddings", hello),
            ask(gateway, "POST", CHAT, content=b"text"),
        ]
        ids = [answer.headers.get_list("x-request-id") for answer in answers]
        assert all(len(found) == 1 and len(found[0]) == 32 for found in ids)
        assert len({found[0] for found in ids}) == len(ids)

    def test_a_clients_own_id_is_not_taken(self, gateway: Gateway) -> None:
        for body in (orjson.dumps(chat("Hello", max_tokens=1)), b"{"):
            answer = gateway.post(CHAT, body, headers={"x-request-id": "mine"})
            assert "mine" not in answer.headers.get_list("x-request-id")

    def test_a_failure_of_the_gateway_has_an_id_too(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with gateway_over(EmbeddedBackend(tiny_model(), name=MODEL), tmp_path) as broken:

            def fail(*_: object) -> None:
                raise RuntimeError("a bug, about Harry Potter")

            monkeypatch.setattr(type(broken.backend), "generate", fail)
            answer = broken.post(CHAT, chat("Hello"))
        assert answer.status_code == 500
        assert len(answer.headers["x-request-id"]) == 32
        assert "Potter" not in answer.text
        error_of(answer)


def test_at_an_equal_pace_no_answer_begins_early(tmp_path: Path) -> None:
    with gateway_over(EmbeddedBackend(tiny_model(), name=MODEL), tmp_path, equal_pace_ms=300) as gateway:
        for body in (chat("Hello", max_tokens=1), chat("Hello", max_tokens=1, stream=True), chat("Hello", model="no")):
            begun = time.perf_counter()
            with httpx.stream("POST", gateway.url + CHAT, json=body, timeout=60) as answer:
                assert time.perf_counter() - begun >= 0.3
                assert answer.status_code == (404 if body["model"] == "no" else 200)


@pytest.mark.parametrize("pace", ["own", "equal"])
def test_the_pace_changes_no_byte_but_when_it_goes(tmp_path: Path, pace: str) -> None:
    body = chat("Hello", max_tokens=6, temperature=0, logprobs=True, top_logprobs=2)
    with gateway_over(EmbeddedBackend(tiny_model(), name=MODEL), tmp_path, pace=pace) as gateway:
        whole = gateway.post(CHAT, body).json()["choices"][0]
        counted = {"stream": True, "stream_options": {"include_usage": True}}
        streamed = events(gateway.post(CHAT, {**body, **counted}))
        failed = gateway.post(CHAT, {**body, "max_tokens": 30_000})
    choices = [choice for event in streamed for choice in event["choices"]]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == whole["message"]["content"]
    assert [c["finish_reason"] for c in choices if c["finish_reason"]] == [whole["finish_reason"]]
    assert sum(len((choice["logprobs"] or {}).get("content") or ()) for choice in choices) == 6
    assert streamed[-1]["usage"]["completion_tokens"] == 6
    assert failed.status_code == 400


class TestPaths:
    @pytest.mark.parametrize("path", [CHAT, TEXT])
    def test_a_slash_at_the_end_is_no_other_path(self, gateway: Gateway, path: str) -> None:
        body = chat("Hello", max_tokens=1) if path == CHAT else completion("Hello", max_tokens=1)
        answers = [gateway.post(path + end, body) for end in ("", "/", "//")]
        assert [answer.status_code for answer in answers] == [200] * 3

    def test_one_model(self, gateway: Gateway) -> None:
        (listed,) = ask(gateway, "GET", "/v1/models").json()["data"]
        assert ask(gateway, "GET", f"/v1/models/{MODEL}").json() == listed
        assert gateway.openai.models.retrieve(MODEL).id == MODEL

    @pytest.mark.parametrize("name", ["gpt-9", "org/model", "smollm2-lora", "%00", "smollm2%2Fx"])
    def test_another_model(self, gateway: Gateway, name: str) -> None:
        answer = ask(gateway, "GET", f"/v1/models/{name}")
        assert answer.status_code == 404
        error = error_of(answer)
        assert (error["code"], error["param"]) == ("model_not_found", "model")

    @pytest.mark.parametrize("path", GETS)
    def test_head_is_get_without_a_body(self, gateway: Gateway, path: str) -> None:
        head, get = ask(gateway, "HEAD", path), ask(gateway, "GET", path)
        assert (head.status_code, head.content) == (get.status_code, b"")

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("GET", CHAT, {"POST", "OPTIONS"}),
            ("DELETE", TEXT, {"POST", "OPTIONS"}),
            ("PUT", "/v1/models", {"GET", "HEAD", "OPTIONS"}),
            ("POST", "/v1/models/x", {"GET", "HEAD", "OPTIONS"}),
        ],
    )
    def test_another_method(self, gateway: Gateway, method: str, path: str, allowed: set[str]) -> None:
        answer = ask(gateway, method, path)
        assert answer.status_code == 405
        assert set(answer.headers["allow"].split(", ")) == allowed
        assert error_of(answer)["code"] == "method_not_allowed"
        options = ask(gateway, "OPTIONS", path)
        assert (options.status_code, options.content) == (204, b"")
        assert set(options.headers["allow"].split(", ")) == allowed

    def test_options_of_no_path(self, gateway: Gateway) -> None:
        assert ask(gateway, "OPTIONS", "/nowhere").status_code == 404

    def test_metrics_without_the_key(self, gateway: Gateway) -> None:
        answer = ask(gateway, "GET", "/metrics")
        assert answer.status_code == 401
        error_of(answer)
        assert ask(gateway, "GET", "/metrics", headers={"x-unrecall-admin-key": ADMIN_KEY}).status_code == 200


class TestBodies:
    @pytest.mark.parametrize(
        "headers",
        [
            {"content-encoding": "gzip"},
            {"content-encoding": "br, identity"},
            {"content-encoding": "Zstd"},
            {"content-type": "text/plain"},
            {"content-type": "application/x-www-form-urlencoded"},
            {"content-type": "multipart/form-data; boundary=application/json"},
            {"content-type": "application/json; charset=utf-16"},
            {"content-type": ""},
        ],
    )
    def test_a_body_that_is_not_plain_json_is_refused(self, gateway: Gateway, headers: dict[str, str]) -> None:
        for path in (CHAT, TEXT):
            answer = gateway.post(path, chat("Hello"), headers=headers)
            assert answer.status_code == 415
            assert error_of(answer)["code"] == "unsupported_media_type"

    @pytest.mark.parametrize(
        "headers",
        [
            {"content-encoding": "identity"},
            {"content-type": "Application/JSON"},
            {"content-type": "application/json; charset=UTF-8"},
            {"content-type": 'application/json;charset="utf-8"'},
        ],
    )
    def test_plain_json_by_any_name(self, gateway: Gateway, headers: dict[str, str]) -> None:
        assert gateway.post(CHAT, chat("Hello", max_tokens=1), headers=headers).status_code == 200

    @pytest.mark.parametrize("path", [CHAT, TEXT, "/v1/messages", "/v1/messages/count_tokens", "/v1/responses"])
    def test_a_mark_in_front_of_the_body_is_let_be(self, gateway: Gateway, path: str) -> None:
        counted = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
        body: dict[str, Any] = {
            TEXT: completion("Hello", max_tokens=1),
            "/v1/messages/count_tokens": counted,
            "/v1/responses": {"model": MODEL, "input": "Hello", "max_output_tokens": 16},
        }.get(path, {**counted, "max_tokens": 1})
        headers = {"content-type": "application/json"}
        for marks, status in ((1, 200), (2, 400)):
            content = b"\xef\xbb\xbf" * marks + orjson.dumps(body)
            assert ask(gateway, "POST", path, content=content, headers=headers).status_code == status

    def test_a_length_that_is_none(self, tmp_path: Path) -> None:
        """A server in front may let it through."""
        app = gateway_app(EmbeddedBackend(tiny_model(), name=MODEL), tmp_path)

        async def status(length: bytes) -> int:
            sent: list[Any] = []

            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": b"{}", "more_body": False}

            async def send(message: Any) -> None:
                sent.append(message)

            headers = [(b"content-type", b"application/json"), (b"content-length", length)]
            scope = {
                "type": "http",
                "method": "POST",
                "path": CHAT,
                "raw_path": CHAT.encode(),
                "query_string": b"",
                "headers": headers,
                "client": ("127.0.0.1", 1),
            }
            await app({**scope, "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http"}, receive, send)
            return int(sent[0]["status"])

        lengths = {b"abc": 400, b"-5": 400, b"1e3": 400, b"\xb2": 400, b"": 400, b"9" * 5000: 413, b"9999999": 413}
        assert {length: asyncio.run(status(length)) for length in lengths} == lengths


class TestPages:
    """Requests from web pages (CORS)."""

    def test_none_may_call_unless_it_is_set(self, gateway: Gateway) -> None:
        asked = {**SITE, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        assert "access-control-allow-origin" not in ask(gateway, "OPTIONS", CHAT, headers=asked).headers
        answer = gateway.post(CHAT, chat("Hello", max_tokens=1), headers=SITE)
        assert "access-control-allow-origin" not in answer.headers

    def test_a_page_that_may(self, other: Gateway) -> None:
        asked = {
            **SITE,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization, content-type, x-stainless-os",
        }
        preflight = ask(other, "OPTIONS", TEXT, headers=asked)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == SITE["origin"]
        assert "x-stainless-os" in preflight.headers["access-control-allow-headers"]
        for body in (completion("Hello", max_tokens=1), completion("Hello", max_tokens=1, stream=True), {}):
            answer = other.post(TEXT, body, headers=SITE)
            assert answer.headers["access-control-allow-origin"] == SITE["origin"]
            assert answer.headers["access-control-expose-headers"] == "x-request-id"
            assert answer.headers["x-request-id"]

    def test_a_page_that_may_not(self, other: Gateway) -> None:
        asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
        preflight = ask(other, "OPTIONS", TEXT, headers=asked)
        assert preflight.status_code == 400
        assert "access-control-allow-origin" not in preflight.headers


def test_a_start_without_any_pack_says_that_nothing_is_guarded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(gateway_app(EmbeddedBackend(tiny_model(), name=MODEL), tmp_path)):
        assert "no pack is in force: nothing is guarded" in caplog.text


class TestNoChatTemplate:
    def test_a_chat_is_a_400_that_says_so(self, other: Gateway) -> None:
        for stream in (False, True):
            answer = other.post(CHAT, chat("Hello", stream=stream))
            assert answer.status_code == 400
            assert "no chat template" in error_of(answer)["message"]

    def test_a_completion_is_served(self, other: Gateway) -> None:
        assert other.post(TEXT, completion("Hello", max_tokens=1)).status_code == 200

    def test_it_is_said_at_the_start(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with serving(gateway_app(EmbeddedBackend(tiny_model(template=""), name=MODEL), tmp_path)):
            assert "no chat template" in caplog.text
        caplog.clear()
        with serving(gateway_app(EmbeddedBackend(tiny_model(), name=MODEL), tmp_path)):
            assert "no chat template" not in caplog.text

    def test_one_that_cannot_be_used_is_no_failure(self, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
        def unusable(*_: object, **__: object) -> str:
            raise ValueError("'wizard' is undefined")

        monkeypatch.setattr(gateway.backend.served.tokenizer, "apply_chat_template", unusable)
        answer = gateway.post(CHAT, chat("Hello, you who never came before"))
        assert answer.status_code == 400
        assert "chat template" in error_of(answer)["message"]


class TestPorts:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "::"])
    def test_a_free_one(self, host: str) -> None:
        if ":" in host and not _has_ipv6():
            pytest.skip("no IPv6 here")
        check_port(host, free_port())

    @pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1:"), ("::1", r"\[::1\]:")])
    def test_a_taken_one(self, host: str, shown: str) -> None:
        if ":" in host and not _has_ipv6():
            pytest.skip("no IPv6 here")
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as taken:
            taken.bind((host, 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(SetupError, match=f"cannot listen on {shown}{port}"):
                check_port(host, port)

    @pytest.mark.parametrize("host", ["no.such.host.invalid", "a..b", "x" * 300, "1.2.3.4.5"])
    def test_no_host(self, host: str) -> None:
        with pytest.raises(SetupError, match="cannot listen on"):
            check_port(host, 8000)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as listener:
            listener.bind(("::1", 0))
    except OSError:
        return False
    return True
