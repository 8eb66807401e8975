"""A gateway's pipeline before a backend that says what a test wants, for the tests of the output screen."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from hand_made import BASE
from tiny import tiny_tokenizer

from classifiers.encoder.sentence import Encoder
from gateway.backends.base import ModelCard, Served
from gateway.core import (
    Delta,
    Event,
    Message,
    Plan,
    Refuse,
    Request,
    Sampling,
    Usage,
)
from gateway.openai_format.decoding import reader
from gateway.openai_format.encoding import AnswerEncoder
from gateway.openai_format.shapes import CHAT_SHAPE, COMPLETIONS_SHAPE, Shape
from gateway.pipeline import Pipeline
from gateway.screening.batching import BatchedScreen
from gateway.screening.reload import PackReloader
from gateway.telemetry.audit import Audit, log_line
from gateway.telemetry.metrics import Metrics

TOKENIZER = tiny_tokenizer()


SORRY = "I know nothing of that."


class Says:
    """A backend that says the `first` pieces under the first plan, then the next ones, and remembers what it was asked
    and whether its answers were read to the end or let go."""

    adapter_slots = 2

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.asked: list[tuple[Request, Plan]] = []
        self.read_up = 0
        self.let_go = 0
        self.served = Served((ModelCard("tiny", 512),), TOKENIZER, 512)

    async def __aenter__(self) -> "Says":
        return self

    async def __aexit__(self, *error: object) -> None: ...

    def shape(self, endpoint: str) -> Shape:
        return CHAT_SHAPE if endpoint == "chat" else COMPLETIONS_SHAPE

    async def problem(self) -> str | None:
        return None

    concerns: tuple[str, ...] = ()

    async def prepare(self, adapters: Any, in_force: Any = None) -> dict[str, str]:
        return {}

    def check_length(self, request: Request) -> int:
        return 9

    async def generate(self, request: Request, plan: Plan) -> AsyncGenerator[Event, None]:
        self.asked.append((request, plan))
        if isinstance(plan, Refuse):
            yield Event.of(Delta(0, plan.text, finish_reason="stop"))
            yield Event.of(Usage(7, 5))
            return
        try:
            for event in self.answers.pop(0):
                yield event
            self.read_up += 1
        except GeneratorExit:
            self.let_go += 1
            raise


def pieces(*texts: str, finish: str = "stop", index: int = 0, **more: Any) -> list[Event]:
    deltas = [Delta(index, text, **more) for text in texts]
    return [*map(Event.of, deltas), Event.of(Delta(index, "", finish_reason=finish)), Event.of(Usage(9, len(texts)))]


def as_upstream(request: Request, events: Sequence[Event], *, chunk: int = 40) -> list[Event]:
    """The same as an upstream's own bytes, cut anywhere."""
    encoder = AnswerEncoder(request, CHAT_SHAPE if request.endpoint == "chat" else COMPLETIONS_SHAPE)
    data = b"".join([*map(encoder.encode, events), encoder.ending()])
    parse = reader(request)
    return [Event(data=data[at : at + chunk], parse=parse) for at in range(0, len(data), chunk)]


class House:
    def __init__(self, root: Path, encoder: Encoder, caplog: pytest.LogCaptureFixture) -> None:
        self.backend = Says()
        self.metrics = Metrics()
        self.timeout_s = 10.0
        self.encoder, self.caplog = encoder, caplog
        self._packs = PackReloader(root, encoder=encoder, base_fingerprint=BASE, encoder_fingerprint=BASE)
        caplog.set_level(logging.INFO, "unrecall.audit")

    def events(self, request: Request, *answers: Sequence[Event]) -> list[Event]:
        """What goes on to the encoder."""
        self.backend.answers = list(answers)

        async def run() -> list[Event]:
            async with BatchedScreen(timeout_s=self.timeout_s) as screen:
                audit = Audit(log_line, self.metrics.count)
                pipeline = Pipeline(
                    backend=self.backend, packs=self._packs, screen=screen, audit=audit, metrics=self.metrics
                )
                answer = await pipeline.run(request)
                async with aclosing(answer.events) as events:
                    return [event async for event in events]

        return asyncio.run(run())

    def answer(self, request: Request, *answers: Sequence[Event]) -> dict[int, tuple[str, str | None]]:
        """By choice: the text, and how it ends."""
        found: dict[int, tuple[str, str | None]] = {}
        for event in self.events(request, *answers):
            for delta in event.deltas:
                text, finish = found.get(delta.index, ("", None))
                assert finish is None
                found[delta.index] = (text + delta.text, delta.finish_reason)
        return found

    @property
    def audit(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(
            [r.getMessage() for r in self.caplog.records if r.name == "unrecall.audit"][-1]
        )
        return line


def asked(
    text: str = "Where do they live?", *, stream: bool = True, endpoint: str = "chat", **sampling: Any
) -> Request:
    role = "user" if endpoint == "chat" else "prompt"
    return Request(
        "7", endpoint, "tiny", (Message(role, text),), Sampling(**sampling), stream=stream, include_usage=stream
    )


async def every(events: Sequence[Event]) -> AsyncGenerator[Event, None]:
    for event in events:
        yield event


BEGUN = {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "tiny"}


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {**BEGUN, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}
