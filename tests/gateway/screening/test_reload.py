"""The packs in force follow their folder; a bad one never takes the good one's place."""

import asyncio
import shutil
from pathlib import Path

import pytest
from hand_made import BASE, SavePack
from reload_house import damage, flags, reloader_of

from classifiers.encoder.sentence import Encoder
from gateway.errors import PackError
from gateway.packs.folders import set_enabled
from gateway.screening.reload import PackReloader


def test_nothing_new_changes_nothing(root: Path, encoder: Encoder) -> None:
    packs = reloader_of(root, encoder)
    gate = packs.gate
    packs.refresh()
    assert packs.gate is gate
    assert packs.problems == {}
    assert flags(packs, "In Narnia")


def test_a_new_pack_comes_into_force(root: Path, encoder: Encoder, save: SavePack) -> None:
    packs = reloader_of(root, encoder)
    old = packs.gate
    save("oz", aliases=("Emerald City",))
    assert not flags(packs, "the Emerald City")
    packs.refresh()
    assert flags(packs, "the Emerald City")
    assert flags(packs, "In Narnia")
    assert set(old.guards) == {"narnia"}, "requests under way keep the gate they began with"


def test_a_changed_pack_is_swapped(root: Path, encoder: Encoder, save: SavePack) -> None:
    packs = reloader_of(root, encoder)
    save("narnia", aliases=("Archenland",))
    packs.refresh()
    assert flags(packs, "In Archenland")
    assert not flags(packs, "In Narnia")


def test_a_removed_pack_guards_no_more(root: Path, encoder: Encoder) -> None:
    packs = reloader_of(root, encoder)
    shutil.rmtree(root / "narnia")
    packs.refresh()
    assert packs.packs == {}
    assert not flags(packs, "In Narnia")


def test_a_folder_that_is_emptied_is_no_removed_pack(root: Path, encoder: Encoder) -> None:
    """`rm -r packs/narnia/*` is more likely a mistake than a decision."""
    packs = reloader_of(root, encoder)
    for path in (root / "narnia").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for _ in range(2):
        packs.refresh()
        assert flags(packs, "In Narnia")
        assert "holds no pack any more" in packs.problems["narnia"]
    (root / "narnia").rmdir()
    packs.refresh()
    assert (packs.problems, flags(packs, "In Narnia")) == ({}, False)


def test_an_emptied_folder_of_a_pack_that_was_switched_off_is_let_go(root: Path, encoder: Encoder) -> None:
    packs = reloader_of(root, encoder)
    set_enabled(root / "narnia", False)
    packs.refresh()
    shutil.rmtree(root / "narnia")
    (root / "narnia").mkdir()
    packs.refresh()
    assert (packs.packs, packs.problems) == ({}, {})


def test_a_pack_that_is_moved_away_and_back_guards_again(root: Path, encoder: Encoder) -> None:
    packs = reloader_of(root, encoder)
    (root / "narnia").rename(root.with_name("away"))
    packs.refresh()
    root.with_name("away").rename(root / "narnia")  # the very same files
    packs.refresh()
    assert flags(packs, "In Narnia")


def test_switching_off_and_on_is_followed(root: Path, encoder: Encoder) -> None:
    packs = reloader_of(root, encoder)
    for enabled in (False, True):
        set_enabled(root / "narnia", enabled)
        packs.refresh()
        assert flags(packs, "In Narnia") is enabled
        assert packs.packs["narnia"].enabled is enabled


def test_a_folder_that_vanishes_takes_no_pack_out_of_force(root: Path, encoder: Encoder) -> None:
    packs = reloader_of(root, encoder)
    root.rename(root.with_name("away"))
    packs.refresh()
    assert flags(packs, "In Narnia")
    assert "cannot read the packs folder" in next(iter(packs.problems.values()))
    root.with_name("away").rename(root)
    packs.refresh()
    assert packs.problems == {}


def test_a_bad_pack_or_no_folder_stops_the_start(root: Path, encoder: Encoder) -> None:
    damage(root, "narnia")
    with pytest.raises(PackError, match="narnia"):
        reloader_of(root, encoder)
    with pytest.raises(PackError, match="nowhere"):
        reloader_of(root / "nowhere", encoder)


def test_the_encoder_is_loaded_once_the_packs_are_found_good(root: Path, encoder: Encoder) -> None:
    loaded: list[Encoder] = []

    def load() -> Encoder:
        loaded.append(encoder)
        return encoder

    def reloader() -> PackReloader:
        return PackReloader(root, encoder=load, base_fingerprint=BASE, encoder_fingerprint=BASE)

    assert flags(reloader(), "In Narnia")
    assert loaded == [encoder]
    damage(root, "narnia")
    with pytest.raises(PackError, match="was altered"):
        reloader()
    assert loaded == [encoder]


def test_no_packs_at_all_is_a_start(tmp_path: Path, encoder: Encoder) -> None:
    assert reloader_of(tmp_path, encoder).packs == {}


def test_the_watch_follows_the_folder_by_itself(root: Path, encoder: Encoder, save: SavePack) -> None:
    reloader = reloader_of(root, encoder, poll_s=0.02)

    async def run() -> bool:
        async with reloader as packs:
            await asyncio.to_thread(save, "oz", aliases=("Emerald City",))
            for _ in range(1000):
                await asyncio.sleep(0.02)
                if "oz" in packs.packs:
                    return flags(packs, "the Emerald City")
            return False

    assert asyncio.run(run())


def test_the_watch_outlives_a_look_that_fails(
    root: Path, encoder: Encoder, save: SavePack, monkeypatch: pytest.MonkeyPatch
) -> None:
    reloader = reloader_of(root, encoder, poll_s=0.02)

    async def run() -> bool:
        async with reloader as packs:
            with monkeypatch.context() as broken:
                broken.setattr("gateway.screening.reload.FolderWatch.look", lambda _: 1 / 0)
                await asyncio.sleep(0.1)
            await asyncio.to_thread(save, "oz")
            for _ in range(1000):
                await asyncio.sleep(0.02)
                if "oz" in packs.packs:
                    return True
            return False

    assert asyncio.run(run())
