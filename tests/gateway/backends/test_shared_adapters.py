"""Two workers, or two gateways, over one upstream and one folder of adapters: none takes away what the other uses."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from stub_plans import eventually, lora, name_of, on_disk, said, upstream_calls, weighted
from stub_vllm import StubVllm, backend, request_of

from gateway.backends.vllm import lora_cache as cache_module
from gateway.backends.vllm.backend import VllmBackend
from gateway.backends.vllm.lora_files import LoraFiles, MergedAdapter

A, B, C = lora(1), lora(2), lora(3)
NAME_A, NAME_B = name_of(weighted(A)), name_of(weighted(B))


def run_two(
    stub: StubVllm, folder: Path, steps: Callable[[VllmBackend, VllmBackend], Awaitable[None]], *, slots: int = 8
) -> None:
    async def inside() -> None:
        async with (
            backend(stub, adapters_folder=folder, adapter_slots=slots) as one,
            backend(stub, adapters_folder=folder, adapter_slots=slots) as two,
        ):
            stub.requests.clear()
            await steps(one, two)

    asyncio.run(inside())


def test_a_worker_that_starts_takes_over_what_the_others_have_loaded(tmp_path: Path) -> None:
    stub = StubVllm()

    async def steps(one: VllmBackend, two: VllmBackend) -> None:
        assert await one.prepare({"a": A, "b": B}) == {}
        assert await said(one, weighted(A, B)) == "Ada was"
        loads = upstream_calls(stub, "load")
        assert await two.prepare({"a": A, "b": B}) == {}
        assert await said(two, weighted(A, B)) == "Ada was"
        assert upstream_calls(stub, "load") == loads
        assert upstream_calls(stub, "unload") == []

    run_two(stub, tmp_path, steps)


def test_two_that_start_at_once_agree(tmp_path: Path) -> None:
    stub = StubVllm()
    stub.slow = ("/v1/load_lora_adapter", "/v1/models")

    async def steps(one: VllmBackend, two: VllmBackend) -> None:
        assert await asyncio.gather(*(each.prepare({"a": A, "b": B}) for each in (one, two))) == [{}, {}]
        answers = await asyncio.gather(*(said(each, weighted(of)) for each in (one, two) for of in (A, B)))
        assert answers == ["Ada was"] * 4
        assert set(stub.loras.loaded) == {NAME_A, NAME_B} == on_disk(tmp_path)

    run_two(stub, tmp_path, steps)


def test_what_a_request_uses_stays_until_its_answer_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one sees the removal of a pack first; or it starts just then."""
    monkeypatch.setattr(cache_module, "_LOOK_AGAIN_S", 0.01)
    stub = StubVllm()

    async def steps(one: VllmBackend, two: VllmBackend) -> None:
        await one.prepare({"a": A})
        async with aclosing(one.generate(request_of(stream=True), weighted(A))) as running:  # type: ignore[type-var]
            await anext(running)
            await two.prepare({"b": B})
            await asyncio.sleep(0.05)
            assert set(stub.loras.loaded) == {NAME_A, NAME_B} == on_disk(tmp_path)
            assert [event async for event in running]
        assert await eventually(lambda: set(stub.loras.loaded) == {NAME_B} == on_disk(tmp_path))

    run_two(stub, tmp_path, steps)


def test_what_the_other_unloaded_is_loaded_anew_without_a_complaint(tmp_path: Path) -> None:
    stub = StubVllm()

    async def steps(one: VllmBackend, two: VllmBackend) -> None:
        await one.prepare({"a": A})
        await two.prepare({"b": B})
        assert set(stub.loras.loaded) == {NAME_B} == on_disk(tmp_path)
        posted = len(stub.requests)
        assert await said(one, weighted(A)) == "Ada was"
        assert [request.url.path for request in stub.requests[posted:]] == [
            "/v1/load_lora_adapter",
            "/v1/chat/completions",
        ]

    run_two(stub, tmp_path, steps)


def test_both_make_room_all_the_time_and_every_answer_is_the_adapters(tmp_path: Path) -> None:
    stub = StubVllm()
    stub.slow = ("/v1/unload_lora_adapter",)

    async def steps(one: VllmBackend, two: VllmBackend) -> None:
        answers = await asyncio.gather(
            *(said(each, weighted(of)) for _ in range(5) for of in (A, B, C) for each in (one, two))
        )
        assert answers == ["Ada was"] * 30

    run_two(stub, tmp_path, steps, slots=1)
    assert upstream_calls(stub, "unload")


class TestFolder:
    def test_it_is_removed_by_nobody_while_it_is_used(self, tmp_path: Path) -> None:
        one, two = LoraFiles(tmp_path), LoraFiles(tmp_path)

        async def steps() -> None:
            await one.hold(MergedAdapter.of(weighted(A).adapters))
            assert one.use(NAME_A, "http://u")
            await two.sweep(frozenset())
            await two.discard(NAME_A)
            assert on_disk(tmp_path) == {NAME_A}
            one.release(NAME_A, "http://u")
            await two.discard(NAME_A)
            assert on_disk(tmp_path) == set()

        asyncio.run(steps())

    def test_one_that_is_gone_or_not_whole_is_not_used(self, tmp_path: Path) -> None:
        files = LoraFiles(tmp_path)
        assert not files.use(NAME_A, "http://u")
        (tmp_path / NAME_A).mkdir()
        assert not files.use(NAME_A, "http://u")

        async def steps() -> None:
            await files.hold(MergedAdapter.of(weighted(A).adapters))  # mends what a killed writer left
            assert files.use(NAME_A, "http://u")

        asyncio.run(steps())

    def test_a_use_on_one_upstream_does_not_keep_it_loaded_on_another(self, tmp_path: Path) -> None:
        one, two = LoraFiles(tmp_path), LoraFiles(tmp_path)

        async def steps() -> None:
            await one.hold(MergedAdapter.of(weighted(A).adapters))
            assert one.use(NAME_A, "http://u")
            for upstream, alone_there in (("http://u", False), ("http://v", True)):
                with two.alone(NAME_A, upstream) as alone:
                    assert alone is alone_there
            with two.alone(NAME_A, "http://v") as alone:
                assert alone
                assert not one.use(NAME_A, "http://v")
            assert one.use(NAME_A, "http://v")

        asyncio.run(steps())
