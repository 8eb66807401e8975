"""What everybody may read: whether the server can answer, and nothing of packs and scopes. The operator sees more."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hand_made import BASE, SavePack
from tiny import tiny_model

from classifiers.encoder.sentence import Encoder
from gateway.backends.embedded.backend import EmbeddedBackend
from gateway.packs.folders import set_enabled
from gateway.screening.reload import PackReloader
from gateway.server import routes
from gateway.server.app import create_app
from gateway.settings import load_settings

ADMIN = {"x-unrecall-admin-key": "boss"}
SCOPE = "narnia"
FLAGGED, OTHER = "Who found Narnia?", "Who found Florida?"
Visit = Callable[[httpx.AsyncClient], Awaitable[Any]]


def visited(packs: Path, encoder: Encoder, visit: Visit, **settings: Any) -> Any:
    """What a visitor of the server brings back."""
    reloader = PackReloader(packs, encoder=encoder, base_fingerprint=BASE, encoder_fingerprint=BASE)
    read = load_settings(None, {"packs": packs, **settings})
    app = create_app(read, EmbeddedBackend(tiny_model(), name="tiny"), reloader)

    async def run() -> Any:
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
        ):
            return await visit(client)

    return asyncio.run(run())


def readiness(packs: Path, encoder: Encoder) -> dict[str, Any]:
    async def visit(client: httpx.AsyncClient) -> Any:
        return (await client.get("/readyz", headers=ADMIN)).json()

    found: dict[str, Any] = visited(packs, encoder, visit, admin_key="boss")
    return found


async def asked(client: httpx.AsyncClient, text: str) -> httpx.Response:
    body = {"model": "tiny", "messages": [{"role": "user", "content": text}], "max_tokens": 2, "temperature": 0}
    return await client.post("/v1/chat/completions", json=body)


def test_the_first_packs_stand_there_and_how_many_there_are(
    tmp_path: Path, save: SavePack, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {scope: save(scope).version for scope in ("a", "b", "c")}
    set_enabled(tmp_path / "packs" / "b", False)
    monkeypatch.setattr(routes, "_SHOWN", 2)
    body = readiness(tmp_path / "packs", encoder)
    assert body["packs_in_all"] == 3
    assert body["packs"] == {
        "a": {"version": versions["a"], "enabled": True, "whole": True},
        "b": {"version": versions["b"], "enabled": False, "whole": True},
    }


def test_a_concern_is_no_reason_to_be_unready(
    tmp_path: Path, save: SavePack, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(SCOPE)
    assert readiness(tmp_path / "packs", encoder)["healthy"] is True
    monkeypatch.setattr(EmbeddedBackend, "concerns", ("two gateways fight",))
    body = readiness(tmp_path / "packs", encoder)
    assert (body["ready"], body["healthy"], body["problems"]) == (True, False, ["two gateways fight"])


@pytest.mark.parametrize("settings", [{}, {"admin_key": "boss"}, {"metrics": "open"}], ids=str)
def test_nobody_but_the_operator_reads_of_a_scope(
    tmp_path: Path, save: SavePack, encoder: Encoder, settings: dict[str, Any]
) -> None:
    save(SCOPE)
    paths = "/", "/healthz", "/readyz", "/metrics", "/v1/models", "/openapi.json", "/docs", "/redoc", "/nowhere"

    async def visit(client: httpx.AsyncClient) -> dict[str, httpx.Response]:
        await asked(client, FLAGGED)
        return {path: await client.get(path, headers={"x-unrecall-admin-key": "wrong"}) for path in paths}

    found = visited(tmp_path / "packs", encoder, visit, **settings)
    for path, answer in found.items():
        told = f"{answer.headers} {answer.text}".lower()
        assert not [word for word in (SCOPE, "pack", "scope", "flagged", "corrupt", "refuse") if word in told], path
    assert found["/readyz"].json() == {"ready": True}
    assert found["/metrics"].status_code == (200 if "metrics" in settings else 401)


def test_a_visitor_without_the_admin_key_reads_the_same_whether_or_not_one_is_set(
    tmp_path: Path, save: SavePack, encoder: Encoder
) -> None:
    save(SCOPE)

    async def visit(client: httpx.AsyncClient) -> Any:
        return (await client.get("/metrics")).json()["error"]["message"]

    told = [visited(tmp_path / "packs", encoder, visit, **settings) for settings in ({}, {"admin_key": "boss"})]
    assert told[0] == told[1]
    assert "send the admin key in x-unrecall-admin-key; the operator sets it with UNRECALL_ADMIN_KEY" in told[0]


def test_open_metrics_move_for_a_flagged_request_as_for_any_other(
    tmp_path: Path, save: SavePack, encoder: Encoder
) -> None:
    save(SCOPE)

    async def visit(client: httpx.AsyncClient) -> list[list[str]]:
        moved = []
        for text in (OTHER, FLAGGED, OTHER):
            before = (await client.get("/metrics")).text.splitlines()
            await asked(client, text)
            after = (await client.get("/metrics")).text.splitlines()
            names = [line.rpartition(" ")[0] for line in set(after) - set(before)]
            moved.append([name for name in names if "_bucket" not in name])
        return moved

    _, flagged, other = visited(tmp_path / "packs", encoder, visit, metrics="open")
    assert sorted(flagged) == sorted(other)
    assert 'unrecall_requests_total{endpoint="chat",outcome="ok"}' in flagged


def test_why_it_is_not_ready_stands_in_the_log_and_not_on_the_page(
    tmp_path: Path, save: SavePack, encoder: Encoder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "unrecall")

    async def visit(client: httpx.AsyncClient) -> list[httpx.Response]:
        await asyncio.to_thread(save, SCOPE)
        next((tmp_path / "packs" / SCOPE).glob("v-*/gate.json")).write_text("{}")
        async with asyncio.timeout(30):
            while (await client.get("/readyz")).status_code == 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return [await client.get("/readyz"), await client.get("/readyz"), await asked(client, OTHER)]

    once, again, refused = visited(tmp_path / "packs", encoder, visit)
    assert once.status_code == again.status_code == refused.status_code == 503
    assert once.json() == again.json() == {"ready": False}
    assert "pack" not in refused.text
    assert [r.getMessage() for r in caplog.records].count(
        "not ready: a pack cannot be loaded; the gateway's log says which and why"
    ) == 1


def test_a_pack_whose_late_file_is_damaged_is_not_whole_and_its_requests_are_refused(
    tmp_path: Path, save: SavePack, encoder: Encoder, caplog: pytest.LogCaptureFixture
) -> None:
    save(SCOPE)
    save("oz", aliases=("Emerald City",))

    async def visit(client: httpx.AsyncClient) -> list[httpx.Response]:
        next((tmp_path / "packs" / SCOPE).glob("v-*/corruption.json")).write_text("{}")
        refused = await asked(client, FLAGGED)
        return [refused, await asked(client, OTHER), await client.get("/readyz", headers=ADMIN)]

    refused, other, ready = visited(tmp_path / "packs", encoder, visit, admin_key="boss")
    assert "I'm sorry".startswith(refused.json()["choices"][0]["message"]["content"])  # two tokens of it
    assert other.status_code == 200
    assert ready.status_code == 200
    assert not ready.json()["healthy"]
    assert "corruption.json was altered" in " ".join(ready.json()["problems"])
    assert {scope: pack["whole"] for scope, pack in ready.json()["packs"].items()} == {SCOPE: False, "oz": True}
    assert not [record for record in caplog.records if record.exc_info]
