"""The command around a comparison: what it hands on, and what it says when it is interrupted."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from harness import ROOT
from typer.testing import CliRunner

import benchmarks.compare.run
from benchmarks.cli import compare
from benchmarks.compare.run import ComparisonConfig

app = typer.Typer()
app.command()(compare)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[ComparisonConfig]:
    """Those that were begun; each is interrupted at once."""
    begun = []

    def interrupted(plan: ComparisonConfig, out: Path, **_: Any) -> None:
        begun.append(plan)
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmarks.compare.run, "compare", interrupted)
    return begun


def test_an_interruption_says_that_the_same_command_goes_on(plans: list[ComparisonConfig], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["--suite", "fictitious", "--arms", "original,npo", "--out", str(tmp_path / "out")])
    assert done.exit_code == 130
    assert "the same command goes on" in done.output
    assert str(tmp_path / "out") in done.output.replace("\n", "")
    assert [arm.name for arm in plans[0].arms] == ["original", "npo"]


def test_a_folder_is_the_same_model_with_a_slash_behind_it(plans: list[ComparisonConfig], tmp_path: Path) -> None:
    for model in (str(tmp_path), f"{tmp_path}/"):
        CliRunner().invoke(app, ["--suite", "fictitious", "--arms", "original", "--model", model, "--out", "out"])
    assert [plan.model for plan in plans] == [str(tmp_path)] * 2


def test_a_chat_template_is_read(plans: list[ComparisonConfig], tmp_path: Path) -> None:
    file = tmp_path / "lines.jinja"
    file.write_text("{{ messages[0]['content'] }}")
    words = ["--suite", "fictitious", "--arms", "original", "--out", "out", "--chat-template", str(file)]
    CliRunner().invoke(app, words)
    assert plans[0].chat_template == file.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("compare('fictitious', Path('out'), arms='nwo')", "unknown arm 'nwo'; did you mean 'npo'?"),
        ("compare('fictitous', Path('out'))", "did you mean 'fictitious'?"),
        ("compare('fictitious', Path('out'), limit=3)", "name them with --tasks"),
        ("attack([Path('scope.yaml')], Path('out'), families='rot31')", "did you mean 'rot13'?"),
        ("attack([Path('scope.yaml')], Path('out'), families=',')", "no attack family is named"),
        *(
            (f"{command}, chat_template=Path('nowhere.jinja'))", "cannot read the chat template nowhere.jinja")
            for command in ("attack([Path('scope.yaml')], Path('out')", "compare('fictitious', Path('out')")
        ),
    ],
)
def test_a_wrong_option_is_told_before_anything_is_loaded(words: str, message: str) -> None:
    script = f"""
import sys
from pathlib import Path
from benchmarks.cli import attack, compare
from gateway.errors import SetupError
try:
    {words}
except SetupError as error:
    print(error, [name for name in ("torch", "transformers") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert message in done.stdout
    assert done.stdout.rstrip().endswith(" []")
