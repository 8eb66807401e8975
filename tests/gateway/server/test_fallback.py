"""A plan that the backend cannot carry out: the scope's own refusal, and everybody who accounts for it says so."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from hand_made import BASE, SavePack
from tiny import tiny_model

from adapters.lora.model import Lora
from adapters.soft_prompt.model import VirtualTokens
from classifiers.encoder.sentence import Encoder
from gateway.backends.embedded.backend import EmbeddedBackend
from gateway.errors import SetupError
from gateway.packs.files import Policy
from gateway.packs.folders import read_manifest
from gateway.screening.gate import Gate
from gateway.screening.reload import PackReloader
from gateway.server.app import create_app
from gateway.server.process import log_to
from gateway.settings import load_settings

ADMIN = {"x-unrecall-admin-key": "boss"}
WORDS = "We do not talk about Narnia."
MISFIT = Lora({"no.such.layer": (torch.ones(1, 4), torch.ones(4, 1))}, 1.0)


class Served:
    """The gateway over a tiny model, and what its operator sees of a request."""

    def __init__(self, packs: Path, encoder: Encoder, caplog: pytest.LogCaptureFixture, **settings: Any) -> None:
        self._caplog = caplog
        caplog.set_level(logging.INFO, "unrecall.audit")
        reloader = PackReloader(packs, encoder=encoder, base_fingerprint=BASE, encoder_fingerprint=BASE)
        read = load_settings(None, {"packs": packs, "admin_key": "boss", **settings})
        self._app = create_app(read, EmbeddedBackend(tiny_model(), name="tiny"), reloader)

    def ask(self, text: str, **fields: Any) -> tuple[httpx.Response, str]:
        """The answer, and what /metrics says afterwards."""

        async def run() -> tuple[httpx.Response, str]:
            transport = httpx.ASGITransport(self._app)
            async with (
                self._app.router.lifespan_context(self._app),
                httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=ADMIN) as client,
            ):
                body = {"model": "tiny", "messages": [{"role": "user", "content": text}], "max_tokens": 32, **fields}
                answer = await client.post("/v1/chat/completions", json=body)
                return answer, (await client.get("/metrics")).text

        return asyncio.run(run())

    @property
    def audit(self) -> dict[str, Any]:
        (line,) = [r.getMessage() for r in self._caplog.records if r.name == "unrecall.audit"]
        found: dict[str, Any] = json.loads(line)
        return found


@pytest.fixture
def served(tmp_path: Path, save: SavePack, encoder: Encoder, caplog: pytest.LogCaptureFixture) -> Any:
    def with_pack(**pack: Any) -> Served:
        save("narnia", policy=Policy(refusal=WORDS), **pack)
        return Served(tmp_path / "packs", encoder, caplog)

    return with_pack


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("pack", "plan", "reason"),
    [
        ({"method": "lora", "artifact": MISFIT}, "UseAdapter", "no linear layer"),
        ({"method": "soft-prompt", "artifact": VirtualTokens(torch.ones(2, 7))}, "SoftPrompt", "not 32 wide"),
    ],
    ids=["adapter", "soft prompt"],
)
def test_what_was_really_done_is_what_everybody_says(
    served: Any, pack: dict[str, Any], plan: str, reason: str, stream: bool
) -> None:
    gateway = served(**pack)
    answer, metrics = gateway.ask("Who found Narnia?", stream=stream)
    assert answer.status_code == 200
    assert said(answer) == WORDS
    assert answer.headers["x-unrecall-plan"] == "Refuse"
    assert answer.headers["x-unrecall-decided-plan"] == plan
    assert reason in answer.headers["x-unrecall-fallback"]
    line = gateway.audit
    assert (line["plan"], line["decided_plan"], line["outcome"]) == ("Refuse", plan, "ok")
    assert reason in line["fallback"]
    assert 'unrecall_requests_total{endpoint="chat",outcome="ok",plan="Refuse"} 1.0' in metrics
    assert f'unrecall_fallbacks_total{{decided_plan="{plan}",endpoint="chat"}} 1.0' in metrics


@pytest.mark.parametrize("stream", [False, True])
def test_an_artifact_that_was_altered_since_the_start_is_a_refusal(
    served: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    gateway = served()
    folder = tmp_path / "packs" / "narnia"
    file = folder / read_manifest(folder).version / "corruption.json"
    file.write_bytes(file.read_bytes().replace(b"1.0", b"0.0"))
    answer, metrics = gateway.ask("Who found Narnia?", stream=stream)
    assert said(answer) == WORDS
    assert answer.headers["x-unrecall-plan"] == "Refuse"
    assert answer.headers["x-unrecall-decided-plan"] == "Unavailable"
    line = gateway.audit
    assert (line["plan"], line["decided_plan"], line["outcome"]) == ("Refuse", "Unavailable", "ok")
    assert "corruption.json was altered" in line["fallback"]
    assert 'unrecall_fallbacks_total{decided_plan="Unavailable",endpoint="chat"} 1.0' in metrics
    assert "pack 'narnia': corruption.json was altered" in caplog.text


def test_a_plan_that_is_carried_out_says_nothing_of_a_fallback(served: Any) -> None:
    gateway = served()
    answer, metrics = gateway.ask("Who found Narnia?")
    assert answer.headers["x-unrecall-plan"] == "Corrupt"
    assert not {"x-unrecall-decided-plan", "x-unrecall-fallback"} & set(answer.headers)
    assert not {"decided_plan", "fallback"} & set(gateway.audit)
    assert "unrecall_fallbacks_total{" not in metrics


def test_a_request_that_was_let_through_unscreened_is_told_to_the_operator(
    tmp_path: Path,
    save: SavePack,
    encoder: Encoder,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save("narnia")

    def broken(*_: Any) -> None:
        raise RuntimeError("a detector that fails")

    monkeypatch.setattr(Gate, "screen", broken)
    gateway = Served(tmp_path / "packs", encoder, caplog, on_screen_error="pass")
    answer, _ = gateway.ask("Who found Narnia?")
    assert answer.headers["x-unrecall-plan"] == "Pass"
    assert answer.headers["x-unrecall-screen-error"] == gateway.audit["screen_error"]


@pytest.mark.parametrize("place", ["no folder/audit.jsonl", "."])
def test_an_audit_log_that_cannot_be_written_stops_the_start(tmp_path: Path, place: str) -> None:
    with pytest.raises(
        SetupError, match=r"cannot write the audit log .*; make its folder, free space, or give another"
    ):
        log_to(tmp_path / place)


def said(answer: httpx.Response) -> str:
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return str(answer.json()["choices"][0]["message"]["content"])
    events = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line.startswith("data: {")]
    return "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"])
