"""A flagged request is judged by the upstream itself: its own words, its own reading of the prompt."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest
from stub_transport import Stubbed
from stub_vllm import URL, Bytes, StubVllm, always, error_answer, request_of

from gateway.backends.vllm.client import Upstream
from gateway.backends.vllm.verdict import verdict
from gateway.core import Request
from gateway.errors import UpstreamError, UpstreamRefused

CHAT_EVENT = {"choices": [{"index": 0, "delta": {"role": "assistant"}}], "prompt_token_ids": [2, 3, 4]}
TEXT_EVENT = {"choices": [{"index": 0, "text": "Ada", "prompt_token_ids": [2, 3, 4]}]}


@asynccontextmanager
async def upstream(stub: StubVllm) -> AsyncIterator[Upstream]:
    made = Upstream(URL, Stubbed(stub), api_key=None)
    try:
        yield made
    finally:
        await made.aclose()


def judged(request: Request, response: httpx.Response) -> tuple[StubVllm, tuple[int, ...]]:
    stub = StubVllm(judges=False)
    stub.override = always(lambda: response)

    async def run() -> tuple[int, ...]:
        async with upstream(stub) as asked:
            return await verdict(asked, request)

    return stub, asyncio.run(run())


def events(*payloads: Any) -> Bytes:
    return Bytes(*(b"data: " + orjson.dumps(payload) + b"\n\n" for payload in payloads))


@pytest.mark.parametrize(("endpoint", "event"), [("chat", CHAT_EVENT), ("completions", TEXT_EVENT)])
def test_the_prompt_is_the_upstreams_own(endpoint: Any, event: Any) -> None:
    body = events(event, event)
    _, ids = judged(request_of("who was Ada", endpoint=endpoint), httpx.Response(200, stream=body))
    assert ids == (2, 3, 4)
    assert body.closed, "the generation goes on"


def test_the_request_is_asked_as_the_client_sent_it() -> None:
    request = request_of("who was Ada", stream=True, usage=True)
    stub, _ = judged(request, httpx.Response(200, stream=events(CHAT_EVENT)))
    (asked,) = stub.bodies
    expected = {**orjson.loads(request.raw), "stream": True, "return_token_ids": True}
    del expected["stream_options"]
    assert asked == expected


def test_a_refusal_travels_in_its_own_words() -> None:
    with pytest.raises(UpstreamRefused, match=r"^n must be 1 when using greedy sampling, got 2\.$") as error:
        judged(request_of(), error_answer(400, "n must be 1 when using greedy sampling, got 2."))
    assert error.value.status == 400


def test_a_refusal_that_comes_as_an_event() -> None:
    said = {"error": {"message": "token id 99 is out of range", "type": "BadRequestError", "param": None, "code": 400}}
    with pytest.raises(UpstreamRefused, match="out of range"):
        judged(request_of(), httpx.Response(200, stream=events(said)))


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(500),
        httpx.Response(200, stream=events({"error": {"message": "engine dead", "code": 500}})),
        httpx.Response(200, stream=events({"error": {"message": "engine dead"}})),
        httpx.Response(200, stream=events({"choices": []})),
        httpx.Response(200, stream=events({"choices": [{"prompt_token_ids": None}]})),
        httpx.Response(200, stream=Bytes(b"data: {\n\n")),
        httpx.Response(200, stream=Bytes()),
        httpx.Response(200, stream=Bytes(b"data: [DONE]\n\n")),
    ],
)
def test_an_upstream_that_fails_judges_nothing(response: httpx.Response) -> None:
    with pytest.raises(UpstreamError):
        judged(request_of(), response)
