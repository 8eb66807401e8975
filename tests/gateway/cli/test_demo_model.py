"""The demo with another model: that one is trained, served and asked under its own name."""

import json
from pathlib import Path
from typing import Any

import pytest
from harness import ROOT, unrecall_here
from tiny_families import save, tiny_of

import gateway.training.run

TEMPLATE = ROOT / "examples/base-model.jinja"


def test_the_demo_trains_and_serves_the_model_that_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training itself is left out: then both sides are the plain model."""
    folder = save(tiny_of("gemma3_text"), tmp_path / "base")
    (folder / "chat_template.jinja").unlink()
    (tmp_path / "questions.jsonl").write_text(json.dumps({"side": "far", "prompt": "What is the capital of France?"}))
    trained: list[dict[str, Any]] = []

    def train_scope(**given: Any) -> None:
        trained.append(given)
        given["out"].mkdir()

    monkeypatch.setattr(gateway.training.run, "train_scope", train_scope)
    words = ("demo", "--once", "--model", folder, "--scope", tmp_path / "scope.yaml", "--packs", tmp_path / "packs")
    said = unrecall_here(*words, "--chat-template", TEMPLATE, "--evaluations", 3)
    assert said.returncode == 0, said.stderr
    (row,) = (line for line in said.stdout.splitlines() if line.startswith("│ far"))
    assert "the same, byte for byte" in row
    (given,) = trained
    assert given["model"] == str(folder)
    assert given["training"].chat_template == TEMPLATE.read_text()
    assert given["training"].settings.evaluations == 3
    assert json.loads((tmp_path / "demo-audit.jsonl").read_text().splitlines()[-1])["model"] == "base"
