"""Refusals: written token by token, within the limits that a model keeps to."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from stub_vllm import (
    TOKENIZER,
    Part,
    StubVllm,
    generated,
    parts_of,
    request_of,
    text_of,
)

from gateway.backends.refusal import refusal
from gateway.backends.voice import Voice
from gateway.core import Delta, Event, Plan, Refuse, Request, Sampling, Usage
from gateway.prompts.rendering import count_tokens


def mute() -> Voice:
    """The voice of a model that nobody may ask."""

    def silent(_: Request, __: Plan) -> AsyncGenerator[Event, None]:
        raise AssertionError("a model was asked")

    return Voice(silent, TOKENIZER, lambda: "tiny")


class TestRefusal:
    TEXT = "sorry, I can not help"  # six tokens

    def parts(self, request: Request) -> list[Part]:
        async def run() -> list[Part]:
            return [
                part
                async for event in refusal(request, self.TEXT, mute(), count_tokens(TOKENIZER, request))
                for part in parts_of(event)
            ]

        return asyncio.run(run())

    def test_asks_no_model(self) -> None:
        stub, request = StubVllm(), request_of(sampling=Sampling(n=2))
        parts = generated(stub, request, Refuse(self.TEXT))
        assert stub.requests == []
        assert parts == [
            Delta(0, self.TEXT, finish_reason="stop"),
            Delta(1, self.TEXT, finish_reason="stop"),
            Usage(count_tokens(TOKENIZER, request), 14),
        ]

    def test_streams_token_by_token(self) -> None:
        deltas = [c for c in self.parts(request_of(stream=True, sampling=Sampling())) if isinstance(c, Delta)]
        assert [delta.text for delta in deltas] == ["sorry", ",", " I", " can", " not", " help", ""]
        assert [delta.finish_reason for delta in deltas] == [None] * 6 + ["stop"]

    @pytest.mark.parametrize(
        ("sampling", "text", "ending", "tokens"),
        [
            (Sampling(max_tokens=3), "sorry, I", ("length", None), 3),
            (Sampling(max_tokens=6), TEXT, ("length", None), 6),
            (Sampling(max_tokens=7), TEXT, ("stop", None), 7),
            (Sampling(stop=("an n", "zebra")), "sorry, I c", ("stop", "an n"), 5),
            (Sampling(stop=("not",), max_tokens=4), "sorry, I can", ("length", None), 4),
        ],
    )
    @pytest.mark.parametrize("stream", [False, True])
    def test_keeps_within_the_limits(
        self, sampling: Sampling, text: str, ending: tuple[str, str | None], tokens: int, stream: bool
    ) -> None:
        *deltas, usage = self.parts(request_of(sampling=sampling, stream=stream))
        assert text_of(list(deltas)) == text
        assert isinstance(deltas[-1], Delta)
        assert (deltas[-1].finish_reason, deltas[-1].stop_reason) == ending
        assert isinstance(usage, Usage)
        assert usage.completion_tokens == tokens
