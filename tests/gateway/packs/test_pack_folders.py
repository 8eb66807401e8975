"""The packs folder as people have it: litter is let be, a full disk is said, a damaged pack still stops the start."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hand_made import BASE, SavePack
from safetensors import SafetensorError
from standins import with_parts

from classifiers.encoder.sentence import Encoder
from gateway.errors import PackError
from gateway.files import atomic
from gateway.packs import folders
from gateway.packs.folders import list_packs, set_enabled
from gateway.packs.store import load_packs
from gateway.screening.reload import PackReloader


@pytest.fixture
def root(tmp_path: Path, save: SavePack) -> Path:
    save("narnia", aliases=("Narnia",))
    return tmp_path / "packs"


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def tree(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_litter_and_strange_folders_are_no_packs_and_stop_no_start(root: Path, encoder: Encoder) -> None:
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "README.md", "._narnia"):
        (root / name).write_bytes(b"\0")
    for name in ("lost+found", ".Trashes", "$RECYCLE.BIN", "System Volume Information", "backup", "Notes", "empty"):
        (root / name).mkdir()
    (root / "backup" / "narnia").mkdir()
    (root / "backup" / "narnia" / "manifest.json").write_text("{")
    (root / ".Trashes" / "manifest.json").write_text("{")
    version = next((root / "narnia").glob("v-*"))
    for folder in (root / "narnia", version):
        (folder / ".DS_Store").write_bytes(b"\0")
        (folder / "Thumbs.db").write_bytes(b"\0")
    assert [path.name for path in list_packs(root)] == ["narnia"]
    assert set(load_packs(root, base_fingerprint=BASE, encoder_fingerprint=BASE)) == {"narnia"}
    reloader = PackReloader(root, encoder=encoder, base_fingerprint=BASE, encoder_fingerprint=BASE)
    reloader.refresh()
    assert (reloader.problems, reloader.unguarded) == ({}, frozenset())


@pytest.mark.parametrize(("place", "advice"), [("no/such", "create it or give --packs"), ("file", "--packs a folder")])
def test_packs_that_are_no_folder_say_what_to_do(tmp_path: Path, place: str, advice: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PackError, match=advice):
        list_packs(tmp_path / place)


@pytest.mark.parametrize("damage", ["no manifest", "no json", "of another name", "a folder for a manifest"])
def test_a_damaged_pack_folder_still_stops_the_start(root: Path, encoder: Encoder, damage: str) -> None:
    folder = root / "narnia"
    match damage:
        case "no manifest":
            (folder / "manifest.json").unlink()
        case "no json":
            (folder / "manifest.json").write_text("{")
        case "of another name":
            folder = folder.rename(root / "narnia copy")
        case _:
            (folder / "manifest.json").unlink()
            (folder / "manifest.json").mkdir()
    with pytest.raises(PackError, match=folder.name):
        PackReloader(root, encoder=encoder, base_fingerprint=BASE, encoder_fingerprint=BASE)


def test_a_folder_that_cannot_be_looked_into_counts_as_a_pack(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "secret").mkdir()
    (root / "lost+found").mkdir()
    scandir, read_bytes = os.scandir, Path.read_bytes

    def refused(path: Path) -> None:
        if path.name in ("secret", "lost+found") or path.parent.name == "secret":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "scandir", lambda path: refused(Path(path)) or scandir(path))
    monkeypatch.setattr(Path, "read_bytes", lambda self: refused(self) or read_bytes(self))
    assert [path.name for path in list_packs(root)] == ["narnia", "secret"]
    with pytest.raises(PackError, match=r"'secret' has no readable manifest\.json.*Permission denied"):
        load_packs(root, base_fingerprint=BASE, encoder_fingerprint=BASE)


@pytest.mark.parametrize("where", ["artifacts", "safetensors", "manifest", "the first folder"])
def test_a_disk_that_fills_up_leaves_the_pack_of_before_and_no_scratch(
    root: Path, save: SavePack, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    before = tree(root)
    with monkeypatch.context() as patch:
        match where:
            case "artifacts":
                patch.setattr(Path, "write_text", full)
            case "safetensors":
                patch.setattr(
                    "classifiers.svm.model.save_file", lambda *_: (_ for _ in ()).throw(SafetensorError("I/O error"))
                )
            case "manifest":
                patch.setattr(atomic, "os", with_parts(os, fsync=full))
            case _:
                patch.setattr(Path, "mkdir", full)
        for scope in ("narnia", "oz"):
            with pytest.raises(PackError, match=rf"cannot write the pack into .*packs/{scope}: .*free space"):
                save(scope)
    assert tree(root) == before
    assert set(load_packs(root, base_fingerprint=BASE, encoder_fingerprint=BASE)) == {"narnia"}
    save("oz")
    assert [path.name for path in list_packs(root)] == ["narnia", "oz"]


def test_a_switch_that_cannot_be_written_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "replace_file", full)
    with pytest.raises(PackError, match=r"cannot switch pack 'narnia'.*No space"):
        set_enabled(root / "narnia", False)
    shutil.rmtree(root / "narnia")
    with pytest.raises(PackError, match="there is no pack"):
        set_enabled(root / "narnia", True)
