"""Packs that are bad, turn bad, or whose late files cannot be read: they never take a good one's place."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from hand_made import CORRUPTION, SavePack
from reload_house import damage, flags, reloader_of, screened

from adapters.lora.model import Lora
from adapters.soft_prompt.model import VirtualTokens
from classifiers.encoder.sentence import Encoder
from gateway.packs.artifacts import ArtifactCache
from gateway.packs.folders import remove_pack, set_enabled

LORA = Lora({"layer": (torch.ones(1, 4), torch.ones(4, 1))}, 1.0)


def test_a_pack_that_turns_bad_keeps_its_last_good_version(root: Path, encoder: Encoder, save: SavePack) -> None:
    packs = reloader_of(root, encoder)
    damage(root, "narnia")
    save("oz", aliases=("Emerald City",))
    packs.refresh()
    assert flags(packs, "In Narnia")
    assert flags(packs, "the Emerald City"), "one bad pack must not hold up the others"
    assert list(packs.problems) == ["narnia"]
    assert "gate.json was altered" in packs.problems["narnia"]
    assert "last good version keeps serving" in packs.problems["narnia"]
    packs.refresh()
    assert list(packs.problems) == ["narnia"], "the problem stays until it is mended"
    save("narnia", aliases=("Narnia",))
    packs.refresh()
    assert packs.problems == {}


def test_a_version_that_was_switched_off_does_not_stand_in_for_a_bad_one_that_is_switched_on(
    root: Path, encoder: Encoder
) -> None:
    """It guards nothing: every question inside the scope would be answered."""
    set_enabled(root / "narnia", False)
    packs = reloader_of(root, encoder)
    file = next((root / "narnia").glob("v-*/gate.json"))
    content = file.read_bytes()
    damage(root, "narnia")
    set_enabled(root / "narnia", True)
    packs.refresh()
    assert packs.unguarded == {"narnia"}
    assert "NOTHING is answered" in packs.problems["narnia"]
    file.write_bytes(content)
    set_enabled(root / "narnia", True)
    packs.refresh()
    assert packs.unguarded == frozenset()
    assert flags(packs, "In Narnia")


def test_a_damaged_pack_that_is_switched_off_stops_neither_start_nor_answers(
    root: Path, encoder: Encoder, save: SavePack, caplog: pytest.LogCaptureFixture
) -> None:
    save("oz", aliases=("Emerald City",))
    set_enabled(root / "oz", False)
    file = next((root / "oz").glob("v-*/gate.json"))
    content = file.read_bytes()
    damage(root, "oz")
    packs = reloader_of(root, encoder)
    assert "gate.json was altered" in caplog.text
    packs.refresh()
    assert not packs.unguarded
    assert "switched off" in packs.problems["oz"]
    assert flags(packs, "In Narnia")
    (root / "oz" / "disabled").unlink()
    packs.refresh()
    assert packs.unguarded == {"oz"}
    file.write_bytes(content)
    packs.refresh()
    assert packs.problems == {}
    assert flags(packs, "the Emerald City")


@pytest.mark.parametrize("part", ["gate.json", "manifest.json"])
def test_a_pack_that_turned_bad_can_be_switched_off(root: Path, encoder: Encoder, part: str) -> None:
    packs = reloader_of(root, encoder)
    next((root / "narnia").rglob(part)).write_text("{}")
    packs.refresh()
    assert flags(packs, "In Narnia"), "its last good version serves"
    set_enabled(root / "narnia", False)
    packs.refresh()
    assert not flags(packs, "In Narnia")
    assert not packs.unguarded
    assert "switched off" in packs.problems["narnia"]


@pytest.mark.parametrize("name", ["corruption.json", "leaks.safetensors"])
def test_a_file_that_is_read_late_and_altered_in_place_is_noticed_before_it_is_needed(
    root: Path, encoder: Encoder, name: str
) -> None:
    packs = reloader_of(root, encoder)
    file = next((root / "narnia").glob(f"v-*/{name}"))
    content = file.read_bytes()
    file.write_bytes(b"{}")
    packs.refresh()
    assert f"{name} was altered" in packs.problems["narnia"]
    assert flags(packs, "In Narnia")
    file.write_bytes(content)
    packs.refresh()
    assert packs.problems == {}


def test_a_new_pack_that_is_bad_leaves_its_scope_unguarded_and_says_so(
    root: Path, encoder: Encoder, save: SavePack
) -> None:
    packs = reloader_of(root, encoder)
    save("oz")
    damage(root, "oz")
    packs.refresh()
    assert "NOTHING is answered until it is mended" in packs.problems["oz"]
    assert packs.unguarded == {"oz"}
    assert set(packs.packs) == {"narnia"}
    shutil.rmtree(root / "oz")
    packs.refresh()
    assert packs.problems == {}
    assert not packs.unguarded


def test_a_folder_that_is_no_pack_yet_holds_nothing_up(root: Path, encoder: Encoder, save: SavePack) -> None:
    """A trainer writes a version first and its manifest last."""
    packs = reloader_of(root, encoder)
    save("oz", aliases=("Emerald City",))
    manifest = root / "oz" / "manifest.json"
    manifest.rename(root.with_name("manifest.json"))
    packs.refresh()
    assert not packs.unguarded
    assert "not a pack yet" in packs.problems["oz"]
    root.with_name("manifest.json").rename(manifest)
    packs.refresh()
    assert flags(packs, "the Emerald City")


def test_a_file_that_was_only_touched_back_is_fine_again(root: Path, encoder: Encoder) -> None:
    packs = reloader_of(root, encoder)
    file = next((root / "narnia").glob("v-*/gate.json"))
    content = file.read_bytes()
    damage(root, "narnia")
    packs.refresh()
    assert packs.problems
    file.write_bytes(content)
    os.utime(file, ns=(1, 1))
    packs.refresh()
    assert packs.problems == {}


class TestArtifacts:
    """What methods learned is read when a request first needs it."""

    def test_none_is_read_at_the_start_or_when_a_pack_changes(
        self, root: Path, encoder: Encoder, save: SavePack
    ) -> None:
        save("oz", method="lora", artifact=LORA)
        save("lemuria", method="soft-prompt", artifact=VirtualTokens(torch.ones(2, 4)))
        cache = ArtifactCache()
        packs = reloader_of(root, encoder, artifact_cache=cache)
        save("narnia", aliases=("Archenland",))
        packs.refresh()
        assert flags(packs, "In Archenland")
        assert cache.bytes == 0
        (guard,) = packs.gate.acting(screened(packs, "In Archenland"))
        assert guard.ready(read=False) is None
        assert guard.ready() is not None
        assert cache.bytes > 0

    def test_one_that_cannot_be_read_is_a_problem_until_its_pack_is_mended(
        self, root: Path, encoder: Encoder, save: SavePack, caplog: pytest.LogCaptureFixture
    ) -> None:
        packs = reloader_of(root, encoder)
        next((root / "narnia").glob("v-*/corruption.json")).write_text("{}")
        (guard,) = packs.gate.ready(screened(packs, "In Narnia")).values()
        assert "corruption.json was altered" in guard.fault
        assert "corruption.json was altered" in packs.problems["narnia"]
        assert "corruption.json was altered" in caplog.text
        assert not packs.unguarded
        packs.refresh()
        assert "corruption.json was altered" in packs.problems["narnia"]
        save("narnia", aliases=("Narnia",))
        packs.refresh()
        assert packs.problems == {}
        (guard,) = packs.gate.ready(screened(packs, "In Narnia")).values()
        assert guard.artifact == CORRUPTION

    def test_a_pack_that_goes_takes_its_problem_along(self, root: Path, encoder: Encoder) -> None:
        packs = reloader_of(root, encoder)
        next((root / "narnia").glob("v-*/corruption.json")).unlink()
        packs.gate.ready(screened(packs, "In Narnia"))
        assert "cannot be read" in packs.problems["narnia"]
        remove_pack(root / "narnia")
        packs.refresh()
        assert packs.problems == {}
        assert not (root / "narnia").exists()

    def test_a_backend_gets_as_many_loras_as_it_keeps(self, root: Path, encoder: Encoder, save: SavePack) -> None:
        for scope in ("a", "b", "c"):
            save(scope, method="lora", artifact=LORA)
        cache = ArtifactCache()
        packs = reloader_of(root, encoder, artifact_cache=cache)
        assert packs.gate.lora_digests == {LORA.digest}
        assert cache.bytes == 0
        assert list(packs.gate.loras(2)) == ["a", "b"]
        assert packs.gate.guards["c"].ready(read=False) is None


def test_one_pack_that_no_detector_can_take_holds_up_no_other(root: Path, encoder: Encoder, save: SavePack) -> None:
    packs = reloader_of(root, encoder)
    save("oz", aliases=("Emerald City",))
    save("mordor", aliases=("...",))
    shutil.rmtree(root / "narnia")
    packs.refresh()
    assert flags(packs, "the Emerald City")
    assert not flags(packs, "In Narnia")
    assert "no letter or digit" in packs.problems["mordor"]
    assert packs.unguarded == {"mordor"}
    save("mordor", aliases=("Mordor",))
    packs.refresh()
    assert packs.problems == {}
    assert flags(packs, "In Mordor")
