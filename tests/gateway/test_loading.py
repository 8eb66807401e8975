"""What is loaded when: a command that needs no model answers at once, because it loads neither torch nor a web server.

Each case runs in a process of its own, and the test looks at the modules that this process has loaded at its end.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hand_made import CORRUPTION, SavePack
from harness import ROOT

from adapters.lora.model import Lora
from adapters.soft_prompt.model import VirtualTokens

HEAVY = {
    *("torch", "transformers", "sentence_transformers", "peft", "accelerate", "tokenizers", "huggingface_hub"),
    *("sklearn", "scipy", "pandas", "matplotlib", "nevergrad", "faiss"),
    *("aiohttp", "fastapi", "starlette", "uvicorn", "httpx"),
}


def heavy_after(code: str) -> set[str]:
    """The heavy modules that a fresh process has loaded once it has run `code`."""
    script = f"import sys, json\n{code}\nprint(json.dumps(sorted({HEAVY!r} & set(sys.modules))))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    if ran.returncode:
        raise RuntimeError(ran.stderr)
    return set(json.loads(ran.stdout.splitlines()[-1]))


def heavy_after_command(*words: object, status: int = 0) -> set[str]:
    """The same of a command, which must end with this exit status."""
    argv = ["unrecall", *map(str, words)]
    run = f"try:\n    main()\nexcept SystemExit as end:\n    if (end.code or 0) != {status}:\n        raise"
    return heavy_after(f"from gateway.cli.main import main\nsys.argv = {argv!r}\n{run}")


@pytest.fixture
def packs(tmp_path: Path, save: SavePack) -> Path:
    """A folder with a pack of each method."""
    lora = Lora({"layer": (torch.ones(1, 4), torch.ones(4, 1))}, 1.0)
    made = {"corruption": CORRUPTION, "soft-prompt": VirtualTokens(torch.zeros(2, 4)), "lora": lora}
    for scope, (method, artifact) in zip(("narnia", "oz", "lemuria"), made.items(), strict=True):
        save(scope, artifact=artifact, method=method)
    return tmp_path / "packs"


def test_the_check_sees_the_modules_that_a_process_loads() -> None:
    assert heavy_after("import httpx") == {"httpx"}
    assert heavy_after("def later():\n    import torch") == set()


@pytest.mark.parametrize(
    "module",
    [
        "gateway.errors",
        "gateway.core",
        "gateway.policy",
        "gateway.settings",
        "gateway.models.folders",
        "gateway.models.packaged",
        "gateway.openai_format.limits",
        "gateway.telemetry.audit",
        "gateway.telemetry.metrics",
        "gateway.experiments.report",
        "gateway.packs.folders",
        "gateway.packs.manifest",
        "gateway.packs.store",
        "classifiers.svm.model",
        "classifiers.ood.model",
    ],
)
def test_a_module_of_nouns_and_records_loads_nothing_heavy(module: str) -> None:
    assert heavy_after(f"import {module}") == set()


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("--version",),
        ("train", "--help"),
        ("serve", "--help"),
        ("demo", "--help"),
        ("compare", "--help"),
        ("packs", "list", "--help"),
        ("settings",),
    ],
)
def test_help_loads_nothing_heavy(words: tuple[str, ...]) -> None:
    assert heavy_after_command(*words) == set()


@pytest.mark.parametrize(
    "words", [("list", "--json"), ("verify",), ("show", "oz"), ("disable", "oz"), ("enable", "oz"), ("remove", "oz")]
)
def test_packs_are_listed_and_switched_without_loading_anything_heavy(packs: Path, words: tuple[str, ...]) -> None:
    assert heavy_after_command("packs", *words, "--packs", packs) == set()


def test_an_ab_report_loads_nothing_heavy(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    line = {"id": "1", "arm": "guarded", "plan": "Corrupt", "outcome": "ok", "gate_ms": 1.0, "total_ms": 9.0}
    log.write_text(json.dumps(line))
    assert heavy_after_command("ab", "report", log) == set()


def test_bad_settings_are_told_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    bad = tmp_path / "settings.yaml"
    bad.write_text("prot: 8000")
    assert heavy_after_command("serve", "--config", bad, status=2) == set()
    assert heavy_after_command("serve", "--port", "99999", status=2) == set()


def test_a_bad_scope_is_told_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    bad = tmp_path / "scope.yaml"
    bad.write_text("id: narnia\n")
    assert heavy_after_command("train", bad, status=2) == set()
    assert heavy_after_command("train", tmp_path / "none.yaml", status=2) == set()


def test_a_training_loads_what_fits_and_serves_when_it_comes_to_that() -> None:
    late = {"sentence_transformers", "peft", "sklearn", "scipy", "pandas", "matplotlib", "nevergrad"}
    assert heavy_after("import gateway.training.run") & (late | {"faiss", "aiohttp", "fastapi"}) == set()
