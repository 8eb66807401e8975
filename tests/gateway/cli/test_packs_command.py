"""`unrecall packs`: what is listed for people and for programs, and how a pack goes."""

import json
from pathlib import Path

import pytest
from hand_made import SavePack
from harness import unrecall_here

from gateway.packs.folders import is_enabled, read_manifest, set_enabled


@pytest.fixture
def packs(tmp_path: Path, save: SavePack) -> Path:
    for scope in ("narnia", "oz"):
        save(scope)
    set_enabled(tmp_path / "packs" / "oz", False)
    return tmp_path / "packs"


def test_a_list_has_one_line_a_pack_in_columns(packs: Path) -> None:
    listed = unrecall_here("packs", "list", "--packs", packs)
    heading, *lines = listed.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["narnia", "yes"], ["oz", "no"]]
    for word in ("on", "method", "base model", "created", "version"):
        assert lines[0][heading.index(word) - 1] == " ", "a column begins where its heading does"
        assert lines[0][heading.index(word)] != " "


def test_a_list_for_programs_is_json_line_by_line(packs: Path) -> None:
    next((packs / "oz").glob("v-*/gate.json")).write_text("{}")
    listed = unrecall_here("packs", "list", "--json", "--packs", packs)
    assert listed.returncode == 1
    assert "gate.json was altered" in listed.stderr
    (row,) = (json.loads(line) for line in listed.stdout.splitlines())
    manifest = read_manifest(packs / "narnia")
    assert row == {
        "scope": "narnia",
        "on": True,
        "method": "corruption",
        "base_model": "tiny",
        "fnr": 0.0,
        "forget_rows": 2,
        "created": manifest.created,
        "version": manifest.version,
    }


@pytest.mark.parametrize(
    ("verb", "words"),
    [("enable", "is on: its scope is guarded"), ("disable", "is off: its scope is no longer guarded")],
)
def test_a_switch_tells_what_it_did(packs: Path, verb: str, words: str) -> None:
    for _ in range(2):  # and the same where nothing was to be done
        assert unrecall_here("packs", verb, "oz", "--packs", packs).stdout == f"pack oz {words}\n"
        assert is_enabled(packs / "oz") == (verb == "enable")


def test_a_pack_that_is_removed_is_gone(packs: Path) -> None:
    removed = unrecall_here("packs", "remove", "oz", "--packs", packs)
    assert (removed.returncode, removed.stdout) == (0, "pack oz is removed: its scope is no longer guarded\n")
    assert [path.name for path in packs.iterdir() if path.is_dir()] == ["narnia"]
    assert (packs / ".changes").read_text().splitlines()[-1] == "oz"
    (packs / "notes").mkdir()
    for name in ("oz", "notes", "../packs", ".changes"):
        again = unrecall_here("packs", "remove", name, "--packs", packs)
        assert again.returncode == 2
        assert "there is no pack" in again.stderr
    assert (packs / "notes").is_dir()
