"""Unlearning adapters on the vLLM backend: one upstream that loads them, loses them, or does not take them."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import torch
from stub_loras import Loras, error_answer
from stub_plans import eventually, lora, name_of, on_disk, run, said, upstream_calls, weighted
from stub_vllm import Bytes, StubVllm, backend, events_of, failing, request_of, written

from adapters.lora.model import Lora
from gateway.backends.vllm import lora_cache as cache_module
from gateway.backends.vllm.backend import VllmBackend
from gateway.core import DEFAULT_REFUSAL, Endpoint, Pass, Sampling
from gateway.errors import AnswerError, UpstreamError, UpstreamRefused
from gateway.methods.lora import UseAdapter

A, B, C = lora(1), lora(2), lora(3)


class TestAnswers:
    @pytest.mark.parametrize("endpoint", ["chat", "completions"])
    @pytest.mark.parametrize(("stream", "usage"), [(False, False), (True, False), (True, True)])
    def test_reads_like_an_untouched_answer_but_for_the_reasoning(
        self, endpoint: Endpoint, stream: bool, usage: bool, tmp_path: Path
    ) -> None:
        request = request_of(endpoint=endpoint, stream=stream, usage=usage, sampling=Sampling(max_tokens=2, logprobs=1))
        adapted, untouched = (
            written(StubVllm(), request, plan, adapters_folder=tmp_path) for plan in (weighted(A), Pass())
        )

        def comparable(answer: bytes) -> list[Any]:
            events = answer.decode().replace('"reasoning":"thinking"', '"reasoning":null').split("\n\n")
            payloads = [orjson.loads(event.removeprefix("data: ")) for event in events if "{" in event]
            return [{**payload, "id": "", "created": 0} for payload in payloads]

        def words(payloads: list[Any]) -> list[Any]:
            return [(list(p), p["model"], [list(choice) for choice in p["choices"]], p.get("usage")) for p in payloads]

        assert words(comparable(adapted)) == words(comparable(untouched))
        assert b"unrecall" not in adapted

    def test_asks_for_the_adapter_and_changes_nothing_else(self, tmp_path: Path) -> None:
        stub, plan = StubVllm(), weighted(A, weight=0.5)
        assert run(stub, tmp_path, lambda served: said(served, plan)) == "Ada was"
        assert orjson.loads(stub.requests[-1].content) == {
            **orjson.loads(request_of(sampling=Sampling()).raw),
            "model": name_of(plan),
        }

    @pytest.mark.parametrize(
        "complaint",
        [
            error_answer(404, f"The model `{name_of(weighted(A))}` does not exist."),
            error_answer(400, f"{name_of(weighted(A))} is not ready"),
            error_answer(400, "Got lora_request X but LoRA is not enabled!"),
        ],
    )
    def test_a_complaint_about_the_adapter_becomes_a_refusal(self, complaint: httpx.Response, tmp_path: Path) -> None:
        assert said_after(complaint, tmp_path) == DEFAULT_REFUSAL

    @pytest.mark.parametrize("code", [400, 404])
    def test_in_the_midst_of_an_answer_it_ends_without_a_word_of_the_adapter(self, code: int, tmp_path: Path) -> None:
        """The answer must not begin anew behind what the client has."""
        name = name_of(weighted(A))
        begun = events_of(True, {"model": name}, 3, False)[:2]
        told = {"error": {"message": f"The model `{name}` is gone", "code": code}}
        data = b"".join([*begun, b"data: " + orjson.dumps(told) + b"\n\n"]).replace(
            b'"tiny"', b'"' + name.encode() + b'"'
        )
        answer = httpx.Response(200, stream=Bytes(data))
        with pytest.raises(UpstreamError, match=r"^the model server failed while it answered$"):
            said_after(answer, tmp_path, stream=True)

    def test_a_complaint_about_the_request_travels_on(self, tmp_path: Path) -> None:
        with pytest.raises(UpstreamRefused, match="at least 1"):
            said_after(error_answer(400, "max_tokens must be at least 1"), tmp_path)

    def test_an_answer_without_the_adapter_is_never_handed_on(self, tmp_path: Path) -> None:
        """vLLM can be told to take any name for its own model's."""
        event = events_of(True, {}, 3, False)[1]
        answer = httpx.Response(200, stream=Bytes(event, b"data: [DONE]\n\n"))
        assert said_after(answer, tmp_path, stream=True) == DEFAULT_REFUSAL


def said_after(generation: httpx.Response, folder: Path, **options: Any) -> str:
    """The answer to a client if the upstream answers so to an adapter that it has loaded."""
    stub = StubVllm()

    async def steps(served: VllmBackend) -> str:
        stub.generation = lambda: generation
        return await said(served, weighted(A), **options)

    return run(stub, folder, steps)


class TestLoading:
    def test_a_mixture_is_one_adapter_of_a_rank_that_vllm_knows(self, tmp_path: Path) -> None:
        stub, plan = StubVllm(), UseAdapter((*weighted(A, weight=0.5).adapters, *weighted(B).adapters))
        run(stub, tmp_path, lambda served: said(served, plan))
        assert stub.loras.loaded == {name_of(plan): str(tmp_path / name_of(plan))}
        config = orjson.loads((tmp_path / name_of(plan) / "adapter_config.json").read_bytes())
        assert config["r"] == 8
        mixed = Lora.load(tmp_path / name_of(plan))
        x = torch.randn(8)

        def change(lora: Lora) -> torch.Tensor:
            down, up = lora.layers["layers.0.q_proj"]
            return lora.scaling * (up @ (down @ x))

        assert torch.allclose(change(mixed), 0.5 * change(A) + change(B), atol=1e-5)

    def test_each_weight_and_version_has_its_own_name_and_the_order_of_scopes_none(self) -> None:
        names = {name_of(plan) for plan in (weighted(A), weighted(B), weighted(A, weight=0.5), weighted(A, B))}
        assert len(names) == 4
        assert name_of(weighted(A, B)) == name_of(weighted(B, A))
        assert name_of(weighted(lora(1))) == name_of(weighted(A))

    def test_concurrent_first_uses_load_once(self, tmp_path: Path) -> None:
        stub = StubVllm()
        stub.slow = ("/v1/load_lora_adapter",)

        async def steps(served: VllmBackend) -> list[str]:
            return await asyncio.gather(*(said(served, weighted(A)) for _ in range(5)))

        assert run(stub, tmp_path, steps) == ["Ada was"] * 5
        assert upstream_calls(stub, "load") == [name_of(weighted(A))]

    def test_the_least_recently_used_makes_room(self, tmp_path: Path) -> None:
        stub = StubVllm()

        async def steps(served: VllmBackend) -> None:
            for used in (A, B, A, C):
                await said(served, weighted(used))
            kept = {name_of(weighted(A)), name_of(weighted(C))}
            assert await eventually(lambda: set(stub.loras.loaded) == kept == on_disk(tmp_path))

        run(stub, tmp_path, steps, slots=2)
        assert upstream_calls(stub, "unload") == [name_of(weighted(B))]

    def test_an_adapter_in_use_is_not_unloaded_until_it_is_released(self, tmp_path: Path) -> None:
        stub = StubVllm()

        async def steps(served: VllmBackend) -> None:
            running = served.generate(request_of(stream=True), weighted(A))
            assert (await anext(running)).deltas
            assert await said(served, weighted(B)) == "Ada was"  # above the bound, without waiting
            assert await eventually(lambda: name_of(weighted(B)) not in stub.loras.loaded)
            assert name_of(weighted(A)) in stub.loras.loaded
            assert [event async for event in running]
            await said(served, weighted(C))
            assert await eventually(lambda: set(stub.loras.loaded) == {name_of(weighted(C))})

        run(stub, tmp_path, steps, slots=1)

    def test_the_upstream_may_see_the_folder_elsewhere(self, tmp_path: Path) -> None:
        stub = StubVllm()
        stub.loras.sees = ("/adapters", str(tmp_path))
        assert (
            run(stub, tmp_path, lambda s: said(s, weighted(A)), upstream_adapters_folder=Path("/adapters")) == "Ada was"
        )
        assert stub.loras.loaded == {name_of(weighted(A)): f"/adapters/{name_of(weighted(A))}"}

    @pytest.mark.parametrize(("ours", "answer"), [(True, "Ada was"), (False, DEFAULT_REFUSAL)])
    def test_one_loaded_already_is_taken_only_from_our_folder(self, ours: bool, answer: str, tmp_path: Path) -> None:
        stub, name = StubVllm(), name_of(weighted(A))
        stub.loras.loaded[name] = str(tmp_path / name) if ours else f"/elsewhere/{name}"
        assert run(stub, tmp_path, lambda served: said(served, weighted(A))) == answer


class TestRefusedLoads:
    @pytest.mark.parametrize(
        ("loras", "words"),
        [
            (Loras(runtime=False), "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"),
            (Loras(enabled=False), "--enable-lora"),
        ],
    )
    def test_an_upstream_without_adapters_is_known_from_the_start(
        self, loras: Loras, words: str, tmp_path: Path
    ) -> None:
        stub = StubVllm(loras=loras)

        async def steps(served: VllmBackend) -> None:
            assert words in served.served.unsupported_needs["adapters"]
            assert "prompt_embeds" not in served.served.unsupported_needs
            assert words in (await served.prepare({"scope": A}))["scope"]
            assert await said(served, weighted(A)) == DEFAULT_REFUSAL

        run(stub, tmp_path, steps)
        assert stub.requests == []

    def test_without_a_folder_there_are_none(self) -> None:
        async def inside() -> None:
            async with backend(StubVllm()) as served:
                assert "adapters_folder" in served.served.unsupported_needs["adapters"]
                assert "adapters_folder" in (await served.prepare({"scope": A}))["scope"]
                assert await said(served, weighted(A)) == DEFAULT_REFUSAL

        asyncio.run(inside())

    @pytest.mark.parametrize(
        ("used", "options", "words"),
        [
            ((lora(rank=17),), {}, "--max-lora-rank"),
            ((lora(rank=600),), {}, "at most 512"),
            ((A,), {"upstream_adapters_folder": Path("/not/there")}, "cannot see the folder /not/there"),
        ],
    )
    def test_the_log_says_what_to_do_and_the_upstream_is_left_alone_for_a_while(
        self,
        used: tuple[Lora, ...],
        options: Any,
        words: str,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        stub = StubVllm()

        async def steps(served: VllmBackend) -> None:
            assert [await said(served, weighted(*used)) for _ in range(3)] == [DEFAULT_REFUSAL] * 3

        with caplog.at_level(logging.ERROR, "unrecall.adapters"):
            run(stub, tmp_path, steps, **options)
        told = [record.getMessage() for record in caplog.records if record.name == "unrecall.adapters"]
        assert len(told) == 1
        assert words in told[0]
        assert len(upstream_calls(stub, "load")) <= 1
        assert on_disk(tmp_path) == set()

        monkeypatch.setattr(cache_module, "_RETRY_S", 0)
        run(stub, tmp_path, steps, **options)
        assert len(upstream_calls(stub, "load")) == (0 if "512" in words else 3)

    @pytest.mark.parametrize("error", [httpx.ReadTimeout("slow"), httpx.ReadError("reset")])
    def test_a_load_that_gets_no_answer_is_a_refusal(self, error: Exception, tmp_path: Path) -> None:
        stub = StubVllm()

        async def steps(served: VllmBackend) -> str:
            stub.override = failing(error)
            return await said(served, weighted(A))

        assert run(stub, tmp_path, steps) == DEFAULT_REFUSAL

    def test_an_upstream_that_is_gone_is_an_error_as_for_any_plan(self, tmp_path: Path) -> None:
        stub = StubVllm()

        async def steps(served: VllmBackend) -> str:
            stub.override = failing(httpx.ConnectError("refused"))
            return await said(served, weighted(A))

        with pytest.raises(AnswerError) as raised:
            run(stub, tmp_path, steps)
        assert raised.value.status == 502
