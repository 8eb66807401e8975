"""What a look at the packs' folder notices, and when: three hundred folders, and a clock that the test moves."""

import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.errors import PackError
from gateway.packs import watch as module
from gateway.packs.changes import ChangeLog, note_change
from gateway.packs.folders import stamp_of
from gateway.packs.watch import FolderWatch

MANY, EACH_LOOK, WITHIN_S = 300, 64, 30.0


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Watch:
    """A watch whose every change is accepted, as the reloader accepts a good pack."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self.clock = clock
        self.watch = FolderWatch(root, within_s=WITHIN_S, clock=clock)
        self.look()

    def look(self, *, after_s: float = 0.5) -> Mapping[str, int | None]:
        self.clock.now += after_s
        found = self.watch.look()
        for name, stamp in found.items():
            if stamp is not None:
                self.watch.accept(name, stamp)
        return found


def pack(root: Path, name: str, words: str = "{}") -> Path:
    (root / name / "v-1").mkdir(parents=True)
    (root / name / "v-1" / "gate.json").write_text("{}")
    (root / name / "manifest.json").write_text(words)
    return root / name


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "packs"
    for number in range(MANY):
        pack(root, f"scope-{number:03d}")
    past = 1_000_000_000
    os.utime(root, (past, past))  # nobody touched it a moment ago
    return root


@pytest.fixture
def watch(root: Path) -> Watch:
    return Watch(root, Clock())


def test_the_first_look_finds_all_and_the_next_nothing(root: Path) -> None:
    watch = FolderWatch(root)
    found = watch.look()
    assert len(found) == MANY
    assert watch.look().keys() & found.keys(), "what nobody accepted comes again"
    for name, stamp in found.items():
        assert stamp is not None
        watch.accept(name, stamp)
    assert watch.look() == {}


@pytest.mark.parametrize("name", ["scope-000", "scope-150", "scope-299"])
def test_what_is_told_of_is_noticed_at_the_next_look(root: Path, watch: Watch, name: str) -> None:
    (root / name / "manifest.json").write_text("{ }")
    note_change(root, name)
    assert list(watch.look()) == [name]
    assert watch.look() == {}


def test_a_folder_that_comes_or_goes_is_noticed_at_the_next_look(root: Path, watch: Watch) -> None:
    pack(root, "new")
    assert list(watch.look()) == ["new"]
    shutil.rmtree(root / "new")
    shutil.rmtree(root / "scope-200")
    assert watch.look() == {"new": None, "scope-200": None}
    (root / "scope-100").rename(root / ".scope-100")
    assert watch.look() == {"scope-100": None}
    assert watch.look() == {}


def test_what_nothing_tells_of_is_noticed_in_its_turn(root: Path, watch: Watch) -> None:
    edited = {f"scope-{number:03d}" for number in range(0, MANY, 7)}
    for name in edited:
        (root / name / "v-1" / "gate.json").write_text("[]")
    seen: set[str] = set()
    looks = -(-MANY // EACH_LOOK)
    for _ in range(looks):
        found = watch.look()
        assert len(found) <= EACH_LOOK
        seen |= found.keys()
    assert seen == edited


@pytest.mark.parametrize("between_s", [0.5, 7.0, 60.0])
def test_every_pack_has_its_turn_within_the_time(
    root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch, between_s: float
) -> None:
    monkeypatch.setattr(module, "_EACH_LOOK", 1)  # as if there were many more packs
    for number in range(MANY):
        (root / f"scope-{number:03d}" / "manifest.json").write_text("{ }")
    seen: set[str] = set()
    for _ in range(math.ceil(WITHIN_S / between_s)):
        seen |= watch.look(after_s=between_s).keys()
    assert len(seen) == MANY


def test_a_folder_that_becomes_a_pack_later_is_noticed(root: Path, watch: Watch) -> None:
    (root / "notes").mkdir()
    assert watch.look() == {"notes": None}
    (root / "notes" / "manifest.json").write_text("{}")
    assert list(watch.look()) == ["notes"]


def test_a_bad_pack_is_looked_into_each_time(root: Path) -> None:
    watch = Watch(root, Clock())
    bad = root / "scope-299"
    watch.watch.accept(bad.name, stamp_of(bad), settled=False)
    for words in ("[]", "[ ]"):
        assert watch.look() == {}
        (bad / "manifest.json").write_text(words)
        clock = watch.clock
        clock.now += 0.5
        (found,) = watch.watch.look().items()
        watch.watch.accept(bad.name, found[1] or 0, settled=False)
        assert found[0] == bad.name


def test_two_changes_in_one_tick_of_the_clock_are_both_noticed(root: Path) -> None:
    clock = Clock()
    watch = Watch(root, clock)
    pack(root, "first")
    moment = os.stat(root).st_mtime_ns
    assert list(watch.look()) == ["first"]
    pack(root, "second")
    os.utime(root, ns=(moment, moment))
    assert list(watch.look()) == ["second"]


def test_another_root_in_its_place_is_read_anew(root: Path, watch: Watch) -> None:
    root.rename(root.with_name("old"))
    with pytest.raises(PackError, match="cannot read the packs folder"):
        watch.look()
    pack(root, "only")
    found = watch.look()
    assert {name for name, stamp in found.items() if stamp is None} == {f"scope-{n:03d}" for n in range(MANY)}
    assert found["only"] is not None


def test_no_file_is_read_while_nothing_changes(root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Path] = []
    stamp_of, folder_names = module.stamp_of, module.folder_names

    def counted(folder: Path) -> int | None:
        looked.append(folder)
        return stamp_of(folder)

    def listed(folder: Path) -> object:
        assert folder != root
        return folder_names(folder)

    # Gateways of other tests may run in this process, and watch folders of their own.
    monkeypatch.setattr(module, "stamp_of", counted)
    monkeypatch.setattr(module, "folder_names", listed)
    watch.look()
    assert sum(folder.parent == root for folder in looked) == EACH_LOOK


class TestChanges:
    def test_each_line_is_told_once(self, tmp_path: Path) -> None:
        note_change(tmp_path, "before")
        log = ChangeLog(tmp_path)
        assert log.changes() == frozenset()
        for scope in ("oz", "narnia", "oz"):
            note_change(tmp_path, scope)
        assert log.changes() == {"oz", "narnia"}
        assert log.changes() == frozenset()

    def test_the_first_line_of_all_is_told(self, tmp_path: Path) -> None:
        log = ChangeLog(tmp_path)
        note_change(tmp_path, "oz")
        assert log.changes() == {"oz"}

    def test_a_file_that_is_begun_anew_may_have_lost_lines(self, tmp_path: Path) -> None:
        log = ChangeLog(tmp_path)
        for _ in range(3000):
            note_change(tmp_path, "a-scope-with-quite-a-long-name")
        assert log.changes() is None
        assert (tmp_path / ".changes").stat().st_size < 1 << 17
        note_change(tmp_path, "oz")
        assert log.changes() == {"oz"}

    def test_half_a_line_waits_for_its_end(self, tmp_path: Path) -> None:
        log = ChangeLog(tmp_path)
        (tmp_path / ".changes").write_text("oz\nnar")
        assert log.changes() == {"oz"}
        with (tmp_path / ".changes").open("a") as file:
            file.write("nia\n")
        assert log.changes() == {"narnia"}

    def test_a_folder_that_takes_no_line_stops_nobody(self, tmp_path: Path) -> None:
        (tmp_path / ".changes").mkdir()
        note_change(tmp_path, "oz")
        note_change(tmp_path / "nowhere", "oz")
