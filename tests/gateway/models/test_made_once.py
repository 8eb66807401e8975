"""A folder of the cache appears whole, or not at all."""

from pathlib import Path

import pytest

from gateway.models.cache import made_once


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNRECALL_CACHE", str(tmp_path))
    return tmp_path


def filled(folder: Path, work: Path) -> None:
    (work / "rubbish").write_text("x")
    folder.mkdir()
    (folder / "file").write_text("made")


def test_what_is_there_is_not_made_again(cache: Path) -> None:
    assert made_once("a", filled) == cache / "a"
    made = []
    assert made_once("a", lambda folder, _: made.append(folder)) == cache / "a"
    assert (made, [file.name for file in cache.rglob("*")]) == ([], ["a", "file"])


def test_a_fault_leaves_nothing(cache: Path) -> None:
    def failing(folder: Path, work: Path) -> None:
        filled(folder, work)
        raise ValueError("out of luck")

    with pytest.raises(ValueError, match="out of luck"):
        made_once("a", failing)
    assert list(cache.iterdir()) == []


def test_of_two_that_make_it_the_first_wins(cache: Path) -> None:
    def overtaken(folder: Path, work: Path) -> None:
        filled(folder, work)
        (folder / "file").write_text("late")
        made_once("a", filled)

    assert (made_once("a", overtaken) / "file").read_text() == "made"
    assert [file.name for file in cache.iterdir()] == ["a"]
