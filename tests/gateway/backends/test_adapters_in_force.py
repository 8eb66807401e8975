"""Which unlearning adapters an upstream keeps: those of the packs in force, whatever happened to it or to us."""

import asyncio
import logging
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest
from stub_plans import eventually, lora, name_of, on_disk, run, said, upstream_calls, weighted
from stub_vllm import StubVllm, failing, request_of

from gateway.backends.vllm.backend import VllmBackend
from gateway.core import Instruct
from gateway.errors import UpstreamError

A, B, C = lora(1), lora(2), lora(3)
NAME_A, NAME_B, NAME_C = (name_of(weighted(of)) for of in (A, B, C))


class TestPrepare:
    def test_loads_each_scope_at_its_highest_weight(self, tmp_path: Path) -> None:
        stub = StubVllm()

        async def steps(served: VllmBackend) -> None:
            assert served.served.adapter_weights == (0.2, 0.8)
            assert await served.prepare({"a": A, "b": B}) == {}
            assert set(stub.loras.loaded) == {name_of(weighted(of, weight=0.8)) for of in (A, B)}
            loads = len(upstream_calls(stub, "load"))
            assert await said(served, weighted(A, weight=0.8)) == "Ada was"
            assert len(upstream_calls(stub, "load")) == loads

        run(stub, tmp_path, steps, adapter_weights=(0.2, 0.8))

    def test_no_more_than_there_are_slots(self, tmp_path: Path) -> None:
        stub = StubVllm()
        assert run(stub, tmp_path, lambda served: served.prepare({"a": A, "b": B, "c": C}), slots=2) == {}
        assert upstream_calls(stub, "load") == [NAME_A, NAME_B]

    def test_what_requests_needed_stays_where_the_slots_are_taken(self, tmp_path: Path) -> None:
        stub, every = StubVllm(), frozenset(of.digest for of in (A, B, C))

        async def steps(served: VllmBackend) -> None:
            await served.prepare({"a": A, "b": B}, every)
            await said(served, weighted(C))
            assert await eventually(lambda: set(stub.loras.loaded) == {NAME_B, NAME_C})
            assert await served.prepare({"a": A, "b": B}, every) == {}
            assert set(stub.loras.loaded) == {NAME_B, NAME_C} == on_disk(tmp_path)
            await served.prepare({"a": A, "b": B}, every - {C.digest})
            assert set(stub.loras.loaded) == {NAME_A, NAME_B} == on_disk(tmp_path)

        run(stub, tmp_path, steps, slots=2)

    def test_names_of_earlier_runs_go_and_foreign_ones_stay(self, tmp_path: Path) -> None:
        stub, leftover = StubVllm(), "unrecall-0123456789abcdef"
        stub.loras.loaded |= {leftover: str(tmp_path / leftover), "mine": "/mine"}
        (tmp_path / leftover).mkdir()
        (tmp_path / "unrelated").mkdir()
        run(stub, tmp_path, lambda served: served.prepare({"a": A}))
        assert set(stub.loras.loaded) == {NAME_A, "mine"}
        assert on_disk(tmp_path) == {NAME_A, "unrelated"}

    def test_an_adapter_no_longer_in_force_is_unloaded_with_its_mixtures(self, tmp_path: Path) -> None:
        stub = StubVllm()

        async def steps(served: VllmBackend) -> None:
            await served.prepare({"a": A, "b": B})
            for plan in (weighted(A, weight=0.5), weighted(A, B), weighted(B, weight=0.5)):
                await said(served, plan)
            await served.prepare({"b": B})

        run(stub, tmp_path, steps)
        assert set(stub.loras.loaded) == {NAME_B, name_of(weighted(B, weight=0.5))} == on_disk(tmp_path)

    def test_an_adapter_in_use_is_unloaded_when_it_is_released(self, tmp_path: Path) -> None:
        stub = StubVllm()

        async def steps(served: VllmBackend) -> None:
            await served.prepare({"a": A})
            async with aclosing(served.generate(request_of(stream=True), weighted(A))) as running:  # type: ignore[type-var]
                await anext(running)
                await served.prepare({})
                assert NAME_A in stub.loras.loaded
            assert await eventually(lambda: not stub.loras.loaded and not on_disk(tmp_path))

        run(stub, tmp_path, steps)

    def test_a_new_start_finds_what_the_last_one_loaded(self, tmp_path: Path) -> None:
        stub = StubVllm()

        async def first(served: VllmBackend) -> None:
            await served.prepare({"a": A, "b": B})
            await said(served, weighted(A, B))

        async def second(served: VllmBackend) -> None:
            await served.prepare({"a": A, "b": B})
            await said(served, weighted(A, B))

        run(stub, tmp_path, first)
        run(stub, tmp_path, second)
        assert upstream_calls(stub, "load") == upstream_calls(stub, "unload") == []

    def test_folders_that_no_upstream_has_any_more_are_swept(self, tmp_path: Path) -> None:
        stub = StubVllm()
        run(stub, tmp_path, lambda served: served.prepare({"a": A}))
        stub.loras.loaded.clear()
        run(stub, tmp_path, lambda served: served.prepare({}))
        assert on_disk(tmp_path) == set()

    def test_says_by_scope_what_failed(self, tmp_path: Path) -> None:
        stub = StubVllm()
        failed = run(stub, tmp_path, lambda served: served.prepare({"a": lora(rank=20), "b": B}))
        assert failed.keys() == {"a"}
        assert "--max-lora-rank" in failed["a"]

    def test_never_raises_and_makes_up_for_it_later(self, tmp_path: Path) -> None:
        stub = StubVllm()

        async def steps(served: VllmBackend) -> None:
            stub.override = failing(httpx.ConnectError("refused"))
            assert "cannot be reached" in (await served.prepare({"a": A}))["a"]
            stub.override = None
            assert await served.problem() is None
            assert await eventually(lambda: NAME_A in stub.loras.loaded)

        run(stub, tmp_path, steps)

    def test_not_even_for_our_own_mistakes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(_: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr("gateway.backends.vllm.replica.MergedAdapter.of", broken)
        assert "its log says why" in run(StubVllm(), tmp_path, lambda served: served.prepare({"a": A}))["a"]


class TestRestart:
    def test_an_adapter_that_the_upstream_lost_is_loaded_again(self, tmp_path: Path) -> None:
        """It was started anew so fast that nobody noticed, or another gateway unloaded it."""
        stub = StubVllm()

        async def steps(served: VllmBackend) -> None:
            await served.prepare({"a": A})
            stub.loras.loaded.clear()
            assert await said(served, weighted(A)) == "Ada was"

        run(stub, tmp_path, steps)
        assert upstream_calls(stub, "load") == [NAME_A] * 2

    def test_one_back_from_a_failure_gets_all_of_them_again(self, tmp_path: Path) -> None:
        stub = StubVllm()

        async def steps(served: VllmBackend) -> None:
            await served.prepare({"a": A, "b": B})
            stub.override = failing(httpx.ConnectError("refused"))
            with pytest.raises(UpstreamError):
                await said(served, Instruct("know not"))
            stub.override = None
            stub.loras.loaded = {"unrecall-0123456789abcdef": "/left/by/another"}
            assert await said(served, weighted(B)) == "Ada was"
            assert await eventually(lambda: set(stub.loras.loaded) == {NAME_A, NAME_B})

        run(stub, tmp_path, steps)

    def test_one_back_without_adapters_refuses(self, tmp_path: Path) -> None:
        stub = StubVllm()

        async def steps(served: VllmBackend) -> None:
            await served.prepare({"a": A})
            stub.override = failing(httpx.ConnectError("refused"))
            assert await served.problem()
            stub.override, stub.loras.loaded, stub.loras.enabled = None, {}, False
            assert await served.problem() is None
            assert "--enable-lora" in served.served.unsupported_needs["adapters"]
            assert "can't help" in await said(served, weighted(A))

        run(stub, tmp_path, steps)

    def test_an_unload_that_fails_does_not_hold_anybody_up(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        stub = StubVllm()

        async def steps(served: VllmBackend) -> None:
            await said(served, weighted(A))
            unload, stub.loras._unload = stub.loras._unload, lambda _: (500, "busy")  # type: ignore[method-assign]
            with caplog.at_level(logging.WARNING, "unrecall.adapters"):
                assert await said(served, weighted(B)) == "Ada was"
                assert await eventually(lambda: "does not unload" in caplog.text)
            stub.loras._unload = unload  # type: ignore[method-assign]
            assert NAME_A in on_disk(tmp_path)  # the upstream may still read it
            await served.prepare({"b": B})
            assert await eventually(lambda: set(stub.loras.loaded) == {NAME_B} == on_disk(tmp_path))

        run(stub, tmp_path, steps, slots=1)


def test_a_client_that_leaves_while_its_adapter_is_loaded_does_no_harm(tmp_path: Path) -> None:
    stub = StubVllm()
    stub.slow = ("/v1/load_lora_adapter",)

    async def steps(served: VllmBackend) -> None:
        leaving = asyncio.ensure_future(said(served, weighted(A)))
        assert await eventually(lambda: upstream_calls(stub, "load"))
        staying = asyncio.ensure_future(said(served, weighted(A)))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying == "Ada was"
        assert set(stub.loras.loaded) == on_disk(tmp_path) == {NAME_A}

    run(stub, tmp_path, steps)
