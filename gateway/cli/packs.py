"""`unrecall packs`: list, show, verify, enable, disable."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from gateway.cli.terminal import Packs, console, percent
from gateway.errors import PackError

__all__ = ["packs"]

Scope = Annotated[str, typer.Argument(help="The scope's id.")]

packs = typer.Typer(no_args_is_help=True, help="Packs, one a learned scope: list, show, verify, switch on and off.")


@packs.command("list")
def packs_list(packs: Packs = Path(".unrecall/packs")) -> None:
    """Each pack: its version, whether it is on, and its held-out error rates."""
    from gateway.packs.folders import is_enabled, list_packs, verify_pack

    table = Table("scope", "on", "method", "base model", "FNR, held out", "created", "version")
    bad: list[str] = []
    for folder in list_packs(packs):
        try:
            manifest = verify_pack(folder)
        except PackError as error:
            bad.append(str(error))
            continue
        gate = manifest.heldout.gate
        table.add_row(
            manifest.scope,
            "yes" if is_enabled(folder) else "no",
            manifest.method,
            manifest.base_model,
            f"{percent(gate.fnr)} of {gate.forget_rows}",
            manifest.created[:10],
            manifest.version,
        )
    console.print(table)
    for reason in bad:
        console.print(f"bad: {reason}", style="red", soft_wrap=True, highlight=False, markup=False)
    if bad:
        raise typer.Exit(1)


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
    """Switch a pack on; a running gateway follows within a second or two."""
    from gateway.packs.folders import set_enabled

    set_enabled(packs / scope, True)


@packs.command("disable")
def packs_disable(scope: Scope, packs: Packs = Path(".unrecall/packs")) -> None:
    """Switch a pack off: its scope is no longer guarded."""
    from gateway.packs.folders import set_enabled

    set_enabled(packs / scope, False)


def _fingerprint(model: str) -> str:
    from gateway.models.folders import fingerprint, resolve

    return fingerprint(resolve(model))
