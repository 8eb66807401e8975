"""The vLLM backend against a stub of vLLM: plans, faults, closing. What a real one shows is in tests/contracts."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import torch
from stub_loras import error_answer
from stub_vllm import (
    CONTEXT,
    TOKENIZER,
    URL,
    WEIGHT,
    Bytes,
    StubVllm,
    always,
    backend,
    corrupt,
    embeddings_of,
    events_of,
    failing,
    generated,
    json_answer,
    parts_from,
    request_of,
    text_of,
    whole_answer,
    written,
)

from gateway.backends.vllm.complaints import complaint
from gateway.core import DEFAULT_REFUSAL, Endpoint, Instruct, Message, Pass, Plan, Request, Sampling, Usage
from gateway.errors import AnswerError, UpstreamError, UpstreamRefused, UpstreamTimeout
from gateway.prompts.rendering import count_tokens, render


class TestStart:
    def test_offers_base_models_only(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with backend(StubVllm(), adapters_folder=tmp_path) as served:
                assert [(card.id, card.max_tokens) for card in served.served.models] == [("tiny", CONTEXT)]
                assert served.served.unsupported_needs.keys() == {"logits"}
                assert served.served.vocabulary == len(WEIGHT)
                assert await served.problem() is None

        asyncio.run(run())

    @pytest.mark.parametrize(
        ("stub", "words"),
        [
            (StubVllm(embeds=False), "--enable-prompt-embeds"),
            (StubVllm(logprob=-7.0), "another model"),
            (StubVllm(extra_tokens=1), "chat template"),
        ],
    )
    def test_says_why_it_cannot_corrupt(self, stub: StubVllm, words: str) -> None:
        async def run() -> str:
            async with backend(stub) as served:
                return served.served.unsupported_needs["prompt_embeds"]

        assert words in asyncio.run(run())

    @pytest.mark.parametrize(
        "answer",
        [
            failing(httpx.ConnectError("refused")),
            failing(httpx.ConnectTimeout("slow")),
            always(lambda: httpx.Response(200, text="<html>")),
            always(lambda: json_answer({"data": []})),
            always(lambda: json_answer({"data": [{"id": "x"}]})),
            always(lambda: httpx.Response(401, json={"error": "Unauthorized"})),
        ],
    )
    def test_names_the_url_if_there_is_no_usable_server(
        self, answer: Callable[[httpx.Request], Awaitable[httpx.Response]]
    ) -> None:
        stub = StubVllm()
        stub.override = answer

        async def run() -> None:
            async with backend(stub):
                pass

        with pytest.raises(UpstreamError, match=URL):
            asyncio.run(run())

    def test_a_server_that_comes_back_is_probed_again(self) -> None:
        stub = StubVllm()

        async def run() -> None:
            async with backend(stub) as served:
                stub.override = failing(httpx.ConnectError("refused"))
                with pytest.raises(UpstreamError):
                    await parts_from(served, request_of(), Pass())
                assert await served.problem() == "the model server cannot be reached"
                stub.override, stub.embeds = None, False
                assert await served.problem() is None
                assert "prompt_embeds" in served.served.unsupported_needs

        asyncio.run(run())


class TestPass:
    def test_body_and_answer_travel_unchanged(self) -> None:
        stub, request = StubVllm(), request_of()
        chunks = generated(stub, request, Pass())
        (sent,) = stub.requests
        assert sent.content == request.raw
        assert sent.url == f"{URL}/v1/chat/completions"
        assert sent.headers["authorization"] == "Bearer up-key"
        assert len(sent.headers["x-request-id"]) == 16
        (answer,) = chunks
        assert isinstance(answer, bytes)
        assert orjson.loads(answer)["choices"][0]["message"]["reasoning"] == "thinking"

    def test_stream_travels_as_it_comes(self) -> None:
        stub = StubVllm()
        pieces = [b'data: {"x": 1}\n\nda', b"ta: [DO", b"NE]\n\n"]
        stub.override = always(lambda: httpx.Response(200, stream=Bytes(*pieces)))
        chunks = generated(stub, request_of(endpoint="completions", stream=True), Pass())
        assert chunks == [b'data: {"x": 1}\n\n', b"data: [DONE]\n\n"]  # a line that may be an error waits for its end

    @pytest.mark.parametrize("plan", [Pass(), corrupt(), Instruct("know not")])
    @pytest.mark.parametrize("end", [(), (httpx.ReadError("reset"),), (httpx.RemoteProtocolError("cut"),)])
    def test_a_stream_that_breaks_off_is_an_error(self, plan: Plan, end: tuple[Exception, ...]) -> None:
        stub = StubVllm()
        first = events_of(True, {}, 3, False)[1]
        stub.override = always(lambda: httpx.Response(200, stream=Bytes(first, *end)))
        with pytest.raises(UpstreamError, match="broke off") as raised:
            generated(stub, request_of(stream=True), plan)
        assert raised.value.status == 502

    def test_closing_lets_go_of_the_upstream(self) -> None:
        stub, body = StubVllm(), Bytes(b"data: 1\n\n", b"data: 2\n\n", b"data: [DONE]\n\n")

        async def run() -> None:
            async with backend(stub) as served:
                stub.override = always(lambda: httpx.Response(200, stream=body))
                async with aclosing(served.generate(request_of(stream=True), Pass())) as events:
                    await anext(events)
                    assert not body.closed
                assert body.closed

        asyncio.run(run())


class TestFaults:
    @pytest.mark.parametrize(
        ("answer", "kind", "status"),
        [
            (failing(httpx.ConnectError("refused")), UpstreamError, 502),
            (failing(httpx.ReadTimeout("slow")), UpstreamTimeout, 504),
            (failing(httpx.ConnectTimeout("slow")), UpstreamTimeout, 504),
            (always(lambda: httpx.Response(401, json={"error": "Unauthorized"})), UpstreamError, 502),
            (always(lambda: httpx.Response(403, text="no")), UpstreamError, 502),
            (always(lambda: error_answer(500, "secret words")), UpstreamError, 502),
            (always(lambda: error_answer(404, "The model `x` does not exist.")), UpstreamRefused, 404),
        ],
    )
    @pytest.mark.parametrize("plan", [Pass(), corrupt(), Instruct("know not")])
    def test_each_is_an_error_of_ours(
        self,
        answer: Callable[[httpx.Request], Awaitable[httpx.Response]],
        kind: type[AnswerError],
        status: int,
        plan: Plan,
    ) -> None:
        stub = StubVllm()
        stub.override = answer
        with pytest.raises(kind) as raised:
            generated(stub, request_of(), plan)
        assert type(raised.value) is kind
        assert raised.value.status == status
        assert "secret" not in raised.value.message
        assert raised.value.body()["error"]["code"] is None or isinstance(raised.value.code, str)

    @pytest.mark.parametrize(
        ("body", "message", "param"),
        [
            (b'{"error":{"message":"m","type":"BadRequestError","param":"p","code":400}}', "m", "p"),
            (b'{"object":"error","message":"m","type":"BadRequestError","param":null,"code":400}', "m", None),
            (b'{"detail":"m"}', "m", None),
            (b'{"error":"m"}', "m", None),
            (b'{"detail":[{"loc":["body"]}]}', UpstreamRefused.without_words(400).message, None),
            (b"<html>", UpstreamRefused.without_words(400).message, None),
            (b"[]", UpstreamRefused.without_words(400).message, None),
        ],
    )
    def test_complaints_of_every_shape(self, body: bytes, message: str, param: str | None) -> None:
        refused = complaint(400, body)
        error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
        assert refused.body() == {"error": error}

    def test_one_in_an_event_tells_untouched_and_planned_requests_the_same(self) -> None:
        """vLLM says so under a 200, before the first token or behind some, in any pieces."""
        error = {"message": "n must be 1", "type": "BadRequestError", "param": "n", "code": 400}
        event = b"data: " + orjson.dumps({"error": error}) + b"\n\ndata: [DONE]\n\n"
        first = events_of(False, {}, 3, True)[0]
        for data in (event, first + event):
            for size in (7, 10_000):
                pieces = [data[at : at + size] for at in range(0, len(data), size)]
                stub = StubVllm()
                stub.override = always(partial(httpx.Response, 200, stream=Bytes(*pieces)))
                said = []
                for plan in (Pass(), corrupt()):
                    with pytest.raises(UpstreamRefused) as raised:
                        generated(stub, request_of(stream=True), plan)
                    said.append(raised.value.body())
                assert said[0] == said[1]
                assert said[0]["error"]["message"] == "n must be 1"

    @pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"error": {"message": "m"}}', b'{"choices": [{}]}'])
    def test_an_answer_out_of_shape_is_an_error(self, body: bytes) -> None:
        stub = StubVllm()
        stub.override = always(lambda: httpx.Response(200, content=body))
        with pytest.raises(UpstreamError):
            generated(stub, request_of(), corrupt())


class TestCorrupt:
    @pytest.mark.parametrize("endpoint", ["chat", "completions"])
    @pytest.mark.parametrize(("stream", "usage"), [(False, False), (True, False), (True, True)])
    @pytest.mark.parametrize("logprobs", [None, 0, 1])
    def test_reads_like_an_untouched_answer(
        self, endpoint: Endpoint, stream: bool, usage: bool, logprobs: int | None
    ) -> None:
        sampling = Sampling(max_tokens=2, logprobs=logprobs)
        request = request_of(endpoint=endpoint, stream=stream, usage=usage, sampling=sampling)

        def keys(answer: bytes) -> list[Any]:
            payloads = answer.decode().removesuffix("data: [DONE]\n\n").split("\n\n")
            return [shape(orjson.loads(data.removeprefix("data: "))) for data in payloads if data]

        def shape(value: Any) -> Any:
            if isinstance(value, dict):
                return [(key, key not in ("bytes", "text_offset") and shape(value[key])) for key in value]
            return [shape(item) for item in value] if isinstance(value, list) else type(value).__name__

        corrupted, untouched = (
            keys(written(StubVllm(), request, corrupt())),
            keys(written(StubVllm(), request, Pass())),
        )
        for answer in (corrupted, untouched):  # the stub's model thinks aloud; the gateway leaves that out
            answer[:] = orjson.loads(orjson.dumps(answer).replace(b'["reasoning","str"]', b'["reasoning","NoneType"]'))
        assert corrupted == untouched

    def test_sends_the_requested_answer(self) -> None:
        stub = StubVllm()
        sampling = Sampling(
            temperature=0.5,
            top_p=0.9,
            n=2,
            stop=("x",),
            seed=3,
            logprobs=1,
            frequency_penalty=0.1,
            presence_penalty=0.2,
        )
        generated(stub, request_of(stream=True, sampling=sampling), corrupt((4, 7), (8, 11), strength=0.0))
        (body,) = stub.bodies
        sent = embeddings_of(body)
        ids = TOKENIZER(TOKENIZER.apply_chat_template([{"role": "user", "content": "who was Ada"}], tokenize=False))
        assert torch.equal(sent, WEIGHT[torch.tensor(ids["input_ids"])])
        del body["prompt_embeds"]
        assert body == {
            "model": "tiny",
            "max_tokens": CONTEXT - len(sent),
            "temperature": 0.5,
            "top_p": 0.9,
            "n": 2,
            "stop": ["x"],
            "seed": 3,
            "logprobs": 1,
            "frequency_penalty": 0.1,
            "presence_penalty": 0.2,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    def test_a_completion_leaves_its_length_to_vllm(self) -> None:
        stub = StubVllm()
        generated(stub, request_of(endpoint="completions", sampling=Sampling()), corrupt())
        assert "max_tokens" not in stub.bodies[0]

    def test_only_the_edited_tokens_change(self) -> None:
        stub = StubVllm()
        generated(stub, request_of(endpoint="completions"), corrupt((8, 11)))
        same = (embeddings_of(stub.bodies[0]) == WEIGHT[torch.tensor(TOKENIZER("who was Ada")["input_ids"])]).all(dim=1)
        assert same.tolist() == [True, True, False]

    def test_too_long_a_prompt_is_refused_before_it_is_sent(self) -> None:
        stub = StubVllm()
        with pytest.raises(UpstreamRefused, match="maximum context length is 64 tokens") as raised:
            generated(stub, request_of("Ada " * 100), corrupt((0, 3)))
        assert raised.value.param == "input_tokens"
        assert stub.requests == []

    def test_a_prompt_that_cannot_be_corrupted_is_refused(self) -> None:
        """By an upstream that takes no embeddings from the start."""
        stub = StubVllm(embeds=False)
        assert text_of(generated(stub, request_of(sampling=Sampling()), corrupt())) == DEFAULT_REFUSAL
        assert stub.requests == []

    def test_if_no_edit_meets_a_token_all_of_the_text_is_corrupted(self) -> None:
        stub = StubVllm()
        generated(stub, request_of(), corrupt((50, 60)))
        ids = render(TOKENIZER, request_of()).ids
        same = (embeddings_of(stub.bodies[0]) == WEIGHT[torch.tensor(ids)]).all(dim=1)
        assert same.tolist() == [True, True, False, False, False, True, True]  # user : who was Ada user :

    def test_a_complaint_about_embeddings_becomes_a_refusal(self) -> None:
        stub = StubVllm()
        stub.override = always(lambda: error_answer(400, "You must set `--enable-prompt-embeds`"))
        request = request_of(stream=True, sampling=Sampling())
        assert text_of(generated(stub, request, corrupt())) == DEFAULT_REFUSAL

    def test_events_may_come_in_any_pieces(self) -> None:
        stub = StubVllm()
        first, *rest = events_of(False, {}, 3, True)
        data = (
            first.replace(b"Ada", "Ada\u2028é".encode()).replace(b"\n", b"\r\n") + b"".join(rest) + b"data: [DONE]\n\n"
        )
        pieces = [data[i : i + 7] for i in range(0, len(data), 7)]
        stub.override = always(lambda: httpx.Response(200, stream=Bytes(*pieces)))
        chunks = generated(stub, request_of(stream=True), corrupt())
        assert text_of(chunks) == "Ada\u2028é was"
        assert chunks[-1] == Usage(count_tokens(TOKENIZER, request_of()), 2)


class TestInstruct:
    @pytest.mark.parametrize("stream", [False, True])
    def test_goes_in_front_and_leaves_no_trace_in_the_usage(self, stream: bool) -> None:
        stub, request = StubVllm(), request_of(stream=stream)
        chunks = generated(stub, request, Instruct("know not"))
        assert stub.bodies[0]["messages"] == [
            {"role": "system", "content": "know not"},
            {"role": "user", "content": "who was Ada"},
        ]
        assert text_of(chunks) == "Ada was"
        assert chunks[-1] == Usage(count_tokens(TOKENIZER, request), 2)

    @pytest.mark.parametrize(
        ("content", "merged"),
        [
            ("be kind", "know not\n\nbe kind"),
            ([{"type": "text", "text": "be kind"}], "know not\n\nbe kind"),
        ],
    )
    def test_joins_a_system_message(self, content: Any, merged: Any) -> None:
        stub = StubVllm()
        stub.override = always(lambda: json_answer(whole_answer(True, {}, 1, 0.0)))
        messages = (Message("system", "be kind"), Message("user", "who"))
        raw = {
            "model": "tiny",
            "messages": [{"role": "system", "content": content}, {"role": "user", "content": "who"}],
        }
        generated(stub, Request("r", "chat", "tiny", messages, raw=orjson.dumps(raw)), Instruct("know not"))
        assert stub.bodies[0]["messages"] == [{"role": "system", "content": merged}, raw["messages"][1]]

    def test_stands_before_a_completion(self) -> None:
        stub = StubVllm()
        generated(stub, request_of(endpoint="completions"), Instruct("know not"))
        assert stub.bodies[0]["prompt"] == "know not\n\nwho was Ada"
