"""`unrecall compare` and `unrecall attack`: plugins of the command line, for the gateway knows nothing of its
benchmarks."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gateway.cli.progress import show_progress, without_loading_bars
from gateway.cli.terminal import INTERRUPTED, ChatTemplate
from gateway.errors import SetupError
from gateway.models.encoders import EncoderRuntime

__all__ = ["attack", "compare"]

_console = Console()
_TASKS, _LIMIT = "gsm8k,triviaqa", 100


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
    chat_template: ChatTemplate = None,
    data: Annotated[Path | None, typer.Option(help="Folder of public data sets; the hub is asked without it.")] = None,
    samples: Annotated[int, typer.Option(help="Sampled answers a forgotten question, for leak@k.")] = 8,
    trials: Annotated[int, typer.Option(help="Settings tried for each arm that changes weights.")] = 3,
    tasks: Annotated[str, typer.Option(help="Tasks of lm-evaluation-harness, asked through the gateway.")] = "",
    limit: Annotated[int | None, typer.Option(help="Rows of each of those tasks; 100 if not given.")] = None,
    task_files: Annotated[Path | None, typer.Option(help="Folder of task files of your own.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
) -> None:
    """Guardrail unlearning against weight-based unlearning: the same prompts, decoding and metrics for every arm."""
    from benchmarks.compare.arms import load_arms
    from benchmarks.compare.suites import load_suite
    from gateway.models.chat_template import read_chat_template

    if samples < 0:
        raise SetupError(f"--samples must not be negative, got {samples}")
    if trials < 1:
        raise SetupError(f"--trials must be at least 1, got {trials}")
    if not tasks and suite != "lm-eval" and (limit is not None or task_files):
        raise SetupError("--limit and --task-files are of lm-evaluation-harness's tasks; name them with --tasks")
    chosen = load_arms(arms)  # what is wrong with the options is told before torch is loaded
    template = read_chat_template(chat_template) if chat_template else None
    questions = load_suite(suite, data, seed)

    from benchmarks.compare.harness import checked
    from benchmarks.compare.run import ComparisonConfig
    from benchmarks.compare.run import compare as run

    without_loading_bars()
    model = str(Path(model)) if Path(model).is_dir() else model  # DIR/ is DIR
    config = ComparisonConfig(
        questions, model, chosen, samples=samples, trials=trials, seed=seed, chat_template=template
    )
    if tasks := tasks or (_TASKS if suite == "lm-eval" else ""):
        config = replace(config, tasks=checked(tasks, _LIMIT if limit is None else limit, task_files))
    try:
        with show_progress(_console, "reading") as progress:
            results = run(config, out, progress=progress)
    except KeyboardInterrupt:
        print(f"interrupted; the same command goes on. Finished arms, taught models and packs are kept in {out}.")
        raise typer.Exit(INTERRUPTED) from None
    failed = {name: arm["error"] for name, arm in results["arms"].items() if arm["status"] == "failed"}
    print(out / "report.html")
    if failed:
        reasons = "; ".join(f"{name}: {error}" for name, error in failed.items())
        raise SetupError(f"{len(failed)} of {len(results['arms'])} arms failed ({reasons}); the others are reported")


def attack(
    scope: Annotated[
        list[Path], typer.Option(help="Scope file: the names, and the forget rows with their true answers. Repeatable.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of results and answers; a rerun into it asks only what is missing.")
    ],
    packs: Annotated[Path, typer.Option(help="Folder of packs.")] = Path(".unrecall/packs"),
    model: Annotated[str, typer.Option(help="Packaged name (smollm2), local folder, or hub id.")] = "smollm2",
    chat_template: ChatTemplate = None,
    questions: Annotated[
        list[Path] | None,
        typer.Option(
            help="JSON lines of prompt, response and perhaps slice: asked in the place of the forget rows. One for "
            "each --scope, in their order."
        ),
    ] = None,
    families: Annotated[str, typer.Option(help="Comma-separated attack families, or all.")] = "all",
    retrained: Annotated[
        str | None,
        typer.Option(help="A model that never saw what must be forgotten, or the URL of a vLLM that serves it."),
    ] = None,
    upstream: Annotated[str | None, typer.Option(help="URL of a vLLM that serves the model.")] = None,
    url: Annotated[str | None, typer.Option(help="URL of a running gateway, asked in place of one of our own.")] = None,
    admin_key: Annotated[
        str | None,
        typer.Option(envvar="UNRECALL_ADMIN_KEY", help="Of the gateway at --url, so that it tells its plans."),
    ] = None,
    benign: Annotated[Path | None, typer.Option(help="Your own harmless questions, for the false alarms.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="Questions a slice that the gate reads in every dress.")] = 16,
    answers: Annotated[
        int, typer.Option(min=0, help="Of them, how many are answered; 0: the gate alone, no answer at all.")
    ] = 4,
    samples: Annotated[int, typer.Option(min=0, help="Sampled answers a question, for leak@k.")] = 16,
    budget: Annotated[int, typer.Option(min=0, help="Tries a question of the evolutionary attacker: 1 to 1000.")] = 10,
    adaptive: Annotated[int, typer.Option(min=1, help="Questions for the attackers that adapt.")] = 12,
    suffix_words: Annotated[int, typer.Option(min=0, help="Words tried in a universal suffix; 0: no suffix.")] = 400,
    max_tokens: Annotated[int, typer.Option(min=1, help="The longest answer.")] = 32,
    quick: Annotated[bool, typer.Option("--quick", help="About five minutes on two cores: a slice for CI.")] = False,
    encoder: Annotated[str, typer.Option(help="The sentence encoder that the packs were trained with.")] = "minilm",
    encoder_runtime: Annotated[EncoderRuntime, typer.Option(help="openvino or torch, likewise.")] = "openvino",
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
) -> None:
    """Attack a gateway with every family, beside the plain and the retrained model: what is missed, what leaks."""
    from benchmarks.attacks.registry import families_of
    from gateway.models.chat_template import read_chat_template

    chosen = families_of(families)  # a wrong one is told before torch is loaded
    template = read_chat_template(chat_template) if chat_template else None

    from benchmarks.attacking.run import AttackConfig
    from benchmarks.attacking.run import attack as run

    without_loading_bars()
    config = AttackConfig(
        packs=packs,
        model=model,
        scopes=tuple(scope),
        questions=tuple(questions or ()),
        families=chosen,
        rows=rows,
        answers=answers,
        adaptive=adaptive,
        samples=samples,
        budget=budget,
        suffix_words=suffix_words,
        max_tokens=max_tokens,
        seed=seed,
        retrained=retrained,
        upstream=upstream,
        url=url,
        admin_key=admin_key,
        benign=benign,
        encoder=encoder,
        encoder_runtime=encoder_runtime,
        chat_template=template,
    )
    if quick:
        few = {"rows": 4, "answers": 1, "adaptive": 4, "samples": 0, "budget": 3, "suffix_words": 60, "max_tokens": 16}
        config = replace(config, **{name: min(most, getattr(config, name)) for name, most in few.items()})
    try:
        with show_progress(_console, "reading") as progress:
            run(config, out, progress=progress)
    except KeyboardInterrupt:
        print(f"interrupted; the same command goes on. Answers are kept in {out}.")
        raise typer.Exit(INTERRUPTED) from None
    print(out / "report.html")
