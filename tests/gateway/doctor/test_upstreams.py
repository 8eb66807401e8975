"""What doctor says of the servers behind the gateway: version, model, prompt embeddings, LoRAs, and the plans."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from stub_loras import Loras
from stub_transport import Stubbed
from stub_vllm import TOKENIZER, WEIGHT, StubVllm, error_answer

from gateway.backends.vllm import backend as vllm
from gateway.doctor import upstreams as doctor
from gateway.doctor.parts import Parts
from gateway.methods.registry import method
from gateway.server import assembly
from gateway.settings import load_settings

Told = dict[str, str]
Ask = Callable[..., Told]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ask:
    """What doctor says with these stubs as upstreams, and packs of these methods."""

    def asked(*stubs: StubVllm, methods: tuple[str, ...] = ("corruption",), arms: int = 0) -> Told:
        """The last stubs are `arms`."""
        urls = [f"http://vllm-{number}" for number in range(len(stubs))]
        own = urls[: len(urls) - arms]
        compared = [{"name": f"b{url[-1]}", "share": 0.2, "upstream": url} for url in urls[len(own) :]]

        class ByUrl(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                return await stubs[urls.index(f"http://{request.url.host}")].handle_async_request(request)

        monkeypatch.setattr(vllm, "HttpTransport", lambda **_: Stubbed(ByUrl()))
        monkeypatch.setattr(doctor, "HttpTransport", lambda **_: Stubbed(ByUrl()))
        monkeypatch.setattr(assembly, "embedding_table", lambda _: WEIGHT)
        monkeypatch.setattr(assembly, "load_tokenizer", lambda *_, **__: TOKENIZER)
        given: dict[str, Any] = {
            "backend": "vllm",
            "upstream": ",".join(own),
            "adapters_folder": tmp_path,
            "ab_arms": compared,
        }
        parts = Parts(load_settings(None, given), folder=tmp_path)
        parts.methods = {name: method(name) for name in methods}
        return {finding.check: f"{finding.status} {finding.message}" for finding in doctor.upstreams(parts)}

    return asked


def statuses(told: Told) -> Told:
    return {check: message.split()[0] for check, message in told.items()}


def test_a_server_that_can_do_all_of_it(ask: Ask) -> None:
    stub = StubVllm()
    told = ask(stub, methods=("corruption", "soft-prompt", "lora"))
    assert statuses(told) == {
        "upstream http://vllm-0": "ok",
        "model of http://vllm-0": "ok",
        "prompt embeddings of http://vllm-0": "ok",
        "runtime LoRA of http://vllm-0": "ok",
        "plans": "ok",
    }
    assert "vLLM 0.32.0, serves tiny (64 tokens)" in told["upstream http://vllm-0"]
    assert "Corrupt, SoftPrompt, UseAdapter can be carried out" in told["plans"]
    assert stub.loras.loaded == {}


@pytest.mark.parametrize(
    ("version", "status"), [("0.25.1", "warning"), ("0.26.0rc1+cpu", "ok"), ("1.0", "ok"), ("dev", "ok"), ("", "ok")]
)
def test_an_old_version_is_warned_of(version: str, status: str, ask: Ask) -> None:
    stub = StubVllm()
    stub.version = version
    assert statuses(ask(stub))["upstream http://vllm-0"] == status


def test_what_a_pack_needs_and_the_server_lacks_fails(ask: Ask) -> None:
    told = ask(StubVllm(embeds=False))
    assert statuses(told)["prompt embeddings of http://vllm-0"] == "failed"
    assert "--enable-prompt-embeds" in told["prompt embeddings of http://vllm-0"]
    assert statuses(told)["plans"] == "failed"
    assert "Corrupt cannot be served" in told["plans"]


def test_what_no_pack_needs_is_a_warning(ask: Ask) -> None:
    told = statuses(ask(StubVllm(embeds=False), methods=("lora",)))
    assert told["prompt embeddings of http://vllm-0"] == "warning"
    assert told["plans"] == "ok"


def test_no_lora_at_run_time(ask: Ask) -> None:
    told = ask(StubVllm(loras=Loras(enabled=False)), methods=("lora",))
    assert statuses(told)["runtime LoRA of http://vllm-0"] == "failed"
    assert "--enable-lora" in told["runtime LoRA of http://vllm-0"]


@pytest.mark.parametrize("stub", [StubVllm(extra_tokens=1), StubVllm(logprob=-7.0)], ids=["template", "weights"])
def test_another_model_than_the_gateways_copy(stub: StubVllm, ask: Ask) -> None:
    told = statuses(ask(stub))
    assert (told["model of http://vllm-0"], told["plans"]) == ("failed", "failed")
    assert "prompt embeddings of http://vllm-0" not in told


def test_a_server_that_is_not_there_hides_no_other(ask: Ask) -> None:
    async def down(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    gone = StubVllm()
    gone.override = down
    told = statuses(ask(gone, StubVllm()))
    assert told["upstream http://vllm-0"] == "failed"
    assert told["upstream http://vllm-1"] == "ok"
    assert told["plans"] == "ok"


def test_a_wrong_key_is_said(ask: Ask) -> None:
    async def closed(_: httpx.Request) -> httpx.Response:
        return error_answer(401, "Unauthorized")

    stub = StubVllm()
    stub.override = closed
    told = ask(stub)
    assert list(statuses(told).items()) == [("upstream http://vllm-0", "failed")]
    assert "refused the gateway's key" in told["upstream http://vllm-0"]


def test_servers_of_different_models(ask: Ask) -> None:
    other = StubVllm()
    other.model = "other"
    told = ask(StubVllm(), other)
    assert statuses(told)["upstreams"] == "failed"
    assert "start all upstreams on the same model" in told["upstreams"]


def test_the_arms_of_a_comparison(ask: Ask) -> None:
    async def down(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    other, gone = StubVllm(), StubVllm()
    other.model, gone.override = "other", down
    told = ask(StubVllm(), StubVllm(), other, gone, arms=3)
    assert {check: status for check, status in statuses(told).items() if check.startswith("arm")} == {
        "arm b1": "ok",
        "arm b2": "failed",
        "arm b3": "failed",
    }
    assert "--served-model-name" in told["arm b2"]


def test_without_the_models_folder_nobody_is_asked() -> None:
    parts = Parts(load_settings(None, {"backend": "vllm", "upstream": "http://nobody"}))
    assert [finding.status for finding in doctor.upstreams(parts)] == ["failed"]
