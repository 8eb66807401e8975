"""Two arms behind one pipeline: who answers, what is counted, and which arms may start."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from tiny import tiny_model, tiny_tokenizer
from two_arms import SERVED, House, Teller, read, request_of

from classifiers.leaks.watch import Watchlist
from gateway.backends.base import ModelCard
from gateway.backends.embedded.backend import EmbeddedBackend
from gateway.core import Event, Pass, Plan, Refuse, Request, Sampling
from gateway.errors import SetupError, UpstreamError
from gateway.experiments.assignment import Arm, Design
from gateway.experiments.runner import Experiment
from gateway.methods.corruption import Corrupt
from gateway.openai_format.decoding import reader
from gateway.openai_format.shapes import CHAT_SHAPE
from gateway.pipeline import Pipeline

SPLIT = Design((Arm("b", 1.0, True),))
SHADOW = Design((Arm("b", 1.0, True),), mode="shadow")


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
        house.other.says = "Nobody."
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
            watchlist = Watchlist()

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
