"""YAML: nothing is doubled in silence, and a text stays the text that stands there."""

from pathlib import Path
from typing import Any

import pytest

from gateway.errors import SetupError
from gateway.files.strict_yaml import read_yaml


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.yaml"


@pytest.mark.parametrize("texts", [False, True])
@pytest.mark.parametrize(
    ("content", "key", "line"),
    [
        ("a: 1\nb: 2\na: 1\n", "a", 3),
        ("a: 1\n'a': 2\n", "a", 2),
        ("x:\n  y: 1\n  y: 2\n", "y", 3),
        ("- {k: 1,\n   k: 2}\n", "k", 2),
        ("a: &one {k: 1}\nb: *one\nb: 3\n", "b", 3),
        ("a: &a {k: 1}\nb:\n  <<: *a\n  <<: *a\n", "<<", 4),
    ],
)
def test_a_doubled_key_is_refused_with_the_line_of_the_second(
    file: Path, content: str, key: str, line: int, texts: bool
) -> None:
    file.write_text(content)
    with pytest.raises(SetupError, match=rf"x\.yaml.*line {line}: the key '{key}' stands twice"):
        read_yaml(file, texts=texts)


def test_true_and_yes_are_one_key_to_yaml(file: Path) -> None:
    file.write_text("true: 1\nyes: 2\n")
    with pytest.raises(SetupError, match="'yes' stands twice"):
        read_yaml(file)


@pytest.mark.parametrize("texts", [False, True])
def test_anchors_and_merged_keys_go_on_working(file: Path, texts: bool) -> None:
    file.write_text("base: &b {k: one, l: two}\nx: &x\n  <<: *b\n  k: three\ny:\n  <<: *x\n  l: four\nz: [*b, *x]\n")
    found = read_yaml(file, texts=texts)
    assert found["x"] == {"k": "three", "l": "two"}
    assert found["y"] == {"k": "three", "l": "four"}
    assert found["z"] == [{"k": "one", "l": "two"}, {"k": "three", "l": "two"}]


def test_texts_stay_as_they_stand(file: Path) -> None:
    words = "1984, Yes, off, 2001-09-11, ~, null, 0x1F, 1_000, 1e3, 12:30:45, .5, 007, NaN, =, 2001-99-99, 'q', \"~\""
    file.write_text(f"list: [{words}]\nid: 1984\nnone: ~\nempty:\nflag: yes\n")
    found = read_yaml(file, texts=True)
    assert found["list"] == [word.strip("'\"") for word in words.split(", ")]
    assert (found["id"], found["none"], found["empty"], found["flag"]) == ("1984", None, None, "yes")


def test_settings_keep_their_types(file: Path) -> None:
    file.write_bytes("\ufeffport: 8000\r\nopen: false\r\nnone: ~\r\n".encode())
    assert read_yaml(file) == {"port": 8000, "open": False, "none": None}


@pytest.mark.parametrize("content", ["a: [", "\tid: x", '"', "a: 2001-99-99", "--- 1\n--- 2\n", "!!python/object:x {}"])
def test_a_file_that_is_no_yaml_is_one_line(file: Path, content: str) -> None:
    file.write_text(content)
    with pytest.raises(SetupError, match=r"x\.yaml is not valid YAML") as error:
        read_yaml(file)
    assert "\n" not in str(error.value)


def test_the_content_may_be_anything(file: Path) -> None:
    cases: list[tuple[str, Any]] = [("", None), ("- a", ["a"]), ("word", "word")]
    for content, value in cases:
        file.write_text(content)
        assert read_yaml(file, texts=True) == value
