"""Writing: the whole file or nothing, and a message instead of a traceback."""

import errno
import os
from pathlib import Path

import pytest
from standins import with_parts

from gateway.errors import SetupError
from gateway.files import atomic
from gateway.files.atomic import open_output, replace_file


def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("old")
    with open_output(path) as output:
        output.write("new\u2028")
        assert path.read_text() == "old"
    assert path.read_text(encoding="utf-8") == "new\u2028"
    assert [file.name for file in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), open_output(path) as output:
        output.write("half" * (1 // 0))
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "out.jsonl"
    link.symlink_to(tmp_path / "real" / "file.jsonl")
    with open_output(link) as output:
        output.write("x")
    assert link.is_symlink()
    assert (tmp_path / "real" / "file.jsonl").read_text() == "x"


def test_a_full_device_is_said_and_stays_a_device() -> None:
    device = Path("/dev/full")
    with pytest.raises(SetupError, match=r"cannot write /dev/full: No space left"), open_output(device) as output:
        output.write("x")
    assert device.is_char_device()


@pytest.mark.parametrize("where", ["no/such/folder/x", "."])
def test_a_place_where_nothing_can_be_written_is_named(tmp_path: Path, where: str) -> None:
    with pytest.raises(SetupError, match="cannot write"), open_output(tmp_path / where):
        pass


def test_a_full_disk_leaves_the_old_file_and_no_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "manifest.json"
    replace_file(path, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic, "os", with_parts(os, fsync=full))
    with pytest.raises(OSError, match="No space"):
        replace_file(path, b"new")
    with pytest.raises(SetupError, match="No space"), open_output(path) as output:
        output.write("new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.json"]
