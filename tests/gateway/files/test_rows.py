"""Rows of JSON as people have them, and what is refused with its line."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import SetupError
from gateway.files.rows import FileRow, columns_of, read_rows, read_texts_or_rows, strict_json

TWO = [{"prompt": "one"}, {"prompt": "two\u2028three\u0085four"}]


def values(path: Path) -> list[Any]:
    rows = read_rows(path)
    assert [row.fault for row in rows] == [""] * len(rows)
    return [row.value for row in rows]


def lines(rows: list[Any], end: str = "\n") -> str:
    return end.join(json.dumps(row, ensure_ascii=False) for row in rows) + end


@pytest.mark.parametrize(
    "text",
    [
        lines(TWO),
        lines(TWO, "\r\n"),
        lines(TWO, "\r"),
        "\n\n" + lines(TWO, "\n\n \n"),
        lines(TWO).rstrip("\n"),
        json.dumps(TWO),
        json.dumps(TWO, indent=2),
        json.dumps(TWO, ensure_ascii=False, indent=2).replace("\n", "\r\n"),
        "".join(json.dumps(row, indent=1) + "\n" for row in TWO),
        json.dumps(TWO[0]) + " " + json.dumps(TWO[1]),
        "[\n" + json.dumps(TWO[0]) + ",\n" + json.dumps(TWO[1]) + "\n]\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["log.jsonl", "log.json", "LOG.JSONL", "log.ndjson", "log.txt", "log"])
def test_the_same_rows_in_any_dress(tmp_path: Path, text: str, encoding: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    assert values(path) == TWO
    assert [row.value for row in read_texts_or_rows(path)] == TWO


def test_marks_inside_a_file_that_was_joined_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "joined.jsonl"
    path.write_bytes(b"".join(b"\xef\xbb\xbf" + json.dumps(row).encode() + b"\n" for row in TWO))
    assert values(path) == TWO


@pytest.mark.parametrize("text", ["", "\n \n", "[]", " [ ]\n", "\ufeff"])
def test_a_file_without_rows(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    assert read_rows(tmp_path / "x.json") == []


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('{"prompt": "a", "prompt": "b"}', "the key 'prompt' stands twice"),
        ('{"messages": [{"role": "user", "content": "a", "content": "b"}]}', "the key 'content' stands twice"),
        ('{"prompt": "\\ud800"}', "lone surrogate"),
        ('{"\\udfff": 1}', "lone surrogate"),
        ('{"prompt": NaN}', "NaN"),
        ('{"prompt": -Infinity}', "-Infinity"),
        ('{"prompt": 1e999}', "it holds too large a number"),
        ('{"prompt": -1' + "0" * 5000 + "}", "it holds too large a number"),
        ('{"prompt": "a"', "not JSON"),
        ('{"prompt": "a"} x', "more follows"),
        ("Who? Me.", "not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"prompt": "caf\udce9"}', "not UTF-8"),
    ],
)
def test_a_row_with_a_fault_is_kept_with_its_line_and_its_reason(tmp_path: Path, row: str, words: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(f'{{"prompt": "one"}}\n\n{row}\n{{"prompt": "two"}}\n'.encode("utf-8", "surrogateescape"))
    rows = read_rows(path)
    assert [bool(row.fault) for row in rows] == [False, True, False]
    assert (rows[1].line, rows[1].value) == (3, None)
    assert words in rows[1].fault
    rows[1].raw.encode("utf-8")


def test_a_doubled_key_in_an_array_is_told_with_the_line_of_its_row(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('[\n {"a": 1},\n {"a": 1,\n  "a": 2},\n {"a": 3}\n]')
    rows = read_rows(path)
    assert [(row.line, bool(row.fault)) for row in rows] == [(2, False), (3, True), (5, False)]


@pytest.mark.parametrize("text", ['[\n {"a": 1},\n {"a" 2}\n]', '[\n {"a": 1},\n {"a": 2},\n', '[\n{"a": 1},\n\n,]'])
def test_a_broken_array_is_told_with_the_line_of_the_break(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    (row,) = read_rows(path)
    assert "the array is not JSON" in row.fault
    assert row.line >= 3


def test_a_text_file_holds_a_prompt_a_line(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes("\ufeffone\r\n\r\n  [two]  \r\n{three\n\u201cfour\u2028\u201d".encode())
    assert [(row.line, row.value) for row in read_texts_or_rows(path)] == [
        (1, "one"),
        (3, "[two]"),
        (4, "{three"),
        (5, "\u201cfour\u2028\u201d"),
    ]


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"one\ncaf\xe9\n", "latin.txt", "line 2 is not UTF-8"),
        ("one\ntwo".encode("utf-16-le"), "wide.txt", "zero bytes"),
        (b"\xff\xfea", "cut.txt", "utf-16-le"),
        (b"\x1f\x8b\x08", "log.jsonl", "compressed"),
        (b"PK\x03\x04", "log.jsonl", "archive"),
        (b"prompt,response\n", "log.csv", "save the table as JSON lines"),
    ],
)
def test_a_file_that_is_no_text_is_named(tmp_path: Path, content: bytes, name: str, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SetupError, match=rf"{name}.*{words}"):
        read_texts_or_rows(tmp_path / name)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.json", tmp_path):
        with pytest.raises(SetupError, match=f"cannot read {path}"):
            read_rows(path)


def test_a_large_array_is_read_in_time(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps([{"prompt": "x" * 200}] * 40_000, indent=1))
    started = time.monotonic()
    assert read_rows(path)[-1].line == 3 * 40_000 - 1
    assert time.monotonic() - started < 10


def test_strict_json_takes_one_value() -> None:
    assert strict_json(' {"a": [1]} ') == {"a": [1]}
    with pytest.raises(ValueError, match="twice"):
        strict_json('{"a": 1, "a": 1}')


def test_the_columns_of_a_row_are_said_in_words() -> None:
    assert columns_of({"question": 1, "answer": 2}) == "the columns question, answer"
    assert [columns_of(value) for value in ({}, [], "x", None, 3)] == [
        "no columns",
        "a list",
        "a text",
        "null",
        "a number or a boolean",
    ]
    assert FileRow(1, None, "x").fault == ""
