"""Backends out of settings: each arm its own upstream, key and adapters, and one copy of the model's table."""

from pathlib import Path
from typing import Any

import pytest
from stub_vllm import TOKENIZER, WEIGHT
from torch import Tensor

from gateway.backends.vllm.backend import VllmBackend
from gateway.errors import SetupError
from gateway.server import assembly as factory
from gateway.server.assembly import BackendFactory
from gateway.settings import Settings, load_settings


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often the model's folder is read."""
    found: list[str] = []

    def table(_: Path) -> Tensor:
        found.append("table")
        return WEIGHT

    monkeypatch.setattr(factory, "embedding_table", table)
    monkeypatch.setattr(factory, "load_tokenizer", lambda _, chat_template: TOKENIZER)
    return found


def settings_of(tmp_path: Path, **arm: Any) -> Settings:
    given = {"name": "b", "share": 0.5, **({} if "model" in arm else {"upstream": "http://b"}), **arm}
    folders = {"adapters_folder": tmp_path, "upstream_adapters_folder": Path("/seen")}
    return load_settings(None, {"backend": "vllm", "upstream": "http://a", "ab_arms": [given], **folders})


def adapters_of(backend: object) -> tuple[Path, str] | None:
    assert isinstance(backend, VllmBackend)
    store = backend._lora_files
    return (store.folder, store.path("x")) if store else None


def test_arms_share_the_table_and_no_folder_of_adapters(tmp_path: Path, reads: list[str]) -> None:
    settings = settings_of(tmp_path, unlearned=["oz"])
    made = BackendFactory(settings, tmp_path)
    guarded, arm = made.guarded(), made.arm(settings.ab_arms[0])
    assert reads == ["table"]
    assert adapters_of(guarded) == (tmp_path.resolve(), "/seen/x")
    assert adapters_of(arm) == (tmp_path.resolve() / "arm-b", "/seen/arm-b/x")


def test_an_arm_that_has_forgotten_everything_gets_no_adapters(tmp_path: Path, reads: list[str]) -> None:
    settings = settings_of(tmp_path, unlearned=True)
    assert adapters_of(BackendFactory(settings, tmp_path).arm(settings.ab_arms[0])) is None


def test_a_checkpoint_that_cannot_be_read_is_said_of_its_arm(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, model=str(tmp_path))
    with pytest.raises(SetupError, match="arm 'b': "):
        BackendFactory(settings, tmp_path).arm(settings.ab_arms[0])
