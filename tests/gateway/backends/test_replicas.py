"""Several equal upstreams behind one backend: who is asked, and what happens when one is out."""

import asyncio
import logging
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import httpx
import pytest
from stub_loras import Loras
from stub_plans import eventually, lora, name_of, on_disk, run, said, weighted
from stub_vllm import Fleet, StubVllm, backend, corrupt, failing, parts_from, request_of

from gateway.backends.vllm import replica as replica_module
from gateway.backends.vllm.backend import VllmBackend
from gateway.core import DEFAULT_REFUSAL, Instruct, Pass, Plan
from gateway.errors import UpstreamError

A, B = lora(1), lora(2)
DOWN = failing(httpx.ConnectError("refused"))
PLANS = [Instruct("know not"), corrupt(), weighted(A)]


def fleet() -> tuple[Fleet, StubVllm, StubVllm]:
    one, two = StubVllm(), StubVllm()
    return Fleet(one=one, two=two), one, two


class TestStart:
    @pytest.mark.parametrize("down", ["one", "two"])
    def test_names_the_one_that_is_out(self, down: str) -> None:
        both, _, _ = fleet()
        both.stubs[down].override = DOWN
        with pytest.raises(UpstreamError, match=f"http://{down}.test"):
            start(both)

    def test_all_must_serve_the_same(self) -> None:
        both, _, two = fleet()
        two.model = "other"
        with pytest.raises(UpstreamError, match=r"one\.test serves tiny .*two\.test serves other"):
            start(both)

    def test_a_plan_goes_to_an_upstream_that_can_carry_it_out(self, caplog: pytest.LogCaptureFixture) -> None:
        both, one, _two = fleet()
        one.embeds = False

        async def steps() -> None:
            async with backend(both) as served:
                assert "prompt_embeds" not in served.served.unsupported_needs
                one.requests.clear()
                for _ in range(3):
                    assert await said(served, corrupt()) == "Ada was"
                assert one.requests == []

        with caplog.at_level(logging.WARNING, "unrecall.upstream"):
            asyncio.run(steps())
        assert "http://one.test cannot serve prompt_embeds" in caplog.text

    def test_offers_no_adapters(self, tmp_path: Path) -> None:
        both, one, _ = fleet()

        async def steps(served: VllmBackend) -> None:
            await served.prepare({"a": A})
            one.override = DOWN
            assert await said(served, Instruct("know not")) == "Ada was"
            one.override = None
            assert await served.problem() is None  # checked again, with an adapter in its list
            assert [card.id for card in served.served.models] == ["tiny"]

        run(both, tmp_path, steps)


def start(stubs: Fleet) -> None:
    async def inside() -> None:
        async with backend(stubs):
            pass

    asyncio.run(inside())


class TestBalance:
    def test_the_least_busy_is_asked(self, tmp_path: Path) -> None:
        both, one, two = fleet()

        async def steps(served: VllmBackend) -> None:
            async with AsyncExitStack() as stack:
                for expected in ((1, 0), (1, 1), (2, 1)):
                    running = served.generate(request_of(stream=True), Pass())
                    await anext(await stack.enter_async_context(aclosing(running)))  # type: ignore[type-var]
                    assert (len(one.requests), len(two.requests)) == expected
                for more in (2, 3):  # one still has two, and those of the other come to their end
                    await parts_from(served, request_of(), Pass())
                    assert (len(one.requests), len(two.requests)) == (2, more)

        run(both, tmp_path, steps)


class TestFailover:
    @pytest.mark.parametrize("plan", PLANS)
    def test_one_that_cannot_be_reached_is_left_out(self, plan: Plan, tmp_path: Path) -> None:
        both, one, _two = fleet()

        async def steps(served: VllmBackend) -> None:
            one.override = DOWN
            assert await said(served, plan, stream=True) == "Ada was"
            asked = len(one.requests)
            assert await said(served, plan) == "Ada was"
            assert [r for r in one.requests[asked:] if r.method == "POST"] == []
            assert await served.problem() is None

        run(both, tmp_path, steps)

    def test_an_untouched_request_too(self, tmp_path: Path) -> None:
        both, one, two = fleet()

        async def steps(served: VllmBackend) -> None:
            one.override = DOWN
            assert len(await parts_from(served, request_of(), Pass())) == 1
            assert len(two.bodies) == 1

        run(both, tmp_path, steps)

    @pytest.mark.parametrize("plan", [Pass(), *PLANS])
    def test_if_all_are_out_it_is_an_error(self, plan: Plan, tmp_path: Path) -> None:
        both, one, two = fleet()

        async def steps(served: VllmBackend) -> None:
            one.override = two.override = DOWN
            with pytest.raises(UpstreamError, match="cannot be reached"):
                await parts_from(served, request_of(), plan)
            assert "http://two.test: the model server cannot be reached" in (await served.problem() or "")
            two.override = None
            assert await said(served, corrupt()) == "Ada was"  # though both were out a moment ago

        run(both, tmp_path, steps)

    @pytest.mark.parametrize("error", [httpx.ReadTimeout("slow"), httpx.ReadError("reset")])
    def test_a_request_that_was_sent_is_not_sent_twice(self, error: Exception, tmp_path: Path) -> None:
        both, one, two = fleet()

        async def steps(served: VllmBackend) -> None:
            one.override = failing(error)
            with pytest.raises(UpstreamError):
                await parts_from(served, request_of(), corrupt())
            assert two.requests == []

        run(both, tmp_path, steps)

    def test_one_that_is_back_is_asked_again_without_anybody_asking_for_its_health(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(replica_module, "_REVIVE_S", 0)
        both, one, two = fleet()

        async def steps(served: VllmBackend) -> None:
            one.override = DOWN
            await said(served, corrupt())
            one.override = None

            async def answered_by_one() -> bool:
                before = len(two.bodies)
                await said(served, corrupt())
                return len(two.bodies) == before

            for _ in range(50):
                if await answered_by_one():
                    return
                await asyncio.sleep(0.01)
            pytest.fail("it was never asked again")

        run(both, tmp_path, steps)

    def test_one_that_is_back_with_another_model_is_not(self, tmp_path: Path) -> None:
        both, one, two = fleet()

        async def steps(served: VllmBackend) -> None:
            one.override = DOWN
            await said(served, corrupt())
            one.override, one.model = None, "other"
            assert await served.problem() is None  # the other one is well
            two.requests.clear()
            await said(served, corrupt())
            assert len(two.bodies) == 1
            assert [card.id for card in served.served.models] == ["tiny"]

        run(both, tmp_path, steps)


class TestAdapters:
    def test_every_replica_gets_them_and_the_folder_stays_for_the_last(self, tmp_path: Path) -> None:
        both, one, two = fleet()

        async def steps(served: VllmBackend) -> None:
            assert await served.prepare({"a": A}) == {}
            assert set(one.loras.loaded) == set(two.loras.loaded) == {name_of(weighted(A))}
            async with aclosing(served.generate(request_of(stream=True), weighted(A))) as running:  # type: ignore[type-var]
                await anext(running)
                await served.prepare({"b": B})
                assert set(two.loras.loaded) == {name_of(weighted(B))}
                assert name_of(weighted(A)) in on_disk(tmp_path)
            assert await eventually(lambda: on_disk(tmp_path) == {name_of(weighted(B))})

        run(both, tmp_path, steps)

    def test_where_one_does_not_load_it_another_answers(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gateway.backends.vllm.lora_cache._RETRY_S", 0)
        one, two = StubVllm(loras=Loras(max_rank=1)), StubVllm()

        async def steps(served: VllmBackend) -> None:
            assert await served.prepare({"a": A}) == {}
            assert await said(served, weighted(A)) == "Ada was"
            assert name_of(weighted(A)) in two.bodies[-1]["model"]
            one.loras.max_rank = 16
            assert await said(served, weighted(A)) == "Ada was"
            assert name_of(weighted(A)) in one.loras.loaded  # tried again on its next use

        with caplog.at_level(logging.ERROR, "unrecall.upstream"):
            run(Fleet(one=one, two=two), tmp_path, steps)
        assert "not every upstream serves the adapter of a" in caplog.text
        assert "http://one.test: start vLLM with a larger --max-lora-rank" in caplog.text

    def test_where_none_loads_it_the_answer_is_a_refusal(self, tmp_path: Path) -> None:
        both = Fleet(one=StubVllm(loras=Loras(max_rank=1)), two=StubVllm(loras=Loras(enabled=False)))

        async def steps(served: VllmBackend) -> None:
            failed = (await served.prepare({"a": A}))["a"]
            assert "http://one.test: start vLLM with a larger" in failed
            assert "http://two.test: the upstream has no LoRA" in failed
            assert await said(served, weighted(A)) == DEFAULT_REFUSAL

        run(both, tmp_path, steps)

    def test_a_plan_that_no_running_upstream_can_carry_out_is_refused(self, tmp_path: Path) -> None:
        both, one, two = fleet()
        one.loras.max_rank = 1

        async def steps(served: VllmBackend) -> None:
            two.override = DOWN
            assert await said(served, weighted(A)) == DEFAULT_REFUSAL

        run(both, tmp_path, steps)
