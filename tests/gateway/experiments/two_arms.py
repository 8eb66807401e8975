"""Two arms behind one pipeline, and what came of the requests: for the tests of the runner and of its shadows."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hand_made import BASE
from tiny import tiny_tokenizer

from adapters.lora.model import Lora
from classifiers.encoder.sentence import Encoder
from gateway.backends.base import ModelCard, Served
from gateway.core import Delta, Event, Message, Plan, Request, Usage
from gateway.experiments.assignment import Design
from gateway.experiments.runner import Experiment
from gateway.openai_format.shapes import CHAT_SHAPE, Shape
from gateway.pipeline import Pipeline
from gateway.screening.batching import BatchedScreen
from gateway.screening.reload import PackReloader
from gateway.telemetry.audit import Audit, log_line
from gateway.telemetry.metrics import Metrics

T = TypeVar("T")
SERVED = Served((ModelCard("tiny", 64),), tiny_tokenizer(), 512, {})


class Teller:
    """A backend that says one thing. `wait` holds its answer up; `error` is raised before it."""

    def __init__(self, says: str = "Nobody.") -> None:
        self.says = says
        self.wait: Callable[[], Awaitable[object]] | None = None
        self.error: Exception | None = None
        self.start_error: Exception | None = None
        self.served = SERVED
        self.looks = CHAT_SHAPE
        self.ill: str | None = None
        self.plans: list[Plan] = []
        self.prepared: list[Mapping[str, Lora]] = []
        self.running = self.most = self.exited = 0

    async def __aenter__(self) -> "Teller":
        if self.start_error:
            raise self.start_error
        return self

    async def __aexit__(self, *error: object) -> None:
        self.exited += 1

    def shape(self, endpoint: str) -> Shape:
        return self.looks

    async def problem(self) -> str | None:
        return self.ill

    concerns: tuple[str, ...] = ()

    adapter_slots = 2

    async def prepare(self, adapters: Mapping[str, Lora], in_force: frozenset[str] | None = None) -> Mapping[str, str]:
        self.prepared.append(adapters)
        return {}

    def check_length(self, request: Request) -> int:
        return 3

    async def generate(self, request: Request, plan: Plan) -> AsyncGenerator[Event, None]:
        self.plans.append(plan)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self.wait:
                await self.wait()
            if self.error:
                raise self.error
            yield Event.of(Delta(0, self.says, finish_reason="stop"))
            yield Event.of(Usage(3, 2))
        finally:
            self.running -= 1


class House:
    """A guarded arm and arm b, and what came of the requests."""

    def __init__(self, root: Path, encoder: Encoder, caplog: pytest.LogCaptureFixture) -> None:
        self.guarded, self.other = Teller(), Teller("Aslan does.")
        self.packs = PackReloader(root, encoder=encoder, base_fingerprint=BASE, encoder_fingerprint=BASE)
        self.metrics = Metrics()
        self.caplog = caplog
        caplog.set_level(logging.INFO)

    def run(self, design: Design, steps: Callable[[Pipeline, Experiment], Awaitable[T]]) -> T:
        async def run() -> T:
            self.metrics = Metrics()
            backends = {arm.name: self.other for arm in design.arms}
            audit = Audit(log_line, self.metrics.count, with_prompts=True)
            metrics = self.metrics if design.arms else Metrics()  # without arms there is no experiment
            experiment = Experiment(self.guarded, design, backends, audit=audit, metrics=metrics)
            async with BatchedScreen() as screen, experiment:
                pipeline = Pipeline(
                    backend=self.guarded,
                    packs=self.packs,
                    screen=screen,
                    audit=audit,
                    metrics=self.metrics,
                    comparison=experiment if design.arms else None,
                )
                return await steps(pipeline, experiment)

        return asyncio.run(run())

    def ask(self, design: Design, *requests: Request, lines: int | None = None) -> list[str]:
        """The answers, once so many audit lines are written."""

        async def steps(pipeline: Pipeline, _: Experiment) -> list[str]:
            said = [await read(pipeline, request) for request in requests]
            assert await eventually(lambda: len(self.audit) >= (len(requests) if lines is None else lines))
            return said

        return self.run(design, steps)

    @property
    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(r.getMessage()) for r in self.caplog.records if r.name == "unrecall.audit"]

    def metric(self, name: str, **labels: str) -> float:
        lines = self.metrics.text().decode().splitlines()
        wanted = {f'{key}="{value}"' for key, value in labels.items()}
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in lines
            if line.startswith(name + "{") and wanted <= set(line[line.index("{") + 1 : line.index("}")].split(","))
        )


async def read(pipeline: Pipeline, request: Request) -> str:
    answer = await pipeline.run(request)
    async with aclosing(answer.events) as events:
        return "".join([delta.text async for event in events if event.data is None for delta in event.deltas])


async def eventually(condition: Callable[[], object]) -> bool:
    """Whether the condition comes true within some twenty seconds."""
    for _ in range(4000):
        if condition():
            return True
        await asyncio.sleep(0.005)
    return bool(condition())


def request_of(text: str = "Who rules Narnia?", **fields: Any) -> Request:
    return Request(**{"id": "77", "endpoint": "chat", "model": "tiny", "messages": (Message("user", text),), **fields})
