"""The command line tells about itself: its version, its commands, and each option of each command."""

from collections.abc import Iterator
from importlib.metadata import entry_points, version
from typing import Any

import pytest
import typer
from harness import unrecall_here

from gateway.cli.main import app


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """(words, command) of a command and of all below it, as typer builds them."""
    yield " ".join(words) or "unrecall", command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*words, name))


def every_command() -> list[tuple[str, Any]]:
    for plugin in entry_points(group="unrecall.commands"):
        if plugin.name not in {command.name for command in app.registered_commands}:
            app.command(plugin.name)(plugin.load())
    return list(commands(typer.main.get_command(app)))


def test_the_walk_finds_groups_commands_and_plugins() -> None:
    found = {words for words, _ in every_command()}
    assert {"unrecall", "train", "packs", "packs list", "models pull", "ab report", "settings", "compare"} <= found


@pytest.mark.parametrize(
    ("words", "command"), every_command(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_and_every_option_says_what_it_is(words: str, command: Any) -> None:
    assert command.help, f"unrecall {words} has no help text"
    silent = [parameter.name for parameter in command.params if not getattr(parameter, "help", None)]
    assert silent == [], f"unrecall {words} has parameters without a help text"


def test_version_is_the_installed_one() -> None:
    said = unrecall_here("--version")
    assert (said.returncode, said.stdout) == (0, f"unrecall {version('unrecall')}\n")


def test_no_command_prints_the_help_and_fails() -> None:
    said = unrecall_here()
    assert said.returncode == 2
    assert "--version" in said.stdout


@pytest.mark.parametrize(
    "words", [("learn",), ("packs", "remove"), ("serve", "--prot", "1"), ("serve", "--port", "many")]
)
def test_an_unknown_word_or_a_bad_value_is_named(words: tuple[str, ...]) -> None:
    said = unrecall_here(*words)
    assert said.returncode == 2
    assert words[-1] in said.stderr or words[-2] in said.stderr
    assert "Traceback" not in said.stderr
