"""`unrecall scope new`: the first form of a scope file and its rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.progress import show_progress, without_loading_bars
from gateway.cli.terminal import ChatTemplate, Model, errors, tell
from gateway.errors import SetupError

if TYPE_CHECKING:
    from gateway.training.draft import Draft
    from gateway.training.interview import Ask

__all__ = ["scope"]

scope = typer.Typer(no_args_is_help=True, help="Scope files: draft one for a person to go over.")


@scope.callback()
def _scope() -> None:
    """Keeps `new` a command of its own."""


@scope.command("new")
def new(
    subject: Annotated[str, typer.Option(help="What must be forgotten, in a few words.")],
    out: Annotated[Path, typer.Option(help="A new folder for scope.yaml and its rows.")],
    model: Model = "smollm2",
    chat_template: ChatTemplate = None,
    upstream: Annotated[
        str | None, typer.Option(help="Ask the model behind this server, http://host:port, and load none.")
    ] = None,
    upstream_model: Annotated[str | None, typer.Option(help="Its model's name; the first one by default.")] = None,
    upstream_key: Annotated[
        str | None, typer.Option(envvar="UNRECALL_UPSTREAM_KEY", help="Its API key, if it wants one.")
    ] = None,
    from_qa: Annotated[
        Path | None,
        typer.Option(help="Take the rows from a file of questions and answers (JSON, JSON lines, CSV, TSV)."),
    ] = None,
    from_documents: Annotated[
        Path | None, typer.Option(help="Take the rows from text files: a folder, or one file.")
    ] = None,
    language: Annotated[
        list[str] | None, typer.Option(help="Also ask for questions in this language, such as French; again for more.")
    ] = None,
    questions: Annotated[int, typer.Option(min=10, help="How many questions to ask the model for.")] = 60,
    seed: Annotated[int, typer.Option(help="Seed of the model's draws.")] = 0,
) -> None:
    """Draft a scope: from a subject's name, by asking the model itself, or from documents or questions and answers."""
    from gateway.training.draft import check_new, write_draft

    check_new(out)  # before the libraries of models are loaded

    from gateway.training.conversion import draft_of_documents, draft_of_questions
    from gateway.training.interview import interview

    if not subject.strip():
        raise SetupError("--subject is empty; say in a few words what must be forgotten")
    if from_qa and from_documents:
        raise SetupError("--from-qa and --from-documents exclude each other; make two scopes")
    if from_qa or from_documents:
        draft = draft_of_questions(from_qa, subject) if from_qa else draft_of_documents(from_documents, subject)  # type: ignore[arg-type]
    else:
        with show_progress(errors, "loading the model") as report:
            ask = _asker(model, chat_template, upstream, upstream_model, upstream_key)
            draft = interview(ask, subject, languages=language or (), count=questions, seed=seed, progress=report)
    files = write_draft(draft, out)
    _say(draft, files)


def _asker(
    model: str, chat_template: Path | None, upstream: str | None, upstream_model: str | None, key: str | None
) -> "Ask":
    from gateway.training.interview import local_asker, remote_asker

    if upstream:
        return remote_asker(upstream, upstream_model, key)
    from gateway.models.chat_template import read_chat_template
    from gateway.models.folders import resolve
    from gateway.models.language_model import load_language_model, load_tokenizer

    without_loading_bars()
    template = read_chat_template(chat_template) if chat_template else None
    folder = resolve(model)
    tokenizer = load_tokenizer(folder, chat_template=template, chats=True)
    return local_asker(load_language_model(folder, tokenizer=tokenizer))


def _say(draft: "Draft", files: list[Path]) -> None:
    from gateway.training.scope_file import MIN_FORGET_ROWS

    tell(f"{len(draft.forget)} rows to forget, {len(draft.retain)} near ones, {len(draft.aliases)} names:")
    for file in files:
        tell(f"  {file}")
    for reason, count in draft.left_out.items():
        if count:
            tell(f"left out {count}: {reason}")
    if draft.maybe_names:
        tell(f"{len(draft.maybe_names)} names stand in the rows as comments of scope.yaml: keep those of the scope")
    lacking = MIN_FORGET_ROWS - len(draft.forget)
    if lacking > 0:
        raise SetupError(
            f"a scope needs {MIN_FORGET_ROWS} rows to forget: write {lacking} more into {files[1]} (docs/files.md), or "
            "ask a larger model, or give documents or questions and answers"
        )
    tell(f"Go over the files, then: unrecall train {files[0]}")
