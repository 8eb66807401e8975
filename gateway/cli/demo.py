"""`unrecall demo`: forgets one scope, shows answers before and after, then serves."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from gateway.cli.progress import Report, show_progress, without_loading_bars
from gateway.cli.terminal import ChatTemplate, Model, Packs, console, tell
from gateway.errors import SetupError
from gateway.examples import HARRY_POTTER
from gateway.files.rows import columns_of, read_rows

if TYPE_CHECKING:
    import httpx
    from fastapi import FastAPI

    from gateway.backends.base import Backend

__all__ = ["demo", "questions_beside"]

_ENCODER = "minilm"
_ANSWER_TOKENS = 32


def demo(
    model: Model = "smollm2",
    chat_template: ChatTemplate = None,
    once: Annotated[bool, typer.Option("--once", help="Print the table and end; serve nothing.")] = False,
    scope: Annotated[
        Path, typer.Option(help="The scope file to learn from.", show_default="Harry Potter, which comes with Unrecall")
    ] = HARRY_POTTER,
    packs: Packs = Path(".unrecall/packs"),
    port: Annotated[int, typer.Option(help="Port to serve on.")] = 8000,
    evaluations: Annotated[
        int | None, typer.Option(help="As in train: fewer trials take less time and may forget less well.")
    ] = None,
) -> None:
    """Forget one scope on the embedded model, show before and after, then serve."""
    with show_progress(console, "starting") as report:
        report("loading libraries", 0, 1)
        from gateway.models.chat_template import read_chat_template
        from gateway.models.languages import PACKAGED
        from gateway.server.process import check_port
        from gateway.training.config import training_of
        from gateway.training.run import train_scope

        without_loading_bars()
        template = read_chat_template(chat_template) if chat_template else None
        if not once:
            check_port("127.0.0.1", port)
        questions = questions_beside(scope)
        train_scope(
            scope_file=scope,
            model=model,
            encoder=_ENCODER,
            language_encoder=PACKAGED,
            out=packs,
            training=training_of("corruption", evaluations=evaluations, chat_template=template),
            progress=report,
        )
        report("loading the model to serve", 0, 1)
        settings = {"model": model, "chat_template": chat_template, "encoder": _ENCODER, "packs": packs, "port": port}
        app, backend = _app(settings)
        rows = asyncio.run(_ask_all(app, backend, questions, report))
    _print_table(rows)
    tell(f"What it learned from stands in {scope.parent}: a copy can be the beginning of a scope of your own.")
    if not once:
        _serve(app, backend.served.models[0].id, port)


def _app(overrides: dict[str, Any]) -> "tuple[FastAPI, Backend]":
    from gateway.server.app import create_app
    from gateway.server.assembly import build_parts
    from gateway.server.process import log_to
    from gateway.settings import load_settings

    settings = load_settings(None, overrides)
    log_to(settings.packs.parent / "demo-audit.jsonl")
    backend, packs_in_force, arms = build_parts(settings)
    return create_app(settings, backend, packs_in_force, arms), backend


async def _ask_all(
    app: "FastAPI", backend: "Backend", questions: list[dict[str, str]], report: Report
) -> list[tuple[str, str, str, str]]:
    """(side, question, the plain model's answer, the gateway's answer over HTTP) of each question."""
    import httpx

    rows, name = [], backend.served.models[0].id
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=120) as client,
    ):
        for number, question in enumerate(questions):
            report("asking the plain model and the gateway", number, len(questions))
            prompt = question["prompt"]
            rows.append((question["side"], prompt, await _plain(backend, prompt), await _guarded(client, name, prompt)))
    return rows


async def _plain(backend: "Backend", prompt: str) -> str:
    from gateway.core import Message, Pass, Request, Sampling

    sampling = Sampling(max_tokens=_ANSWER_TOKENS, temperature=0.0)
    request = Request("demo", "chat", backend.served.models[0].id, (Message("user", prompt),), sampling)
    async with aclosing(backend.generate(request, Pass())) as events:
        return "".join([delta.text async for event in events for delta in event.deltas])


async def _guarded(client: "httpx.AsyncClient", name: str, prompt: str) -> str:
    body = {
        "model": name,
        "messages": [{"role": "user", "content": prompt}],
        "temperature": 0,
        "max_tokens": _ANSWER_TOKENS,
    }
    answer = await client.post("/v1/chat/completions", json=body)
    return str(answer.raise_for_status().json()["choices"][0]["message"]["content"])


def _print_table(rows: list[tuple[str, str, str, str]]) -> None:
    table = Table("", "question", "plain model", "behind the gateway", show_lines=True)
    for side, prompt, plain, guarded in rows:
        same = "[green](the same, byte for byte)[/green]"
        table.add_row(side, prompt, plain.strip(), same if plain == guarded else guarded.strip())
    console.print(table)


def _serve(app: "FastAPI", name: str, port: int) -> None:
    import uvicorn

    url = f"http://127.0.0.1:{port}"
    console.print(
        f"""
Serving on {url}; press Ctrl-C to stop. What was flagged, and why: .unrecall/demo-audit.jsonl. Try:

  curl {url}/v1/chat/completions -H 'content-type: application/json' -d '{{"model": "{name}",
    "messages": [{{"role": "user", "content": "Who wrote the Harry Potter books?"}}], "temperature": 0}}'

  # pip install openai
  python -c "from openai import OpenAI; print(OpenAI(base_url='{url}/v1', api_key='-').chat.completions.create(
    model='{name}', temperature=0, messages=[{{'role': 'user', 'content': 'Who wrote The Hobbit?'}}]
    ).choices[0].message.content)"
""",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


def questions_beside(scope_file: Path) -> list[dict[str, str]]:
    """The demo's questions, each with its `side` and `prompt`, from the file beside the scope. Raises SetupError."""
    path = scope_file.parent / "questions.jsonl"
    for row in (rows := read_rows(path)):
        if row.fault:
            raise SetupError(f"the demo needs questions beside the scope: {row.problem(path)}")
        if not isinstance(row.value, dict) or not {"side", "prompt"} <= row.value.keys():
            raise SetupError(
                f"the demo needs questions beside the scope: {path} line {row.line} has {columns_of(row.value)} and "
                f"needs side and prompt"
            )
    return [{name: str(row.value[name]) for name in ("side", "prompt")} for row in rows]
