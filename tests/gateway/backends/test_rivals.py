"""Two gateways with different packs before one upstream: each that runs says so, and says what to do."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from stub_plans import eventually, lora, name_of, said, weighted
from stub_vllm import StubVllm, backend

from gateway.backends.vllm import lora_cache as cache_module
from gateway.backends.vllm.backend import VllmBackend
from gateway.backends.vllm.rivals import Rivals

A, B = lora(1), lora(2)
NAME_A, NAME_B = name_of(weighted(A)), name_of(weighted(B))
Steps = Callable[[VllmBackend, VllmBackend], Awaitable[None]]


class Clock:
    """Seconds, by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """That of all that notices rivals."""
    clock = Clock()
    monkeypatch.setattr(cache_module, "Rivals", lambda url, **_: Rivals(url, clock=clock))
    monkeypatch.setattr(cache_module, "_WATCH_S", 0.0)
    return clock


def run_two(stub: StubVllm, folders: tuple[Path, Path], steps: Steps) -> None:
    async def inside() -> None:
        async with (
            backend(stub, adapters_folder=folders[0]) as one,
            backend(stub, adapters_folder=folders[1]) as two,
        ):
            await steps(one, two)

    asyncio.run(inside())


async def watched(gateway: VllmBackend) -> list[str]:
    """What /readyz finds, once its look in the background is over."""
    assert await gateway.problem() is None
    await asyncio.sleep(0.05)
    return gateway.concerns


@pytest.mark.parametrize("shared", [True, False], ids=["one adapters folder", "two adapters folders"])
def test_a_gateway_with_other_packs_is_noticed_by_the_one_that_was_there(
    shared: bool, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def steps(one: VllmBackend, two: VllmBackend) -> None:
        await one.prepare({"a": A})
        assert await watched(one) == []
        await two.prepare({"b": B})
        assert await watched(one) == [], "for a moment gateways may differ"
        clock.now += 40
        (concern,) = await watched(one)
        assert "another gateway with other packs" in concern
        assert "same packs, the same adapters_folder" in concern
        assert await one.problem() is None, "it can answer all the same"
        assert await said(one, weighted(A)) == "Ada was"
        assert [record.levelname for record in caplog.records if concern in record.message] == ["WARNING"]
        clock.now += 700
        stub.loras.loaded.pop(NAME_B, None)  # the other one is gone
        assert await watched(one) == []

    stub = StubVllm()
    caplog.set_level(logging.WARNING)
    run_two(stub, (tmp_path / "one", tmp_path / "one" if shared else tmp_path / "two"), steps)


def test_two_with_other_packs_take_nothing_from_each_other_for_a_request(clock: Clock, tmp_path: Path) -> None:
    async def steps(one: VllmBackend, two: VllmBackend) -> None:
        await one.prepare({"a": A})
        await two.prepare({"b": B})
        for _ in range(3):
            assert await said(one, weighted(A)) == await said(two, weighted(B)) == "Ada was"
            assert set(stub.loras.loaded) == {NAME_A, NAME_B}

    stub = StubVllm()
    run_two(stub, (tmp_path / "one", tmp_path / "two"), steps)


def test_gateways_with_the_same_packs_and_folder_are_no_rivals(clock: Clock, tmp_path: Path) -> None:
    async def steps(one: VllmBackend, two: VllmBackend) -> None:
        for gateway in (one, two):
            await gateway.prepare({"a": A, "b": B})
        for _ in range(5):
            clock.now += 40
            assert await said(one, weighted(A, B)) == await said(two, weighted(A, B)) == "Ada was"
            assert await watched(one) == await watched(two) == []

    run_two(StubVllm(), (tmp_path, tmp_path), steps)


def test_what_an_earlier_run_left_is_no_rival(clock: Clock, tmp_path: Path) -> None:
    async def steps(one: VllmBackend, two: VllmBackend) -> None:
        stub.loras.loaded[NAME_B] = "/somewhere/else"
        await one.prepare({"a": A})
        assert await eventually(lambda: set(stub.loras.loaded) == {NAME_A})
        clock.now += 40
        assert await watched(one) == []

    stub = StubVllm()
    run_two(stub, (tmp_path, tmp_path), steps)


def test_adapters_that_vanish_again_and_again_are_told(clock: Clock, tmp_path: Path) -> None:
    async def steps(one: VllmBackend, two: VllmBackend) -> None:
        await one.prepare({"a": A})
        for times in range(3):
            assert one.concerns == [], times
            del stub.loras.loaded[NAME_A]
            clock.now += 60
            assert await said(one, weighted(A)) == "Ada was"
        (concern,) = one.concerns
        assert "vanish" in concern
        assert "3 times in ten minutes" in concern
        clock.now += 700
        assert one.concerns == []

    stub = StubVllm()
    run_two(stub, (tmp_path, tmp_path), steps)
