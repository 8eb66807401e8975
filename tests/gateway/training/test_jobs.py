"""Screening a log offline: every row answered for, none lost, and a bad one named."""

import json
from pathlib import Path
from typing import Any

import pytest
from hand_made import SavePack

from gateway.errors import PackError, SetupError
from gateway.models.folders import fingerprint, resolve
from gateway.training import jobs
from gateway.training.jobs import screen_log, train_scope, training_of


@pytest.fixture
def packs(tmp_path: Path, save: SavePack, monkeypatch: pytest.MonkeyPatch) -> Path:
    from tiny import minilm

    monkeypatch.setattr(jobs, "Encoder", lambda _: minilm())
    encoder = fingerprint(resolve("minilm"))
    save("narnia", aliases=("Narnia",), changes={"encoder_fingerprint": encoder})
    save("oz", aliases=("Emerald City",), changes={"encoder_fingerprint": encoder})
    return tmp_path / "packs"


def screened(tmp_path: Path, packs: Path, *rows: Any) -> tuple[tuple[int, int], list[dict[str, Any]]]:
    log, out = tmp_path / "log.jsonl", tmp_path / "out.jsonl"
    log.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    counts = screen_log(input_file=log, output_file=out, packs=packs, encoder="minilm", progress=lambda *_: None)
    return counts, [json.loads(line) for line in out.read_text(encoding="utf-8").split("\n") if line]


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
    assert counts == (3, 5)
    assert [row["scopes"] for row in rows] == [["narnia"], [], ["narnia"], ["narnia", "oz"], []]
    assert [row["flagged"] for row in rows] == [True, False, True, True, False]
    assert rows[0]["id"] == 7
    assert rows[3]["prompt"] == "From Narnia to the Emerald City\u2028by train"
    assert rows[0]["score"] > 0 > rows[1]["score"]


@pytest.mark.parametrize(
    "line", ["{", "[]", "3", '{"text": "x"}', '{"prompt": 3}', '{"messages": [{"content": 3, "role": "user"}]}']
)
def test_a_bad_row_is_named_and_nothing_is_written(tmp_path: Path, packs: Path, line: str) -> None:
    with pytest.raises(SetupError, match=r"log\.jsonl line 2"):
        screened(tmp_path, packs, {"prompt": "x"}, line)
    assert not (tmp_path / "out.jsonl").exists()


def test_no_packs_would_flag_nothing_so_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PackError, match="no packs"):
        screened(tmp_path, tmp_path / "empty", {"prompt": "x"})


def test_packs_of_another_encoder_are_refused(tmp_path: Path, packs: Path, save: SavePack) -> None:
    save("mordor")
    with pytest.raises(PackError, match=r"'mordor'.*another sentence encoder"):
        screened(tmp_path, packs, {"prompt": "x"})


def test_training_checks_what_it_is_given_before_it_loads_anything(tmp_path: Path) -> None:
    scope_file = Path(__file__).parents[3] / "examples" / "harry-potter" / "scope.yaml"

    def train(**options: Any) -> None:
        train_scope(
            **{
                "scope_file": scope_file,
                "model": "no-such-model",
                "encoder": "minilm",
                "out": tmp_path,
                **options,
            }
        )

    for options, words in (
        ({"traffic_file": tmp_path / "gone.txt"}, r"gone\.txt"),
        ({}, "no-such-model"),
    ):
        with pytest.raises(SetupError, match=words):
            train(**options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "magic"}, "unknown method 'magic'; there are corruption, soft-prompt, lora"),
        ({"method": "corruption", "fpr": 0.0}, "fpr"),
        ({"method": "corruption", "evaluations": 0}, "at least one evaluation"),
        ({"method": "lora", "lr": -1.0}, "learning rate"),
        ({"method": "soft-prompt", "epochs": 0}, "epochs"),
        ({"method": "lora", "optimizer": "sgd"}, "unknown optimizer 'sgd'; there are adamw, mofo"),
    ],
)
def test_options_that_make_no_training_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SetupError, match=words):
        training_of(**options)
