"""The packs in force follow their folder; a bad one never takes the good one's place."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from hand_made import BASE, SavePack

from classifiers.encoder.sentence import Encoder
from gateway.core import Message, Request
from gateway.errors import PackError
from gateway.packs.folders import set_enabled
from gateway.screening.gate import screened_texts
from gateway.screening.reload import Roster


@pytest.fixture
def root(tmp_path: Path, save: SavePack) -> Path:
    save("narnia", aliases=("Narnia",))
    return tmp_path / "packs"


def roster_of(root: Path, encoder: Encoder, *, poll_s: float = 60) -> Roster:
    return Roster(root, encoder=encoder, base_fingerprint=BASE, encoder_fingerprint=BASE, poll_s=poll_s)


def flags(roster: Roster, text: str) -> bool:
    request = Request(id="1", endpoint="chat", model="m", messages=(Message("user", text),))
    return any(finding.matched for of_text in roster.gate.findings(screened_texts(request)) for finding in of_text)


def damage(root: Path, scope: str) -> Path:
    file = next((root / scope).glob("v-*/gate.json"))
    file.write_text("{}")
    return file


def test_nothing_new_changes_nothing(root: Path, encoder: Encoder) -> None:
    roster = roster_of(root, encoder)
    gate = roster.gate
    roster.refresh()
    assert roster.gate is gate
    assert roster.troubles == {}
    assert flags(roster, "In Narnia")


def test_a_new_pack_comes_into_force(root: Path, encoder: Encoder, save: SavePack) -> None:
    roster = roster_of(root, encoder)
    old = roster.gate
    save("oz", aliases=("Emerald City",))
    assert not flags(roster, "the Emerald City")
    roster.refresh()
    assert flags(roster, "the Emerald City")
    assert flags(roster, "In Narnia")
    assert set(old.guards) == {"narnia"}, "requests under way keep the gate they began with"


def test_a_changed_pack_is_swapped(root: Path, encoder: Encoder, save: SavePack) -> None:
    roster = roster_of(root, encoder)
    save("narnia", aliases=("Archenland",))
    roster.refresh()
    assert flags(roster, "In Archenland")
    assert not flags(roster, "In Narnia")


def test_a_removed_pack_guards_no_more(root: Path, encoder: Encoder) -> None:
    roster = roster_of(root, encoder)
    shutil.rmtree(root / "narnia")
    roster.refresh()
    assert roster.packs == {}
    assert not flags(roster, "In Narnia")


def test_a_pack_that_is_moved_away_and_back_guards_again(root: Path, encoder: Encoder) -> None:
    roster = roster_of(root, encoder)
    (root / "narnia").rename(root.with_name("away"))
    roster.refresh()
    root.with_name("away").rename(root / "narnia")  # the very same files
    roster.refresh()
    assert flags(roster, "In Narnia")


def test_switching_off_and_on_is_followed(root: Path, encoder: Encoder) -> None:
    roster = roster_of(root, encoder)
    for enabled in (False, True):
        set_enabled(root / "narnia", enabled)
        roster.refresh()
        assert flags(roster, "In Narnia") is enabled
        assert roster.packs["narnia"].enabled is enabled


def test_a_pack_that_turns_bad_keeps_its_last_good_version(root: Path, encoder: Encoder, save: SavePack) -> None:
    roster = roster_of(root, encoder)
    damage(root, "narnia")
    save("oz", aliases=("Emerald City",))
    roster.refresh()
    assert flags(roster, "In Narnia")
    assert flags(roster, "the Emerald City"), "one bad pack must not hold up the others"
    assert list(roster.troubles) == ["narnia"]
    assert "gate.json was altered" in roster.troubles["narnia"]
    assert "last good version keeps serving" in roster.troubles["narnia"]
    roster.refresh()
    assert list(roster.troubles) == ["narnia"], "the trouble stays until it is mended"
    save("narnia", aliases=("Narnia",))
    roster.refresh()
    assert roster.troubles == {}


def test_a_new_pack_that_is_bad_leaves_its_scope_unguarded_and_says_so(
    root: Path, encoder: Encoder, save: SavePack
) -> None:
    roster = roster_of(root, encoder)
    save("oz")
    damage(root, "oz")
    roster.refresh()
    assert "NOTHING is answered until it is mended" in roster.troubles["oz"]
    assert roster.unguarded == {"oz"}
    assert set(roster.packs) == {"narnia"}
    shutil.rmtree(root / "oz")
    roster.refresh()
    assert roster.troubles == {}
    assert not roster.unguarded


def test_a_folder_that_is_no_pack_yet_holds_nothing_up(root: Path, encoder: Encoder, save: SavePack) -> None:
    """A trainer writes a version first and its manifest last."""
    roster = roster_of(root, encoder)
    save("oz", aliases=("Emerald City",))
    manifest = root / "oz" / "manifest.json"
    manifest.rename(root.with_name("manifest.json"))
    roster.refresh()
    assert not roster.unguarded
    assert "not a pack yet" in roster.troubles["oz"]
    root.with_name("manifest.json").rename(manifest)
    roster.refresh()
    assert flags(roster, "the Emerald City")


def test_a_file_that_was_only_touched_back_is_fine_again(root: Path, encoder: Encoder) -> None:
    roster = roster_of(root, encoder)
    file = next((root / "narnia").glob("v-*/gate.json"))
    content = file.read_bytes()
    damage(root, "narnia")
    roster.refresh()
    assert roster.troubles
    file.write_bytes(content)
    os.utime(file, ns=(1, 1))
    roster.refresh()
    assert roster.troubles == {}


def test_a_folder_that_vanishes_takes_no_pack_out_of_force(root: Path, encoder: Encoder) -> None:
    roster = roster_of(root, encoder)
    root.rename(root.with_name("away"))
    roster.refresh()
    assert flags(roster, "In Narnia")
    assert "cannot read the packs folder" in next(iter(roster.troubles.values()))
    root.with_name("away").rename(root)
    roster.refresh()
    assert roster.troubles == {}


def test_a_bad_pack_or_no_folder_stops_the_start(root: Path, encoder: Encoder) -> None:
    damage(root, "narnia")
    with pytest.raises(PackError, match="narnia"):
        roster_of(root, encoder)
    with pytest.raises(PackError, match="nowhere"):
        roster_of(root / "nowhere", encoder)


def test_no_packs_at_all_is_a_start(tmp_path: Path, encoder: Encoder) -> None:
    assert roster_of(tmp_path, encoder).packs == {}


def test_the_watch_follows_the_folder_by_itself(root: Path, encoder: Encoder, save: SavePack) -> None:
    async def run() -> bool:
        async with roster_of(root, encoder, poll_s=0.02) as roster:
            save("oz", aliases=("Emerald City",))
            for _ in range(1000):
                await asyncio.sleep(0.02)
                if "oz" in roster.packs:
                    return flags(roster, "the Emerald City")
            return False

    assert asyncio.run(run())


def test_the_watch_outlives_a_look_that_fails(
    root: Path, encoder: Encoder, save: SavePack, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> bool:
        async with roster_of(root, encoder, poll_s=0.02) as roster:
            with monkeypatch.context() as broken:
                broken.setattr("gateway.screening.reload.list_packs", lambda _: 1 / 0)
                await asyncio.sleep(0.1)
            save("oz")
            for _ in range(1000):
                await asyncio.sleep(0.02)
                if "oz" in roster.packs:
                    return True
            return False

    assert asyncio.run(run())
