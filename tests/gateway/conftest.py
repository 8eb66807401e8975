"""Packs of a hand-made head and the real encoder for the gateway's tests."""

from pathlib import Path
from typing import Any

import pytest
from hand_made import SavePack, artifacts_of, manifest_of
from hypothesis import settings
from tiny import minilm

from classifiers.encoder.sentence import Encoder
from gateway.packs.manifest import Manifest
from gateway.packs.store import save_pack

# Two cores are shared with whatever else runs: no deadline for an example.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return minilm()


@pytest.fixture
def save(tmp_path: Path) -> SavePack:
    """Saves a pack under tmp_path/packs; keyword arguments are those of `artifacts_of`, `changes` of its manifest."""
    root = tmp_path / "packs"
    root.mkdir()

    def save_one(scope: str, *, changes: dict[str, Any] | None = None, **artifacts: Any) -> Manifest:
        return save_pack(root, artifacts_of(**artifacts), manifest_of(scope, **(changes or {})))

    return save_one
