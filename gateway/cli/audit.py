"""`unrecall audit verify`: whether a line of an audit log was changed, moved or taken out."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.terminal import tell

__all__ = ["audit"]

audit = typer.Typer(no_args_is_help=True, help="The audit log (docs/audit.md).")


@audit.callback()
def _commands() -> None:
    """A command of its own below `audit`, though there is one alone."""


@audit.command("verify")
def audit_verify(
    files: Annotated[list[Path], typer.Argument(help="Audit logs as they were written, the oldest first.")],
    config: Annotated[
        Path | None, typer.Option(help="The gateway's YAML file, if audit_key stands there and not in the environment.")
    ] = None,
) -> None:
    """Check the hash chains of audit logs: the exit status is 1 if a line was changed, moved or taken out."""
    from gateway.settings import load_settings
    from gateway.telemetry.verification import verify_files

    key = load_settings(config, {}).audit_key
    found = verify_files(files, key.get_secret_value().encode() if key else None)
    for note in found.notes:
        tell(f"note: {note}")
    if found.problem:
        tell(f"bad: {found.problem}. The {found.lines} lines before it are as they were written")
        raise typer.Exit(1)
    tell(f"ok: {found.lines} lines in {len(found.ends)} chain{'' if len(found.ends) == 1 else 's'}")
    for link in found.ends.values():
        tell(f"    chain {link.chain} ends with number {link.seq}, digest {link.digest}")
