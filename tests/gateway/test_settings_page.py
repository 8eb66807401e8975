"""docs/settings.md names every setting, with the default that the server really uses."""

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from harness import ROOT, unrecall_here
from pydantic import BaseModel

from gateway.arms import ArmSettings
from gateway.cli.main import app
from gateway.settings import Settings, load_settings

PAGE = ROOT / "docs" / "settings.md"
CELLS = re.compile(r"(?<!\\)\|")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("UNRECALL_")]:
        monkeypatch.delenv(variable)


def rows() -> dict[str, list[str]]:
    """The table of the page: (values, default, meaning) by setting."""
    table = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in CELLS.split(line)[1:-1]] for line in table]
    assert {len(row) for row in cells} == {4}, "a row has too many or too few cells: does a meaning hold a '|'?"
    return {row[0].strip("`"): row[1:] for row in cells}


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every setting's name, found here without the code that writes the page."""
    for name, value in model.model_fields.items():
        yield prefix + name
        default = value.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            yield from fields(type(default), f"{prefix}{name}.")
        elif name == "ab_arms":
            yield from fields(ArmSettings, f"{prefix}{name}[].")


def written(value: Any) -> str:
    """A value as the page writes it."""
    if value is None:
        return "unset"
    if value in ((), []):
        return "none"
    if isinstance(value, tuple | list):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`".replace(".0`", "`")


def test_the_command_prints_the_page() -> None:
    said = unrecall_here("settings")
    assert said.stdout == PAGE.read_text(encoding="utf-8"), "run: unrecall settings > docs/settings.md"


def test_every_setting_has_a_row_and_every_row_is_a_setting() -> None:
    assert list(rows()) == list(fields(Settings))


def test_every_row_says_what_the_setting_means_and_takes() -> None:
    for setting, (values, default, meaning) in rows().items():
        assert values, setting
        assert default, setting
        assert meaning.endswith("."), f"{setting} has no meaning, or one that is no sentence: {meaning!r}"


def test_the_defaults_of_the_page_are_those_of_a_server_without_any_setting() -> None:
    settings = load_settings(None, {})
    for setting, (_, default, _) in rows().items():
        if setting.startswith("ab_arms[]."):
            field = ArmSettings.model_fields[setting.partition(".")[2]]
            assert default == ("required" if field.is_required() else written(field.default)), setting
            continue
        value: Any = settings
        for part in setting.split("."):
            value = getattr(value, part)
        if not isinstance(value, BaseModel):
            assert default == written(value), setting


def test_no_other_page_keeps_a_table_of_settings() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        assert page == PAGE or "| setting |" not in page.read_text(encoding="utf-8"), page.name


def test_every_variable_that_a_page_names_is_read() -> None:
    known = {f"UNRECALL_{name.replace('.', '__')}".upper() for name in fields(Settings)} | {"UNRECALL_CACHE"}
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        named = set(re.findall(r"UNRECALL_[A-Z0-9_]+", page.read_text(encoding="utf-8")))
        assert named <= known, f"{page.name} names a variable that nobody reads"


def test_the_page_names_the_variable_that_is_no_setting() -> None:
    assert "UNRECALL_CACHE" in PAGE.read_text(encoding="utf-8")


def test_every_option_of_serve_is_a_setting() -> None:
    serve = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    options = {parameter.name for parameter in serve.params} - {"config", "help"}
    assert {"model", "host", "port"} <= options <= set(rows())
