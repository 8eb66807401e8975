"""README and docs/ name what there is: files, links, names in code, commands, and examples that run."""

import json
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from harness import ROOT
from typer.core import TyperGroup

from benchmarks.attacks import registry as attacks
from benchmarks.compare.metrics import registry as metrics
from gateway.cli.main import command_line
from gateway.methods import registry as methods
from gateway.settings import load_settings
from gateway.training.scope_file import load_scope

PAGES = ("README.md", *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md")))
FOLDERS = "adapters|benchmarks|classifiers|corruption|deploy|docs|examples|gateway|scripts|tests"
PATH = re.compile(rf"(?<![\w./-])(?:{FOLDERS})/[\w./*-]*")
MODULE = re.compile(r"(?<![\w./])(?:adapters|benchmarks|classifiers|corruption|gateway)(?:\.\w+)+")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")
OLD_NAMES = re.compile(r"\b(takedowns?|twins?|telling words|recipes?|roster|Lesson)\b", re.IGNORECASE)


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", read(page), re.MULTILINE | re.DOTALL)


def exists(path: str) -> bool:
    """A path with `*` names at least one file."""
    path = path.rstrip(".")
    return any(ROOT.glob(path)) if "*" in path else (ROOT / path).exists()


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub links to them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {"#" + re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def module_and_name(dotted: str) -> bool:
    """'gateway.core.Plan' is a module, or a name that stands in a module."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:end])
        file = place.with_suffix(".py") if place.with_suffix(".py").is_file() else place / "__init__.py"
        if file.is_file():
            return all(re.search(rf"\b{part}\b", file.read_text(encoding="utf-8")) for part in parts[end:])
    return False


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    named = set(PATH.findall(read(page)))
    assert [path for path in sorted(named) if not exists(path)] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_module_that_a_page_names_is_there(page: str) -> None:
    named = {name for name in MODULE.findall(read(page)) if not name.endswith((".json", ".safetensors", ".md"))}
    assert [name for name in sorted(named) if not module_and_name(name)] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    here = ROOT / page
    for target, anchor in LINK.findall(read(page)):
        place = (here.parent / target).resolve() if target else here
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), f"{target}{anchor}"


@pytest.mark.parametrize("page", [page for page in PAGES if page not in ("docs/glossary.md", "docs/settings.md")])
def test_pages_speak_the_glossarys_language(page: str) -> None:
    prose = re.sub(r"`[^`\n]*`", "", read(page))
    assert OLD_NAMES.findall(prose) == [], "see docs/glossary.md for the terms"


def rows_of_the_glossary() -> Iterator[tuple[str, str]]:
    """Each term with the cell that says where it stands."""
    for line in read("docs/glossary.md").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 4 and cells[0] not in ("term", "---"):
            yield cells[0], cells[2]


def test_every_term_of_the_glossary_stands_where_it_says() -> None:
    found = list(rows_of_the_glossary())
    assert len(found) > 20
    for term, place in found:
        codes = re.findall(r"`([^`]+)`", place)
        files = [code for code in codes if PATH.fullmatch(code)]
        text = "\n".join((ROOT / file).read_text(encoding="utf-8") for file in files if (ROOT / file).is_file())
        assert files, f"{term}: in which file?"
        for name in set(codes) - set(files):
            assert re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text), f"{term}: {name} does not stand in {files}"


@pytest.fixture
def registries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What an example registers is gone after it."""
    places: list[dict[str, Any]] = [attacks._families, metrics._metrics, methods._places]
    kept = [dict(place) for place in places]
    monkeypatch.syspath_prepend(ROOT / "tests/benchmarks")
    yield
    for place, before in zip(places, kept, strict=True):
        place.clear()
        place.update(before)


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("number", range(len(blocks("docs/extending.md", "python"))))
def test_the_examples_of_extending_run(number: int, tmp_path: Path) -> None:
    example = blocks("docs/extending.md", "python")[number]
    assert "\nassert " in example
    file = tmp_path / f"example_{number}.py"
    file.write_text(example, encoding="utf-8")
    runpy.run_path(str(file))


def commands() -> list[tuple[str, str]]:
    """Every line of a page's code blocks that calls `unrecall`."""
    found = [(page, block) for page in PAGES for block in re.findall(r"^```\w*\n(.*?)^```", read(page), re.M | re.S)]
    joined = [(page, line) for page, block in found for line in block.replace("\\\n", " ").splitlines()]
    return [(page, line.split(" # ")[0].strip()) for page, line in joined if line.startswith("unrecall ")]


@pytest.mark.parametrize(("page", "line"), commands())
def test_the_command_line_takes_the_commands_that_a_page_shows(page: str, line: str) -> None:
    """The arguments are parsed; nothing is run."""
    command: Any = typer.main.get_command(command_line())
    _, *words = shlex.split(line)
    name = "unrecall"
    while isinstance(command, click.Group | TyperGroup):
        name, command, words = command.resolve_command(click.Context(command), words)
    command.make_context(name, words, resilient_parsing=False)


def test_the_readmes_scope_file_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "scope.yaml").write_text(blocks("README.md", "yaml")[0], encoding="utf-8")
    for kind in ("forget", "retain", "invented"):
        rows = [{"prompt": f"{kind} {number}?", "response": "yes"} for number in range(8)]
        (tmp_path / f"{kind}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    scope = load_scope(tmp_path / "scope.yaml")
    assert (scope.id, scope.policy.plan, len(scope.calibration)) == ("harry-potter", "forget", 8)


def test_the_settings_of_an_online_comparison_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "this.yaml").write_text(blocks("docs/online-ab.md", "yaml")[0], encoding="utf-8")
    (arm,) = load_settings(tmp_path / "this.yaml", {}).ab_arms
    assert (arm.name, arm.unlearned) == ("npo", True)
