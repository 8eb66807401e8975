"""Screening a log offline: every row answered for, none lost, an odd one told and never in the way."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hand_made import SavePack
from standins import with_parts

from gateway.errors import PackError, SetupError
from gateway.files import atomic
from gateway.models.encoders import find_encoder
from gateway.screening import log as log_module
from gateway.screening.gate import Gate
from gateway.screening.log import ScreenedLog, screen_log

TOOL = {"type": "function", "function": {"name": "open_wardrobe", "description": "Leads to Narnia", "parameters": {}}}
IMAGE = [{"type": "text", "text": "Narnia?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]


@pytest.fixture
def packs(tmp_path: Path, save: SavePack) -> Path:
    encoder = find_encoder("minilm").fingerprint
    save("narnia", aliases=("Narnia",), changes={"encoder_fingerprint": encoder})
    save("oz", aliases=("Emerald City",), changes={"encoder_fingerprint": encoder})
    return tmp_path / "packs"


def screen(log: Path, out: Path, packs: Path) -> ScreenedLog:
    return screen_log(input_file=log, output_file=out, packs=packs, encoder="minilm", progress=lambda *_: None)


def screened(tmp_path: Path, packs: Path, *rows: Any) -> tuple[ScreenedLog, list[dict[str, Any]]]:
    log, out = tmp_path / "log.jsonl", tmp_path / "out.jsonl"
    log.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    counts = screen(log, out, packs)
    return counts, [json.loads(line) for line in out.read_text(encoding="utf-8").split("\n") if line]


def asked(content: Any, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content, **fields}]}


def test_rows_come_back_in_order_with_their_scopes(tmp_path: Path, packs: Path) -> None:
    turns = [{"role": "user", "content": "Tell me"}, {"role": "user", "content": [{"type": "text", "text": "Nárnia"}]}]
    counts, rows = screened(
        tmp_path,
        packs,
        {"prompt": "Who found Narnia?", "id": 7},
        "",
        {"prompt": "What is for lunch?"},
        {"messages": turns},
        {"prompt": "From Narnia to the Emerald City\u2028by train"},
        {"messages": [{"role": "assistant", "content": None}]},
    )
    assert counts == ScreenedLog(rows=5, flagged=3)
    assert [row["scopes"] for row in rows] == [["narnia"], [], ["narnia"], ["narnia", "oz"], []]
    assert [row["flagged"] for row in rows] == [True, False, True, True, False]
    assert rows[0]["id"] == 7
    assert rows[3]["prompt"] == "From Narnia to the Emerald City\u2028by train"
    assert rows[0]["score"] > 0 > rows[1]["score"]


@pytest.mark.parametrize(
    "row",
    [
        asked("Open it", name="Narnia"),
        {**asked("Open it"), "tools": [TOOL], "tool_choice": "required"},
        {**asked("Open it"), "tool_choice": {"type": "function", "function": {"name": "Narnia"}}},
        {
            **asked("Open it"),
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": ["Narnia"]}}},
        },
        {
            "messages": [
                {"role": "user", "content": "Open it"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "1", "type": "function", "function": {"name": "go", "arguments": '{"to": "Narnia"}'}}
                    ],
                },
                {"role": "tool", "tool_call_id": "1", "content": "done"},
            ]
        },
        {"messages": [{"role": "tool", "tool_call_id": "1", "content": "You are in Narnia."}]},
        {"model": "m", "prompt": "Once upon a time in Narnia", "max_tokens": 5},
        {"prompt": ["Once upon a time in Narnia"]},
        {"prompt": ["Lunch", "Narnia"]},
        {"prompt": "Open it", "tools": [TOOL], "tool_choice": "required"},
        {"prompt": [{"role": "user", "content": "Narnia?"}]},
        {"prompt": "Lunch?", **asked("Narnia?")},
        {"prompt": "Narnia?", **asked("Lunch?")},
        {"prompt": "Narnia?", "messages": None},
        {"prompt": "Lunch?", "suffix": "in Narnia"},
        {"request": {"model": "m", "temperature": 9, **asked("Narnia?")}, "response": {"id": "x"}},
        {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": asked("Narnia?")},
        {"request": {"body": asked("Lunch?") | {"tools": [TOOL], "tool_choice": "required"}}},
        {"body": json.dumps(asked("Narnia?"))},
        {"id": 3, "model": "m", "time": 4, "user_id": 3, **asked("Narnia?")},
        '"Who found Narnia?"',
    ],
)
def test_a_row_that_the_server_would_flag_is_flagged(tmp_path: Path, packs: Path, row: Any) -> None:
    counts, (one, other) = screened(tmp_path, packs, row, {"prompt": "What is for lunch?"})
    assert (counts.flagged, counts.odd) == (1, 0)
    assert one["scopes"] == ["narnia"]
    assert not other["flagged"]


def test_the_gateway_s_own_audit_lines_are_a_log(tmp_path: Path, packs: Path) -> None:
    common = {"time": "t", "id": "1", "model": "m", "stream": False, "plan": "Pass", "scopes": [], "outcome": "ok"}
    counts, rows = screened(
        tmp_path,
        packs,
        {**common, "endpoint": "chat", "messages": [{"role": "user", "text": "Narnia?"}]},
        {**common, "endpoint": "completions", "messages": [{"role": "prompt", "text": "In Narnia"}]},
        {**common, "endpoint": "chat"},
    )
    assert (counts.flagged, counts.odd, counts.under_key) == (2, 1, True)
    assert counts.first_problem == (
        "line 3: this audit line holds no prompt; the gateway writes prompts if audit_prompts is on"
    )
    assert [row["unrecall"]["scopes"] for row in rows] == [["narnia"], ["narnia"], []]
    assert [row["scopes"] for row in rows] == [[], [], []]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{", "not JSON"),
        ("[]", "this one has a list"),
        ("3", "a number"),
        ('{"question": "x", "answer": "y"}', "this one has the columns question, answer"),
        ('{"prompt": 3}', "prompt must be text, and is a number"),
        ('{"prompt": [[1, 2]]}', "token ids"),
        ('{"prompt": [1, 2]}', "token ids"),
        ('{"messages": [{"content": 3, "role": "user"}]}', "messages"),
        ('{"messages": 3}', "messages"),
        ('{"messages": [{}]}', "messages"),
        ('{"messages": [{"role": "wizard", "content": "x"}]}', "role"),
        ('{"prompt": "a", "prompt": "b"}', "stands twice"),
        ('{"prompt": "\\ud800"}', "lone surrogate"),
        ('{"body": "{"}', "Expecting"),
        (json.dumps(asked(IMAGE)), "a part of type image_url"),
        (json.dumps(asked([{"type": "input_audio", "input_audio": {}}])), "a part of type input_audio"),
        (json.dumps({"request": asked(IMAGE)}), "a part of type image_url"),
        (json.dumps({**asked("x"), "functions": [{"name": "Narnia"}]}), "functions"),
    ],
)
def test_an_odd_row_is_counted_and_told_and_the_others_are_screened(
    tmp_path: Path, packs: Path, row: str, words: str
) -> None:
    counts, rows = screened(tmp_path, packs, {"prompt": "Narnia?"}, row, {"prompt": "Lunch?"}, row)
    assert (counts.rows, counts.flagged, counts.odd) == (4, 1, 2)
    assert counts.first_problem.startswith("line 2: ")
    assert words in counts.first_problem
    assert [one["flagged"] for one in rows] == [True, None, False, None]
    assert f"line 2: {rows[1]['problem']}" == counts.first_problem
    assert (rows[1]["scopes"], rows[1]["score"]) == ([], None)
    kept = {key: value for key, value in rows[1].items() if key not in ("flagged", "scopes", "score", "problem")}
    assert kept, "what stood in the row is still there"


def test_a_file_without_a_single_good_row_is_refused_and_nothing_is_written(tmp_path: Path, packs: Path) -> None:
    with pytest.raises(SetupError, match=r"log\.jsonl has no row that can be screened; line 1: .*columns question"):
        screened(tmp_path, packs, {"question": "?"}, "{")
    assert not (tmp_path / "out.jsonl").exists()


def test_an_empty_log_is_an_empty_answer(tmp_path: Path, packs: Path) -> None:
    assert screened(tmp_path, packs, "") == (ScreenedLog(rows=0, flagged=0), [])


@pytest.mark.parametrize("name", ["flagged", "scopes", "score", "problem"])
def test_a_field_of_the_row_s_own_is_never_replaced(tmp_path: Path, packs: Path, name: str) -> None:
    counts, rows = screened(tmp_path, packs, {"prompt": "Narnia?"}, {"prompt": "Lunch?", name: "mine"})
    assert counts.under_key
    assert rows[1][name] == "mine"
    assert [row["unrecall"]["flagged"] for row in rows] == [True, False]
    assert rows[0].keys() == {"prompt", "unrecall"}
    with pytest.raises(SetupError, match=r"log\.jsonl line 2: the row has a field 'unrecall' already"):
        screened(tmp_path, packs, {"prompt": "Narnia?", name: 1}, {"prompt": "Lunch?", "unrecall": "mine"})


def test_the_input_is_never_the_output(tmp_path: Path, packs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"prompt": "Narnia?"}')
    (tmp_path / "soft.jsonl").symlink_to(log)
    os.link(log, tmp_path / "hard.jsonl")
    (tmp_path / "folder").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(log_module, "read_log", lambda _: pytest.fail("nothing is read before it is refused"))
    for out in (log, Path("log.jsonl"), Path("soft.jsonl"), Path("hard.jsonl"), Path("folder/log.jsonl")):
        with pytest.raises(SetupError, match="is the input itself"):
            screen(log, out, packs)
    assert log.read_text() == '{"prompt": "Narnia?"}'


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, packs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"prompt": "Narnia?"}')
    with pytest.raises(SetupError, match=r"cannot write /dev/full: No space left"):
        screen(log, Path("/dev/full"), packs)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic, "os", with_parts(os, fsync=full))
    with pytest.raises(SetupError, match=r"out\.jsonl: No space left"):
        screen(log, tmp_path / "out.jsonl", packs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "packs"]


def test_an_output_that_cannot_be_written_is_said_before_a_model_is_loaded(tmp_path: Path, packs: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"prompt": "Narnia?"}')
    with pytest.raises(SetupError, match="cannot write"):
        screen_log(
            input_file=log,
            output_file=tmp_path / "no" / "folder" / "out.jsonl",
            packs=packs,
            encoder="no-such-encoder",
            progress=lambda *_: None,
        )


def test_rows_are_screened_in_batches(tmp_path: Path, packs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    gate = Gate.screen
    monkeypatch.setattr(Gate, "screen", lambda self, requests: sizes.append(len(requests)) or gate(self, requests))
    counts, _ = screened(tmp_path, packs, *[{"prompt": f"Narnia {number}?"} for number in range(130)])
    assert (counts.flagged, sizes) == (130, [64, 64, 2])


def test_no_packs_would_flag_nothing_so_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PackError, match="no packs"):
        screened(tmp_path, tmp_path / "empty", {"prompt": "x"})


def test_packs_of_another_encoder_are_refused(tmp_path: Path, packs: Path, save: SavePack) -> None:
    save("mordor")
    with pytest.raises(PackError, match=r"'mordor'.*another sentence encoder"):
        screened(tmp_path, packs, {"prompt": "x"})
