"""A shadow arm is asked beside the guarded one: no client notices, and it has an end."""

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest
from two_arms import SERVED, House, eventually, read, request_of

from gateway.core import Pass
from gateway.errors import UpstreamError
from gateway.experiments.assignment import Arm, Design
from gateway.experiments.runner import Experiment
from gateway.methods.corruption import Corrupt
from gateway.pipeline import Pipeline

SHADOW = Design((Arm("b", 1.0, True),), mode="shadow")


def test_both_arms_are_asked_and_the_client_sees_one(house: House) -> None:
    assert house.ask(SHADOW, request_of(), request_of("Lunch?"), lines=3) == ["Nobody.", "Nobody."]
    assert [type(plan) for plan in house.guarded.plans] == [Corrupt, Pass]
    assert house.other.plans == [Pass()]
    shadow = next(line for line in house.audit if line.get("shadow"))
    assert (shadow["id"], shadow["arm"], shadow["leak_screen"]) == ("77", "b", ["narnia"])
    assert (shadow["scopes"], shadow["plan"], shadow["outcome"]) == (["narnia"], "Pass", "ok")
    assert "messages" not in shadow
    assert house.metric("unrecall_arm_requests_total", arm="b", shadow="true") == 1
    assert house.metric("unrecall_requests_total") == 2


def test_a_slow_shadow_holds_nobody_up_and_has_an_end(house: House) -> None:
    house.other.wait = asyncio.Event().wait

    async def steps(pipeline: Pipeline, _: Experiment) -> None:
        assert await asyncio.wait_for(read(pipeline, request_of()), 20) == "Nobody."
        assert await eventually(lambda: len(house.audit) == 2)

    house.run(replace(SHADOW, shadow_timeout_s=0.2), steps)
    assert {line["arm"]: line["outcome"] for line in house.audit} == {"guarded": "ok", "b": "TimeoutError"}


@pytest.mark.parametrize("error", [UpstreamError("gone"), RuntimeError("a bug, and words of Narnia")])
def test_a_failing_shadow_is_a_line_in_the_log(house: House, error: Exception) -> None:
    house.other.error = error
    assert house.ask(SHADOW, request_of(), lines=2) == ["Nobody."]
    assert {line["outcome"] for line in house.audit} == {
        "ok",
        "UpstreamError" if isinstance(error, UpstreamError) else "failed",
    }
    assert "words of Narnia" not in house.caplog.text


def test_a_feature_that_the_arm_lacks_is_a_failure_of_the_shadow(house: House) -> None:
    house.other.served = replace(SERVED, unsupported_features={"tools": "no tools here"})
    house.ask(SHADOW, request_of(carries=frozenset({"tools"})), lines=2)
    assert house.other.plans == []
    assert next(line["outcome"] for line in house.audit if line.get("shadow")) == "InvalidRequest"


def test_so_many_at_once_and_no_more(house: House) -> None:
    gate = asyncio.Event()
    house.other.wait = gate.wait

    async def steps(pipeline: Pipeline, _: Experiment) -> None:
        await asyncio.gather(*(read(pipeline, request_of()) for _ in range(5)))
        assert await eventually(lambda: house.other.running == 2)
        gate.set()
        assert await eventually(lambda: len(house.audit) == 7)

    house.run(replace(SHADOW, shadows=2), steps)
    assert house.other.most == 2
    assert house.metric("unrecall_arm_skipped_total", arm="b", what="shadow") == 3


def test_shadows_end_with_the_gateway(house: House) -> None:
    house.other.wait = asyncio.Event().wait

    async def steps(pipeline: Pipeline, _: Experiment) -> None:
        await read(pipeline, request_of())
        assert await eventually(lambda: house.other.running == 1)

    house.run(SHADOW, steps)
    assert house.other.running == 0
    assert house.other.exited == 1
    assert {line["arm"]: line["outcome"] for line in house.audit} == {"guarded": "ok", "b": "aborted"}


def test_a_shadow_goes_on_when_the_client_has_gone(house: House) -> None:
    async def steps(pipeline: Pipeline, _: Experiment) -> None:
        answer = await pipeline.run(request_of())
        async with aclosing(answer.events) as events:
            await anext(events)
        assert await eventually(lambda: len(house.audit) == 2)

    house.run(SHADOW, steps)
    assert {line["arm"]: line["outcome"] for line in house.audit} == {"guarded": "aborted", "b": "ok"}
