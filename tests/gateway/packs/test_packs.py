"""Packs: trusted only as a whole, and always whole for every reader."""

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from hand_made import BASE, CORRUPTION, OTHER, SavePack

from adapters.lora.model import Lora
from adapters.soft_prompt.model import VirtualTokens
from classifiers.names.measure import AliasAlarms
from classifiers.names.ordinary import Alias
from gateway.errors import PackError
from gateway.packs.files import Policy
from gateway.packs.folders import list_packs, read_manifest, set_enabled
from gateway.packs.store import Pack, load_pack, load_packs


@pytest.fixture
def folder(tmp_path: Path, save: SavePack) -> Path:
    save("narnia", aliases=("Narnia", "Aslan"), policy=Policy(plan="instruct", refusal="No.", instruction="Forget."))
    return tmp_path / "packs" / "narnia"


def load(folder: Path) -> Pack:
    return load_pack(folder, base_fingerprint=BASE, encoder_fingerprint=BASE)


def version_of(folder: Path) -> Path:
    return folder / str(json.loads((folder / "manifest.json").read_text())["version"])


def edit_manifest(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))


def test_saving_and_loading_change_nothing(folder: Path) -> None:
    pack = load(folder)
    assert pack.aliases == ("Narnia", "Aslan")
    assert pack.enabled
    assert (pack.guard.scope, pack.guard.plan, pack.guard.refusal) == ("narnia", "instruct", "No.")
    assert pack.guard.instruction == "Forget."
    assert pack.artifact == CORRUPTION
    assert pack.model.threshold == 1.0
    assert read_manifest(folder).calibration.alpha == 0.001
    files = {"gate.safetensors", "gate.json", "corruption.json", "curve.json", "leaks.safetensors"}
    assert set(read_manifest(folder).files) == files


@pytest.mark.parametrize(
    ("artifact", "method", "files"),
    [
        (VirtualTokens(torch.ones(2, 4)), "soft-prompt", {"soft_prompt.safetensors"}),
        (
            Lora({"layer": (torch.ones(1, 4), torch.ones(4, 1))}, 0.5),
            "lora",
            {"adapter_config.json", "adapter_model.safetensors"},
        ),
    ],
    ids=["soft prompt", "lora"],
)
def test_each_method_has_its_own_files(
    tmp_path: Path, save: SavePack, artifact: VirtualTokens | Lora, method: str, files: set[str]
) -> None:
    save("oz", artifact=artifact, method=method)
    folder = tmp_path / "packs" / "oz"
    pack = load(folder)
    assert pack.guard.method.name == read_manifest(folder).method == method
    assert type(pack.artifact) is type(artifact)
    assert files <= set(read_manifest(folder).files)
    assert "corruption.json" not in read_manifest(folder).files
    next(folder.glob(f"v-*/{min(files)}")).unlink()
    with pytest.raises(PackError, match=min(files)):
        load(folder)


def test_a_pack_holds_nothing_that_runs(folder: Path) -> None:
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".json", ".safetensors"}


@pytest.mark.parametrize("file", ["gate.safetensors", "gate.json", "corruption.json", "curve.json"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes() + b" "), "altered or cut short"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "altered or cut short"),
        (lambda path: path.write_bytes(b""), "altered or cut short"),
        (lambda path: path.unlink(), "lacks"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
    ],
    ids=["added", "cut", "emptied", "missing", "a folder"],
)
def test_a_damaged_file_is_refused_by_name(folder: Path, file: str, damage: Any, words: str) -> None:
    damage(version_of(folder) / file)
    with pytest.raises(PackError, match=words) as error:
        load(folder)
    assert file in str(error.value)
    assert "narnia" in str(error.value)


def test_a_file_that_the_manifest_does_not_list_is_refused(folder: Path) -> None:
    (version_of(folder) / "extra.py").write_text("print()")
    with pytest.raises(PackError, match=r"does not list: extra\.py"):
        load(folder)


@pytest.mark.parametrize("file", ["gate.safetensors", "gate.json", "corruption.json"])
def test_a_manifest_that_leaves_a_needed_file_out_is_refused(folder: Path, file: str) -> None:
    (version_of(folder) / file).unlink()
    edit_manifest(folder, files={n: h for n, h in load_manifest(folder)["files"].items() if n != file})
    with pytest.raises(PackError, match=f"does not list {file}"):
        load(folder)


def load_manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "manifest.json").read_text()))


@pytest.mark.parametrize(("name", "content"), [("gate.json", b"{}"), ("gate.safetensors", b"junk"), ("gate.json", b"")])
def test_files_that_match_their_hash_but_hold_no_gate_are_refused(folder: Path, name: str, content: bytes) -> None:
    import hashlib

    (version_of(folder) / name).write_bytes(content)
    edit_manifest(folder, files={**load_manifest(folder)["files"], name: hashlib.sha256(content).hexdigest()})
    with pytest.raises(PackError, match="cannot be read"):
        load(folder)


def test_another_base_model_is_refused_and_named(folder: Path) -> None:
    with pytest.raises(PackError, match=r"'narnia'.*another base model \(tiny\)"):
        load_pack(folder, base_fingerprint=OTHER, encoder_fingerprint=BASE)


def test_another_encoder_is_refused(folder: Path) -> None:
    with pytest.raises(PackError, match="another sentence encoder"):
        load_pack(folder, base_fingerprint=BASE, encoder_fingerprint=OTHER)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema_version": 1}, "schema_version"),
        ({"shiny": 1}, "shiny"),
        ({"method": "Magic!"}, "method"),
        ({"version": "../elsewhere"}, "version"),
        ({"files": {"../gate.json": BASE}}, "files"),
        ({"files": {"gate.json": "short"}}, "files"),
        ({"base_fingerprint": None}, "base_fingerprint"),
    ],
)
def test_a_manifest_that_is_not_valid_is_refused_by_key(folder: Path, changes: dict[str, Any], words: str) -> None:
    edit_manifest(folder, **changes)
    with pytest.raises(PackError, match=f"manifest of pack 'narnia' is not valid: {words}"):
        load(folder)


def test_a_method_that_nobody_registered_is_refused_by_name(folder: Path) -> None:
    edit_manifest(folder, method="magic")
    with pytest.raises(PackError, match=r"pack 'narnia': unknown method 'magic'.*corruption, soft-prompt, lora"):
        load(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_manifest_that_is_no_json_is_refused(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(PackError, match="manifest of pack 'narnia'"):
        load(folder)


def test_a_manifest_may_have_a_mark_in_front(folder: Path) -> None:
    manifest = folder / "manifest.json"
    manifest.write_bytes(b"\xef\xbb\xbf" + manifest.read_bytes())
    assert load(folder).aliases == ("Narnia", "Aslan")


def test_a_pack_that_there_is_not_is_said(folder: Path) -> None:
    with pytest.raises(PackError, match=r"there is no pack 'oz' in .*; `unrecall packs list` names them"):
        read_manifest(folder.with_name("oz"))


def test_no_manifest_and_no_version_are_said(folder: Path) -> None:
    shutil.rmtree(version_of(folder))
    with pytest.raises(PackError, match="lacks its version folder"):
        load(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(PackError, match=r"no readable manifest\.json"):
        load(folder)


def test_a_renamed_folder_is_refused(folder: Path) -> None:
    renamed = folder.rename(folder.with_name("oz"))
    with pytest.raises(PackError, match=r"'oz' holds a pack of scope 'narnia'"):
        load(renamed)


def test_switching_off_and_on(folder: Path) -> None:
    for enabled in (False, False, True, True):
        set_enabled(folder, enabled)
        assert load(folder).enabled is enabled
    with pytest.raises(PackError, match="nowhere"):
        set_enabled(folder.with_name("nowhere"), False)


def test_a_pack_that_is_off_stays_off_when_it_is_trained_again(folder: Path, save: SavePack) -> None:
    set_enabled(folder, False)
    save("narnia")
    assert not load(folder).enabled


def test_replacing_leaves_exactly_one_version(folder: Path, save: SavePack) -> None:
    before = version_of(folder)
    save("narnia", aliases=("Jadis",))
    assert load(folder).aliases == ("Jadis",)
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", version_of(folder).name]
    assert version_of(folder) != before


def test_a_save_that_fails_leaves_the_old_pack(folder: Path, save: SavePack) -> None:
    with pytest.raises(ValueError, match="base_fingerprint"):
        save("narnia", changes={"base_fingerprint": "no hash"})
    assert load(folder).aliases == ("Narnia", "Aslan")
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", version_of(folder).name]


def test_a_reader_always_sees_a_whole_pack(folder: Path, save: SavePack) -> None:
    seen: list[str] = []
    problems: list[Exception] = []
    saved = threading.Event()

    def read() -> None:
        while not saved.is_set():
            try:
                pack = load(folder)
                seen.append(f"{pack.version} {pack.aliases[0]}")
            except Exception as error:
                problems.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    versions = {load(folder).version: "Narnia"}
    for number in range(20):
        versions[save("narnia", aliases=(f"Name{number}",)).version] = f"Name{number}"
    saved.set()
    for reader in readers:
        reader.join()
    assert problems == []
    assert {tuple(one.split()) for one in seen} <= set(versions.items())


def test_all_packs_of_a_root(folder: Path, save: SavePack) -> None:
    save("oz", aliases=("Oz",))
    root = folder.parent
    (root / ".hidden").mkdir()
    (root / "notes.txt").write_text("x")
    assert [path.name for path in list_packs(root)] == ["narnia", "oz"]
    assert set(load_packs(root, base_fingerprint=BASE, encoder_fingerprint=BASE)) == {"narnia", "oz"}
    (version_of(root / "oz") / "gate.json").unlink()
    with pytest.raises(PackError, match="'oz'"):
        load_packs(root, base_fingerprint=BASE, encoder_fingerprint=BASE)


def test_a_root_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"nowhere.*--packs"):
        list_packs(tmp_path / "nowhere")


def test_the_rule_of_an_alias_is_kept(save: SavePack, tmp_path: Path) -> None:
    save("narnia", aliases=("Narnia", Alias("Lucy", "confirmed")))
    assert load(tmp_path / "packs" / "narnia").aliases == ("Narnia", Alias("Lucy", "confirmed"))


def test_a_manifest_keeps_the_alarms_of_names_alone(save: SavePack, tmp_path: Path) -> None:
    alarms = {"general": AliasAlarms(3449, 3, {"March": 3})}
    save("narnia", changes={"alias_alarms": alarms})
    assert read_manifest(tmp_path / "packs" / "narnia").alias_alarms == alarms
