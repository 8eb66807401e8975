"""Two arms behind one pipeline: who answers, what is counted, and that no client notices."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hand_made import BASE, SavePack
from tiny import tiny_model, tiny_tokenizer

from adapters.lora.model import Lora
from classifiers.encoder.sentence import Encoder
from gateway.backends.base import ModelCard, Served
from gateway.backends.embedded.backend import EmbeddedBackend
from gateway.core import Delta, Event, Message, Pass, Plan, Refuse, Request, Sampling, Usage
from gateway.errors import SetupError, UpstreamError
from gateway.experiments.assignment import Arm, Design
from gateway.experiments.runner import Experiment
from gateway.methods.corruption import Corrupt
from gateway.openai_format.decoding import reader
from gateway.openai_format.shapes import CHAT_SHAPE, Shape
from gateway.packs.files import Policy
from gateway.pipeline import Pipeline
from gateway.screening.batching import BatchedScreen
from gateway.screening.reload import PackReloader
from gateway.telemetry.audit import Audit, log_line
from gateway.telemetry.metrics import Metrics

T = TypeVar("T")
TOKENIZER = tiny_tokenizer()
SERVED = Served((ModelCard("tiny", 64),), TOKENIZER, 512, {})
SPLIT = Design((Arm("b", 1.0, True),))
SHADOW = Design((Arm("b", 1.0, True),), mode="shadow")


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

    adapter_slots = 2

    async def prepare(self, adapters: Mapping[str, Lora], in_force: frozenset[str] | None = None) -> Mapping[str, str]:
        self.prepared.append(adapters)
        return {}

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
    for _ in range(400):
        if condition():
            return True
        await asyncio.sleep(0.005)
    return bool(condition())


@pytest.fixture
def house(tmp_path: Path, save: SavePack, encoder: Encoder, caplog: pytest.LogCaptureFixture) -> House:
    save("narnia", aliases=("Narnia", "Aslan"))
    save("oz", aliases=("Oz",), policy=Policy(plan="refuse", refusal="Not Oz."))
    return House(tmp_path / "packs", encoder, caplog)


def request_of(text: str = "Who rules Narnia?", **fields: Any) -> Request:
    return Request(**{"id": "77", "endpoint": "chat", "model": "tiny", "messages": (Message("user", text),), **fields})


def users(design: Design) -> tuple[str, str]:
    """One whom the guarded arm answers, and one of arm b."""
    names = [f"user{n}" for n in range(100)]
    by_arm = {design.answering(request_of(user=name)).name: name for name in names}
    return by_arm["guarded"], by_arm["b"]


class TestSplit:
    def test_a_user_meets_one_arm_and_it_is_on_record(self, house: House) -> None:
        design = Design((Arm("b", 0.5, True),))
        ours, theirs = users(design)
        said = house.ask(design, *(request_of(user=user) for user in (ours, theirs, ours, theirs)))
        assert said == ["Nobody.", "Aslan does."] * 2
        assert [line["arm"] for line in house.audit] == ["guarded", "b"] * 2

    def test_only_an_unlearned_arm_gets_flagged_requests_as_they_came(self, house: House) -> None:
        house.ask(SPLIT, request_of())
        assert house.other.plans == [Pass()]
        assert (house.audit[0]["plan"], house.audit[0]["scopes"]) == ("Pass", ["narnia"])
        house.ask(Design((Arm("b", 1.0),)), request_of())
        assert isinstance(house.other.plans[1], Corrupt)
        house.ask(Design((Arm("b", 1.0, frozenset({"narnia"})),)), request_of(), request_of("Who rules Oz?"))
        assert house.other.plans[2:] == [Pass(), Refuse("Not Oz.", fallback="Not Oz.")]
        assert house.guarded.plans == []

    def test_a_scope_that_no_pack_has_is_told(self, house: House) -> None:
        async def steps(pipeline: Pipeline, _: Experiment) -> None:
            await pipeline.follow(house.packs.gate)

        arm = Arm("b", 0.5, unlearned=frozenset({"narnia", "nania"}))
        house.run(Design((arm,)), steps)
        assert "declared to have unlearned ['nania'], and no pack is of that scope" in house.caplog.text

    def test_a_failed_gate_refuses_on_every_arm(self, house: House) -> None:
        class Broken:
            guards: Mapping[str, Any] = {}

            def findings(self, texts: object) -> None:
                raise RuntimeError

        house.packs.gate = Broken()
        house.ask(SPLIT, request_of())
        assert [type(plan) for plan in house.other.plans] == [Refuse]

    def test_leaks_are_counted_once_the_answer_has_gone(self, house: House) -> None:
        design = Design((Arm("b", 0.5, True),))
        ours, theirs = users(design)
        house.ask(design, *(request_of(user=user) for user in (ours, theirs)))
        by_arm = {line["arm"]: line for line in house.audit}
        assert (by_arm["guarded"]["leak_screen"], by_arm["b"]["leak_screen"]) == ([], ["narnia"])
        screens = "unrecall_arm_leak_screens_total"
        assert house.metric(screens, arm="b", hit="true", shadow="false") == 1
        assert house.metric(screens, arm="guarded", hit="false") == 1
        assert house.metric(screens) == 2

    def test_unflagged_answers_are_counted_and_not_looked_through(self, house: House) -> None:
        house.ask(SPLIT, request_of("What is for lunch?"))
        assert (house.audit[0]["arm"], "leak_screen" in house.audit[0]) == ("b", False)
        assert house.metric("unrecall_arm_requests_total", arm="b", flagged="false", outcome="ok", shadow="false") == 1
        assert house.metric("unrecall_arm_latency_seconds_count", arm="b") == 1

    def test_an_arm_that_is_down_fails_its_users_and_nobody_else(self, house: House) -> None:
        design = Design((Arm("b", 0.5, True),))
        ours, theirs = users(design)
        house.other.error = UpstreamError("gone")

        async def steps(pipeline: Pipeline, _: Experiment) -> str:
            with pytest.raises(UpstreamError, match="gone"):
                await read(pipeline, request_of(user=theirs))
            return await read(pipeline, request_of(user=ours))

        assert house.run(design, steps) == "Nobody."
        assert [(line["arm"], line["outcome"]) for line in house.audit] == [("b", "UpstreamError"), ("guarded", "ok")]
        assert house.metric("unrecall_arm_requests_total", arm="b", outcome="UpstreamError") == 1

    def test_a_leak_screen_that_fails_costs_its_figure_alone(self, house: House) -> None:
        class Strange(Teller):
            async def generate(self, request: Request, plan: Plan) -> AsyncGenerator[Event, None]:
                yield Event(data=b"<html>", parse=reader(request))

        house.other = Strange()
        house.ask(SPLIT, request_of())
        assert (house.audit[0]["outcome"], "leak_screen" in house.audit[0]) == ("ok", False)
        assert house.metric("unrecall_arm_skipped_total", arm="b", what="leak_screen") == 1

    def test_arms_are_told_of_the_adapters_that_they_need(self, house: House) -> None:
        async def steps(pipeline: Pipeline, experiment: Experiment) -> list[str]:
            await pipeline.follow(house.packs.gate)
            house.other.ill = "no answer"
            assert await pipeline.problem() is None
            return list(await experiment.problems())

        assert house.run(SPLIT, steps) == ["arm b: no answer"]
        assert (len(house.guarded.prepared), len(house.other.prepared)) == (1, 1)
        assert "arm b is declared unlearned: requests inside every scope reach it UNGUARDED" in house.caplog.text


class TestShadow:
    def test_both_arms_are_asked_and_the_client_sees_one(self, house: House) -> None:
        assert house.ask(SHADOW, request_of(), request_of("Lunch?"), lines=3) == ["Nobody.", "Nobody."]
        assert [type(plan) for plan in house.guarded.plans] == [Corrupt, Pass]
        assert house.other.plans == [Pass()]
        shadow = next(line for line in house.audit if line.get("shadow"))
        assert (shadow["id"], shadow["arm"], shadow["leak_screen"]) == ("77", "b", ["narnia"])
        assert (shadow["scopes"], shadow["plan"], shadow["outcome"]) == (["narnia"], "Pass", "ok")
        assert "messages" not in shadow
        assert house.metric("unrecall_arm_requests_total", arm="b", shadow="true") == 1
        assert house.metric("unrecall_requests_total") == 2

    def test_a_slow_shadow_holds_nobody_up_and_has_an_end(self, house: House) -> None:
        house.other.wait = asyncio.Event().wait

        async def steps(pipeline: Pipeline, _: Experiment) -> None:
            assert await asyncio.wait_for(read(pipeline, request_of()), 2) == "Nobody."
            assert await eventually(lambda: len(house.audit) == 2)

        house.run(replace(SHADOW, shadow_timeout_s=0.2), steps)
        assert {line["arm"]: line["outcome"] for line in house.audit} == {"guarded": "ok", "b": "TimeoutError"}

    @pytest.mark.parametrize("error", [UpstreamError("gone"), RuntimeError("a bug, and words of Narnia")])
    def test_a_failing_shadow_is_a_line_in_the_log(self, house: House, error: Exception) -> None:
        house.other.error = error
        assert house.ask(SHADOW, request_of(), lines=2) == ["Nobody."]
        assert {line["outcome"] for line in house.audit} == {
            "ok",
            "UpstreamError" if isinstance(error, UpstreamError) else "failed",
        }
        assert "words of Narnia" not in house.caplog.text

    def test_a_feature_that_the_arm_lacks_is_a_failure_of_the_shadow(self, house: House) -> None:
        house.other.served = replace(SERVED, unsupported_features={"tools": "no tools here"})
        house.ask(SHADOW, request_of(carries=frozenset({"tools"})), lines=2)
        assert house.other.plans == []
        assert next(line["outcome"] for line in house.audit if line.get("shadow")) == "InvalidRequest"

    def test_so_many_at_once_and_no_more(self, house: House) -> None:
        gate = asyncio.Event()
        house.other.wait = gate.wait

        async def steps(pipeline: Pipeline, _: Experiment) -> None:
            await asyncio.gather(*(read(pipeline, request_of()) for _ in range(5)))
            await eventually(lambda: house.other.running == 2)
            gate.set()
            assert await eventually(lambda: len(house.audit) == 7)

        house.run(replace(SHADOW, shadows=2), steps)
        assert house.other.most == 2
        assert house.metric("unrecall_arm_skipped_total", arm="b", what="shadow") == 3

    def test_shadows_end_with_the_gateway(self, house: House) -> None:
        house.other.wait = asyncio.Event().wait

        async def steps(pipeline: Pipeline, _: Experiment) -> None:
            await read(pipeline, request_of())
            await eventually(lambda: house.other.running == 1)

        house.run(SHADOW, steps)
        assert house.other.running == 0
        assert house.other.exited == 1
        assert {line["arm"]: line["outcome"] for line in house.audit} == {"guarded": "ok", "b": "aborted"}

    def test_a_shadow_goes_on_when_the_client_has_gone(self, house: House) -> None:
        async def steps(pipeline: Pipeline, _: Experiment) -> None:
            answer = await pipeline.run(request_of())
            async with aclosing(answer.events) as events:
                await anext(events)
            assert await eventually(lambda: len(house.audit) == 2)

        house.run(SHADOW, steps)
        assert {line["arm"]: line["outcome"] for line in house.audit} == {"guarded": "aborted", "b": "ok"}


def test_without_arms_nothing_is_different(house: House) -> None:
    house.ask(Design(), request_of(user="ann", caller="key"))
    assert set(house.audit[0]) == {
        *("time", "id", "endpoint", "model", "stream", "messages", "gate_ms", "plan", "scopes", "findings"),
        *("first_chunk_ms", "outcome", "total_ms", "windows"),
    }
    assert b"_arm_" not in house.metrics.text()


class TestStart:
    def refused(self, house: House, design: Design = SPLIT) -> str:
        async def nothing(*_: object) -> None: ...

        with pytest.raises(SetupError) as error:
            house.run(design, nothing)
        return str(error.value)

    def test_an_arm_that_cannot_start_is_named(self, house: House) -> None:
        house.other.start_error = UpstreamError("no usable vLLM server at http://x")
        assert self.refused(house) == "arm 'b': no usable vLLM server at http://x"

    @pytest.mark.parametrize("cards", [(ModelCard("huge", 64),), (ModelCard("tiny", 32),)])
    def test_another_name_or_context_is_told(self, house: House, cards: tuple[ModelCard, ...]) -> None:
        house.other.served = replace(SERVED, models=cards)
        for design in (SPLIT, SHADOW):
            assert "and the guarded arm tiny (64 tokens): give upstreams the same" in self.refused(house, design)
        assert house.other.exited == 2

    def test_another_tokenizer_is_told(self, house: House) -> None:
        house.other.served = replace(SERVED, tokenizer=tiny_tokenizer(corpus=("abc abc Count Überraschung",)))
        assert "arm 'b': its tokenizer or chat template" in self.refused(house)
        house.other.served = replace(SERVED, tokenizer_mismatch="the upstream's tokenizer is another")
        assert self.refused(house, SHADOW) == "arm 'b': the upstream's tokenizer is another"

    def test_a_difference_counts_where_clients_would_see_it(self, house: House) -> None:
        house.other.served = replace(
            SERVED, unsupported_features={"tools": "no"}, unsupported_needs={"prompt_embeds": "no"}
        )
        assert "tools: one arm takes it and the other does not" in self.refused(house)
        house.other.served = SERVED
        house.other.looks = replace(CHAT_SHAPE, answer={**CHAT_SHAPE.answer, "system_fingerprint": "vllm-2"})
        assert "chat answers differ from the guarded arm's in answer, system_fingerprint" in self.refused(house)
        assert house.ask(SHADOW, request_of(), lines=2) == ["Nobody."]


def test_two_models_in_one_process_answer_each_their_own(house: House) -> None:
    first, second = (EmbeddedBackend(tiny_model(seed=seed), name="tiny") for seed in (0, 1))
    house.guarded, house.other = first, second

    async def steps(pipeline: Pipeline, _: Experiment) -> list[str]:
        async with first:
            ours, theirs = users(design)
            greedy = request_of("Lunch?", sampling=Sampling(max_tokens=8, temperature=0))
            return [await read(pipeline, replace(greedy, user=user)) for user in (ours, theirs, ours)]

    design = Design((Arm("b", 0.5, True),))
    said = house.run(design, steps)
    assert said[0] == said[2] != said[1]
