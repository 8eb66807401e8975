"""A refusal's logprobs are a model's: those of the served model's own answers, and no client's prompt in them."""

import asyncio
import math
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_model, tiny_tokenizer

from gateway.backends.embedded.backend import EmbeddedBackend
from gateway.backends.voice import Voice
from gateway.core import Delta, Endpoint, Event, Message, Pass, Plan, Refuse, Request, Sampling, TokenLogprob
from gateway.errors import UpstreamError

TOKENIZER = tiny_tokenizer()
TEXT = "I would rather not say."
SECRET = "Who wrote the Harry Potter books?"


def request_of(text: str = SECRET, endpoint: Endpoint = "chat", **sampling: Any) -> Request:
    role = "user" if endpoint == "chat" else "prompt"
    return Request("1", endpoint, "tiny", (Message(role, text),), Sampling(**sampling), stream=True)


def told(*requests: Request, plan: Plan | None = None) -> list[list[TokenLogprob]]:
    """The logprobs of each answer, one model for all."""

    async def run() -> list[list[TokenLogprob]]:
        async with EmbeddedBackend(tiny_model(), name="tiny") as served:
            found = []
            for request in requests:
                events = served.generate(request, plan or Refuse(TEXT))
                found.append([one async for e in events for delta in e.deltas for one in delta.logprobs])
            return found

    return asyncio.run(run())


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
@pytest.mark.parametrize("temperature", [0.0, 1e-9, 0.001, 0.7, 1.0, None])
@pytest.mark.parametrize("asked", [0, 2, 20])
def test_every_token_has_the_numbers_of_a_model(endpoint: Endpoint, temperature: float | None, asked: int) -> None:
    request = request_of(endpoint=endpoint, temperature=temperature, logprobs=asked, max_tokens=40)
    (found,) = told(request)
    assert "".join(one.token for one in found[:-1]) == TEXT
    for one in found:
        assert math.isfinite(one.logprob)
        assert one.logprob < 0
        values = [value for _, value in one.top]
        assert [word for word, _ in one.top].count(one.token) <= 1
        assert math.fsum(map(math.exp, values)) <= 1 + 1e-6
        assert len(values) in (asked, asked + (endpoint == "completions"))
        if temperature == 0 and asked:
            assert one.top[0] == (one.token, one.logprob)
            assert values == sorted(values, reverse=True)


def test_numbers_are_spread_as_those_of_passing_answers() -> None:
    """Of a random model, whose tokens are all about as likely: no refusal is more certain than its answers."""
    questions = [f"Who wrote book {number}?" for number in range(12)]
    asked = [request_of(text, temperature=0.0, logprobs=5, max_tokens=6) for text in questions]
    refused, passed = told(*asked), told(*asked, plan=Pass())
    mean = [math.fsum(one.logprob for of in found for one in of) / sum(map(len, found)) for found in (refused, passed)]
    assert mean[0] == pytest.approx(mean[1], rel=0.15)


def test_greedy_answers_repeat_and_others_do_not() -> None:
    greedy, seeded = (request_of(logprobs=2, **how) for how in ({"temperature": 0.0}, {"seed": 3}))
    other = request_of("Who wrote Emma?", temperature=0.0, logprobs=2)
    free = request_of(logprobs=2)
    first, again, by_seed, by_seed_again, elsewhere, drawn, anew = told(
        greedy, greedy, seeded, seeded, other, free, free
    )
    assert first == again
    assert by_seed == by_seed_again
    assert first != elsewhere
    assert drawn != anew


def test_the_choices_of_one_request_are_not_alike() -> None:
    (found,) = told(request_of(logprobs=2, n=2, seed=1, temperature=1.0))
    assert found[0::2] != found[1::2]


class Listener:
    """Notes what the model is asked."""

    def __init__(self) -> None:
        self.asked: list[Request] = []

    async def generate(self, request: Request, plan: Plan) -> AsyncGenerator[Event, None]:
        self.asked.append(request)
        top = tuple((f"w{rank}", -0.5 - rank) for rank in range(request.sampling.logprobs or 0))
        yield Event.of(Delta(0, "w0", tuple(TokenLogprob("w0", -0.5, top) for _ in range(3))))


def test_the_model_is_asked_once_and_never_what_a_client_asked() -> None:
    model = Listener()

    async def run() -> None:
        voice = Voice(model.generate, TOKENIZER, lambda: "tiny")
        for text in (SECRET, "Who is Hermione?"):
            await voice.logprobs(request_of(text, logprobs=1), ["No", ".", "<|im_end|>"], 0)

    asyncio.run(run())
    said = [message.text for request in model.asked for message in request.messages]
    assert len(said) == 12 + 3
    assert not [text for text in said if "Potter" in text or "Hermione" in text]


def test_a_model_that_cannot_be_asked_fails_as_an_answer_of_it_would() -> None:
    async def broken(_: Request, __: Plan) -> AsyncGenerator[Event, None]:
        raise UpstreamError("it is down")
        yield

    voice = Voice(broken, TOKENIZER, lambda: "tiny")
    with pytest.raises(UpstreamError):
        asyncio.run(voice.logprobs(request_of(logprobs=1), ["No", "<|im_end|>"], 0))


def test_a_model_without_logprobs_fails_in_words_of_its_own() -> None:
    async def silent(_: Request, __: Plan) -> AsyncGenerator[Event, None]:
        yield Event.of(Delta(0, "Hello", finish_reason="stop"))

    voice = Voice(silent, TOKENIZER, lambda: "tiny")
    with pytest.raises(UpstreamError, match="no logprobs"):
        asyncio.run(voice.logprobs(request_of(logprobs=1), ["No", "<|im_end|>"], 0))


def test_a_refusal_is_as_sure_as_what_has_passed_lately() -> None:
    model = Listener()

    async def passing(sure: float) -> AsyncGenerator[Event, None]:
        yield Event.of(Delta(0, "w", (TokenLogprob("w", sure, (("w", sure), ("x", -9.0))),)))

    async def run() -> list[float]:
        voice = Voice(model.generate, TOKENIZER, lambda: "tiny")
        request = request_of(logprobs=2, temperature=0.0)
        for _ in range(20):
            events = [event async for event in voice.heard(request, passing(-0.001))]
            assert [event.deltas[0].text for event in events] == ["w"]
        return [one.logprob for one in await voice.logprobs(request, ["No", ".", "<|im_end|>"], 0)]

    assert all(value > -0.1 for value in asyncio.run(run()))


@given(st.integers(0, 20), st.sampled_from([0.0, 1.0, 2.0]), st.integers(0, 99))
def test_vllm_puts_a_token_before_its_alternatives(asked: int, temperature: float, seed: int) -> None:
    async def run() -> list[TokenLogprob]:
        voice = Voice(Listener().generate, TOKENIZER, lambda: "tiny", token_first=True)
        request = request_of(logprobs=asked, temperature=temperature, seed=seed)
        return await voice.logprobs(request, ["No", "w1", "<|im_end|>"], 0)

    for one in asyncio.run(run()):
        assert len(one.top) == asked
        assert not asked or one.top[0] == (one.token, one.logprob)
