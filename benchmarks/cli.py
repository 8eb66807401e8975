"""`unrecall compare`: found by the command line as a plugin, for the gateway knows nothing of its benchmarks."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gateway.cli.progress import show_progress
from gateway.errors import SetupError

__all__ = ["compare"]

_console = Console()
_TASKS, _LIMIT = "gsm8k,triviaqa", 100
_INTERRUPTED = 130  # as shells say it


def compare(
    suite: Annotated[
        str,
        typer.Option(
            help="fictitious, tofu-20, tofu-20-forget05/10, tofu-forget01/05/10, muse-news, rwku or lm-eval.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of results; a rerun into it goes on where it was.")],
    arms: Annotated[str, typer.Option(help="Comma-separated arms, or all; npo+lora+mofo for variants.")] = "all",
    model: Annotated[str, typer.Option(help="Packaged name (smollm2), local folder, or hub id.")] = "smollm2",
    data: Annotated[Path | None, typer.Option(help="Folder of public data sets; the hub is asked without it.")] = None,
    samples: Annotated[int, typer.Option(help="Sampled answers a forgotten question, for leak@k.")] = 8,
    trials: Annotated[int, typer.Option(help="Settings tried for each arm that changes weights.")] = 3,
    tasks: Annotated[str, typer.Option(help="Tasks of lm-evaluation-harness, asked through the gateway.")] = "",
    limit: Annotated[int | None, typer.Option(help="Rows of each of those tasks; 100 if not given.")] = None,
    task_files: Annotated[Path | None, typer.Option(help="Folder of task files of your own.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
) -> None:
    """Guardrail unlearning against weight-based unlearning: the same prompts, decoding and metrics for every arm."""
    from transformers.utils import logging

    from benchmarks.compare.arms import load_arms
    from benchmarks.compare.harness import checked
    from benchmarks.compare.run import ComparisonConfig
    from benchmarks.compare.run import compare as run
    from benchmarks.compare.suites import load_suite

    if samples < 0:
        raise SetupError(f"--samples must not be negative, got {samples}")
    if trials < 1:
        raise SetupError(f"--trials must be at least 1, got {trials}")
    logging.disable_progress_bar()  # of transformers: ours says more
    model = str(Path(model)) if Path(model).is_dir() else model  # DIR/ is DIR
    config = ComparisonConfig(
        load_suite(suite, data, seed), model, load_arms(arms), samples=samples, trials=trials, seed=seed
    )
    if tasks := tasks or (_TASKS if suite == "lm-eval" else ""):
        config = replace(config, tasks=checked(tasks, _LIMIT if limit is None else limit, task_files))
    elif limit is not None or task_files:
        raise SetupError("--limit and --task-files are of lm-evaluation-harness's tasks; name them with --tasks")
    try:
        with show_progress(_console, "reading") as progress:
            results = run(config, out, progress=progress)
    except KeyboardInterrupt:
        print(f"interrupted; the same command goes on. Finished arms, taught models and packs are kept in {out}.")
        raise typer.Exit(_INTERRUPTED) from None
    failed = {name: arm["error"] for name, arm in results["arms"].items() if arm["status"] == "failed"}
    print(out / "report.html")
    if failed:
        reasons = "; ".join(f"{name}: {error}" for name, error in failed.items())
        raise SetupError(f"{len(failed)} of {len(results['arms'])} arms failed ({reasons}); the others are reported")
