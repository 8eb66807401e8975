"""/readyz: a page of a bounded size, however many packs there are."""

import asyncio
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


def readiness(packs: Path, encoder: Encoder) -> dict[str, Any]:
    reloader = PackReloader(packs, encoder=encoder, base_fingerprint=BASE, encoder_fingerprint=BASE)
    app = create_app(load_settings(None, {"packs": packs}), EmbeddedBackend(tiny_model(), name="tiny"), reloader)

    async def run() -> dict[str, Any]:
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
        ):
            found: dict[str, Any] = (await client.get("/readyz")).json()
            return found

    return asyncio.run(run())


def test_the_first_packs_stand_there_and_how_many_there_are(
    tmp_path: Path, save: SavePack, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {scope: save(scope).version for scope in ("a", "b", "c")}
    set_enabled(tmp_path / "packs" / "b", False)
    monkeypatch.setattr(routes, "_SHOWN", 2)
    body = readiness(tmp_path / "packs", encoder)
    assert body["packs_in_all"] == 3
    assert body["packs"] == {
        "a": {"version": versions["a"], "enabled": True},
        "b": {"version": versions["b"], "enabled": False},
    }
