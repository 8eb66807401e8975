"""`unrecall ab report`: the arms' figures from audit logs."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.terminal import console
from gateway.errors import SetupError

__all__ = ["ab"]

ab = typer.Typer(no_args_is_help=True, help="Online comparison of models (docs/online-ab.md).")


@ab.command("report")
def ab_report(
    files: Annotated[list[Path], typer.Argument(help="Audit logs (audit_file) of the gateways that compared.")],
) -> None:
    """Report requests, leak-screen hits and times of each arm, with 95% intervals and differences from the guarded."""
    from gateway.experiments.report import read_lines, report_on
    from gateway.experiments.tables import tables

    lines, others = read_lines(files)
    if not lines:
        raise SetupError(
            f"no line names an arm, of {others} in {', '.join(map(str, files))}: give the audit_file of a gateway that "
            f"serves with ab_arms, as it was written"
        )
    for table in tables(report_on(lines)):
        console.print(table)
    if others:
        console.print(f"{others} lines that name no arm were left out")
