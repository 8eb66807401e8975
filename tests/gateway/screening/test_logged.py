"""Traffic to calibrate on, read as the server reads requests."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import SetupError
from gateway.screening.logged import Traffic, read_log, read_traffic


def written(folder: Path, *rows: Any, name: str = "log.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


def turns(*contents: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content} for content in contents]}


def test_a_text_file_is_a_prompt_a_line(tmp_path: Path) -> None:
    path = written(tmp_path, "one", "", "  two \r", "three", name="log.txt")
    assert read_traffic(path) == Traffic(("one", "two", "three"))


def test_conversations_are_one_prompt_with_their_parts_joined_as_the_server_joins_them(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "three"}, {"type": "text", "text": "four"}]
    path = written(
        tmp_path,
        {"prompt": "one"},
        "",
        turns("two", parts),
        {"prompt": "a\u2028b\u0085c"},
        {"request": {"model": "m", **turns("five", None, "", [])}},
        {"prompt": ["six"]},
        {"messages": [{"role": "system", "text": "seven"}, {"role": "user", "text": "eight"}]},
    )
    expected = ("one", "two\nthree\nfour", "a\u2028b\u0085c", "five", "six", "seven\neight")
    assert read_traffic(path) == Traffic(expected)
    screened = ["\n".join(m.text for m in row.request.messages if m.text) for row in read_log(path) if row.request]
    assert tuple(screened) == expected, "unrecall screen reads the same"


def test_rows_without_text_are_left_out_and_counted(tmp_path: Path) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    image = [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "What is it?"}]
    path = written(
        tmp_path,
        {"prompt": "one"},
        {"prompt": ""},
        {"prompt": " "},
        {"prompt": None},
        turns(None),
        turns(""),
        turns([]),
        {"messages": []},
        {"messages": None},
        {"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}]},
        turns(image),
    )
    assert read_traffic(path) == Traffic(("one",), left_out=10)


def test_a_log_without_any_text_is_refused(tmp_path: Path) -> None:
    for rows in ([], [{"prompt": ""}, turns(None)]):
        with pytest.raises(SetupError, match=r"log\.jsonl holds no row with text"):
            read_traffic(written(tmp_path, *rows))


@pytest.mark.parametrize("name", ["log.jsonl", "LOG.JSONL", "log.json", "log.txt"])
def test_an_array_with_a_mark_is_read_whatever_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(json.dumps([{"prompt": "one"}, turns("two")], indent=2), encoding="utf-8-sig")
    assert read_traffic(path).prompts == ("one", "two")


def test_an_array_of_texts_is_read(tmp_path: Path) -> None:
    assert read_traffic(written(tmp_path, '["one", "two"]')).prompts == ("one", "two")


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "3",
        '{"text": "x"}',
        '{"question": "x", "answer": "y"}',
        '{"messages": [{}]}',
        '{"messages": 3}',
        '{"prompt": "a", "prompt": "b"}',
        '{"prompt": "\\udc00"}',
        '{"messages": [{"role": "user", "content": 3}]}',
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(SetupError, match=r"log\.jsonl line 2: "):
        read_traffic(written(tmp_path, {"prompt": "one"}, line))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"gone\.txt"):
        read_traffic(tmp_path / "gone.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(SetupError, match=r"latin\.txt"):
        read_traffic(tmp_path / "latin.txt")
