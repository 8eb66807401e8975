"""The command line. A command imports what it needs when it runs, so that `unrecall --help` answers at once."""

import sys
from functools import cache
from importlib.metadata import entry_points, version
from typing import Annotated

import typer

from gateway.cli.audit import audit
from gateway.cli.demo import demo
from gateway.cli.doctor import doctor
from gateway.cli.experiments import ab
from gateway.cli.packs import packs
from gateway.cli.scope import scope
from gateway.cli.screening import screen
from gateway.cli.serve import serve
from gateway.cli.settings import settings
from gateway.cli.terminal import errors
from gateway.cli.train import models, train
from gateway.errors import SetupError

__all__ = ["app", "command_line", "main"]

_HELP = "An OpenAI-compatible gateway that makes a served model stop recalling what it was asked to forget."

app = typer.Typer(no_args_is_help=True, add_completion=False, help=_HELP, pretty_exceptions_enable=False)
for command in (train, screen, serve, doctor, settings, demo):
    app.command()(command)
app.add_typer(scope, name="scope")
app.add_typer(models, name="models")
app.add_typer(packs, name="packs")
app.add_typer(ab, name="ab")
app.add_typer(audit, name="audit")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"unrecall {version('unrecall')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of the program itself, which stand before a command."""


@cache
def command_line() -> typer.Typer:
    """The commands of this package and of every installed package that has the entry point `unrecall.commands`."""
    for command in entry_points(group="unrecall.commands"):
        app.command(command.name)(command.load())
    return app


def main() -> None:
    """Runs the command line; an operator's mistake is one line, not a traceback."""
    try:
        command_line()()
    except SetupError as error:
        errors.print(f"error: {error}", style="red", soft_wrap=True, highlight=False, markup=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
