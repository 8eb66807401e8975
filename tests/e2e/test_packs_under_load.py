"""Packs change on disk while requests come in: every request is answered, by the old packs or the new."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from harness import ADMIN, MODEL, Gateway, Json, chat, eventually, gateway_over, text_of

from gateway.backends.embedded.backend import EmbeddedBackend
from gateway.models.language_model import LanguageModel
from gateway.packs.folders import set_enabled
from gateway.packs.store import load_pack

CHAT = "/v1/chat/completions"
FLAGGED, PASSED = chat("Who wrote the Harry Potter books?"), chat("What is the capital of France?")


class Load:
    """Clients that ask without a pause; `seen` holds what they got."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._stop = threading.Event()
        self.seen: list[tuple[bool, int, str]] = []

    def __enter__(self) -> "Load":
        self._threads = [threading.Thread(target=self._ask, args=(body,)) for body in (FLAGGED, PASSED)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, body: Json) -> None:
        while not self._stop.is_set():
            try:
                answer = self._gateway.post(CHAT, body)
                self.seen.append((body is FLAGGED, answer.status_code, text_of(answer)))
            except (httpx.HTTPError, AssertionError) as error:
                self.seen.append((body is FLAGGED, 0, repr(error)))


@pytest.fixture
def gateway(language_model: LanguageModel, pack_root: Path, tmp_path: Path) -> Iterator[Gateway]:
    packs = tmp_path / "packs"
    shutil.copytree(pack_root, packs)
    with gateway_over(EmbeddedBackend(language_model, name=MODEL), packs) as served:
        yield served


def asked(gateway: Gateway) -> str:
    return text_of(gateway.post(CHAT, FLAGGED))


def test_the_gateway_follows(gateway: Gateway) -> None:
    folder = gateway.packs / "harry-potter"
    guarded, passed = asked(gateway), text_of(gateway.post(CHAT, PASSED))
    with Load(gateway) as load:
        set_enabled(folder, False)
        assert eventually(lambda: asked(gateway) != guarded, within_s=30)
        plain = asked(gateway)
        assert "Rowling" in plain

        set_enabled(folder, True)
        assert eventually(lambda: asked(gateway) == guarded, within_s=30)

        aside = folder.with_name("..aside")
        folder.rename(gateway.packs.parent / aside.name)  # gone, as an operator's rm does it
        assert eventually(lambda: asked(gateway) == plain, within_s=30)
        (gateway.packs.parent / aside.name).rename(folder)
        assert eventually(lambda: asked(gateway) == guarded, within_s=30)

    for flagged, status, text in load.seen:
        assert status == 200, text
        assert text in ((guarded, plain) if flagged else (passed,))
    assert {text for flagged, _, text in load.seen if flagged} == {guarded, plain}


def test_a_damaged_pack_leaves_the_old_one_in_force(gateway: Gateway) -> None:
    folder = gateway.packs / "harry-potter"
    guarded = asked(gateway)
    file = folder / load_pack(folder).version / "corruption.json"
    whole = file.read_bytes()
    with Load(gateway) as load:
        file.write_bytes(whole[:-10])
        assert eventually(lambda: not ready(gateway)["healthy"], within_s=30)
        assert ready(gateway)["ready"]
        (problem,) = ready(gateway)["problems"]
        assert "corruption.json was altered or cut short" in problem
        assert "its last good version keeps serving" in problem
        assert asked(gateway) == guarded
        assert "problems" not in gateway.get("/readyz").json()

        file.write_bytes(whole)
        assert eventually(lambda: ready(gateway)["healthy"], within_s=30)
    assert {(status, text) for flagged, status, text in load.seen if flagged} == {(200, guarded)}


def ready(gateway: Gateway) -> Json:
    answer = gateway.get("/readyz", headers=ADMIN)
    assert answer.status_code == 200
    body: Json = answer.json()
    return body
