"""`unrecall doctor`: the settings of serve in, a line a check out, and an exit status that a script can trust."""

import json
import logging
from pathlib import Path

import pytest
from hand_made import SavePack
from harness import unrecall_here
from tiny import tiny_model

from classifiers.encoder.sentence import Encoder
from gateway.models.encoders import find_encoder
from gateway.models.folders import fingerprint


@pytest.fixture
def options(tmp_path: Path, save: SavePack, encoder: Encoder) -> list[str]:
    """A gateway that is well: a model's folder, and a pack made for it."""
    model, folder = tiny_model(), tmp_path / "model"
    model.model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    made_for = {
        "base_fingerprint": fingerprint(folder),
        "encoder_fingerprint": find_encoder("minilm").fingerprint,
    }
    save("narnia", changes=made_for)
    return ["--model", str(folder), "--packs", str(tmp_path / "packs"), "--port", "0"]


def test_a_gateway_that_is_well(options: list[str]) -> None:
    before = logging.root.manager.disable
    told = unrecall_here("doctor", *options)
    assert told.returncode == 0, told.stdout
    lines = told.stdout.splitlines()
    assert {line.split()[0] for line in lines[:-1]} == {"ok", "warning"}
    assert [line.split()[1] for line in lines if "narnia" in line] == ["packs:"]
    assert lines[-1].startswith(f"{len(lines) - 1} checks: 0 failed")
    assert logging.root.manager.disable == before


def test_a_failure_is_the_exit_status_and_programs_read_json(options: list[str], tmp_path: Path) -> None:
    next((tmp_path / "packs" / "narnia").glob("v-*/gate.json")).write_text("{}")
    told = unrecall_here("doctor", "--json", *options)
    assert told.returncode == 1
    found = json.loads(told.stdout)
    assert found["ok"] is False
    (failure,) = (check for check in found["checks"] if check["status"] == "failed")
    assert failure["check"] == "pack narnia"
    assert "gate.json was altered" in failure["message"]


def test_settings_that_serve_would_refuse(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("prot: 8001\n")
    told = unrecall_here("doctor", "--config", str(tmp_path / "gateway.yaml"))
    assert told.returncode == 1
    assert told.stdout.startswith("failed   settings: ")
    assert "'prot'" in told.stdout


def test_it_takes_the_options_of_serve() -> None:
    import inspect

    from gateway.cli.doctor import doctor
    from gateway.cli.serve import serve

    served, checked = (set(inspect.signature(command).parameters) for command in (serve, doctor))
    assert served - checked == {"workers"}, "how many processes there are changes no check"
