"""`unrecall packs`: list, show, verify, enable, disable, remove."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.terminal import Packs, console, errors, percent, tell
from gateway.errors import PackError

__all__ = ["packs"]


def _id(scope: str) -> str:
    if "/" in scope or "\\" in scope or scope.startswith(".") or not scope:
        raise PackError(f"there is no pack {scope!r}, and this is no scope's id; `unrecall packs list` names them")
    return scope


Scope = Annotated[str, typer.Argument(help="The scope's id.", callback=_id)]

packs = typer.Typer(
    no_args_is_help=True, help="Packs, one a learned scope: list, show, verify, switch on and off, remove."
)


@packs.command("list")
def packs_list(
    packs: Packs = Path(".unrecall/packs"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")] = False,
) -> None:
    """Each pack: its version, whether it is on, and its held-out error rates. Checks what the gateway checks at its
    start; `unrecall packs verify` checks every file."""
    from gateway.packs.folders import is_enabled, list_packs, verify_pack

    listed: list[dict[str, Any]] = []
    bad: list[str] = []
    for folder in list_packs(packs):
        try:
            manifest = verify_pack(folder, whole=False)
        except PackError as error:
            bad.append(str(error))
            continue
        gate = manifest.heldout.gate
        listed.append(
            {
                "scope": manifest.scope,
                "on": is_enabled(folder),
                "method": manifest.method,
                "base_model": manifest.base_model,
                "fnr": gate.fnr,
                "forget_rows": gate.forget_rows,
                "created": manifest.created,
                "version": manifest.version,
            }
        )
    sys.stdout.writelines(f"{json.dumps(row)}\n" for row in listed) if as_json else _print_table(listed)
    for reason in bad:
        (errors if as_json else console).print(
            f"bad: {reason}", style="red", soft_wrap=True, highlight=False, markup=False
        )
    if bad:
        raise typer.Exit(1)


def _print_table(listed: Sequence[Mapping[str, Any]]) -> None:
    """Plain columns: a table of rich takes seconds for thousands of rows."""
    rows = [("scope", "on", "method", "base model", "FNR, held out", "created", "version")]
    rows += [
        (
            row["scope"],
            "yes" if row["on"] else "no",
            row["method"],
            row["base_model"],
            f"{percent(row['fnr'])} of {row['forget_rows']}",
            row["created"][:10],
            row["version"],
        )
        for row in listed
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


@packs.command("show")
def packs_show(scope: Scope, packs: Packs = Path(".unrecall/packs")) -> None:
    """The manifest of one pack, as JSON."""
    from gateway.packs.folders import read_manifest

    print(read_manifest(packs / scope).model_dump_json(indent=2))


@packs.command("verify")
def packs_verify(
    packs: Packs = Path(".unrecall/packs"),
    model: Annotated[str | None, typer.Option(help="Also check that each pack was made for this model.")] = None,
) -> None:
    """Check every file of every pack against its manifest."""
    from gateway.packs.folders import list_packs, verify_pack

    base = _fingerprint(model) if model else None
    bad = 0
    for folder in list_packs(packs):
        try:
            verify_pack(folder, base_fingerprint=base)
            console.print(f"[green]ok[/green]  {folder.name}")
        except PackError as error:
            bad += 1
            console.print(f"bad {error}", style="red", soft_wrap=True, highlight=False, markup=False)
    if bad:
        raise typer.Exit(1)


@packs.command("enable")
def packs_enable(scope: Scope, packs: Packs = Path(".unrecall/packs")) -> None:
    """Switch a pack on; a running gateway follows within a second."""
    from gateway.packs.folders import set_enabled, verify_pack

    verify_pack(packs / scope)  # one that cannot be loaded would stop all answers
    set_enabled(packs / scope, True)
    tell(f"pack {scope} is on: its scope is guarded")


@packs.command("remove")
def packs_remove(scope: Scope, packs: Packs = Path(".unrecall/packs")) -> None:
    """Delete a pack: its scope is no longer guarded."""
    from gateway.packs.folders import remove_pack

    remove_pack(packs / scope)
    tell(f"pack {scope} is removed: its scope is no longer guarded")


@packs.command("disable")
def packs_disable(scope: Scope, packs: Packs = Path(".unrecall/packs")) -> None:
    """Switch a pack off: its scope is no longer guarded."""
    from gateway.packs.folders import set_enabled

    set_enabled(packs / scope, False)
    tell(f"pack {scope} is off: its scope is no longer guarded")


def _fingerprint(model: str) -> str:
    from gateway.models.folders import fingerprint, resolve

    return fingerprint(resolve(model))
