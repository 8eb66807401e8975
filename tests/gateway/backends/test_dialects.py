"""A request in Anthropic's format before upstreams that speak it and before those that do not."""

import asyncio
from dataclasses import replace

import httpx
import orjson
import pytest
from stub_vllm import Bytes, StubVllm, always, backend, corrupt, request_of

from gateway.core import Event, Pass, Plan, Request
from gateway.errors import UpstreamError
from gateway.openai_format.messages.answer import MessageEncoder

NATIVE = b'{ "model":"tiny", "max_tokens":2, "messages":[{"role":"user","content":"who was Ada"}] }'


BROKEN = b'event: ping\ndata: {"type":"ping"}\n\n'


def asked(*, stream: bool = False) -> Request:
    native = NATIVE.replace(b"{ ", b'{ "stream":true, ') if stream else NATIVE
    return replace(request_of(stream=stream, usage=stream), dialect="messages", native=native)


def answered(stub: StubVllm, request: Request, plan: Plan, *, broken: bool = False) -> tuple[list[Event], bytes]:
    """The events, and what the client gets of them."""

    async def run() -> tuple[list[Event], bytes]:
        async with backend(stub) as served:
            stub.requests.clear()
            if broken:
                stub.override = always(lambda: httpx.Response(200, stream=Bytes(BROKEN)))
            encoder = MessageEncoder(request, served.message_shape)
            events = [event async for event in served.generate(request, plan)]
            if not request.stream:

                async def again() -> object:
                    for event in events:
                        yield event

                return events, await encoder.collect(again())  # type: ignore[arg-type]
            return events, b"".join([*map(encoder.encode, events), encoder.ending()])

    return asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_that_speaks_it_gets_the_request_as_it_came(stream: bool) -> None:
    stub = StubVllm(messages=True)
    events, body = answered(stub, asked(stream=stream), Pass())
    (sent,) = stub.requests
    assert (sent.url.path, sent.content) == ("/v1/messages", asked(stream=stream).native)
    assert body == b"".join(event.data or b"" for event in events)
    assert "".join(delta.text for event in events for delta in event.deltas) == "Ada was"


@pytest.mark.parametrize("stream", [False, True])
def test_another_is_asked_a_chat(stream: bool) -> None:
    stub = StubVllm()
    request = asked(stream=stream)
    events, body = answered(stub, request, Pass())
    (sent,) = stub.requests
    assert sent.url.path == "/v1/chat/completions"
    assert orjson.loads(sent.content)["messages"] == orjson.loads(request.raw)["messages"]
    assert all(event.data is None for event in events)
    assert b'"text":"Ada was"' in body or (b'"text":"Ada"' in body and b'"text":" was"' in body)
    assert b"msg_" in body


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("messages", [False, True])
def test_a_planned_answer_has_the_look_of_the_upstreams(messages: bool, stream: bool) -> None:
    stub = StubVllm(messages=messages)
    _, body = answered(stub, asked(stream=stream), corrupt())
    assert [request.url.path for request in stub.requests] == ["/v1/completions"]
    assert (b'"id":"chatcmpl-' in body) == messages
    assert (b"cache_read_input_tokens" in body) == (not messages)
    assert b"Ada" in body


def test_a_stream_without_its_end_is_an_error() -> None:
    with pytest.raises(UpstreamError):
        answered(StubVllm(messages=True), asked(stream=True), Pass(), broken=True)
