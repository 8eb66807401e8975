"""`unrecall demo`: forgets one scope, shows answers before and after, then serves."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from gateway.cli.progress import Report, show_progress
from gateway.cli.terminal import Packs, console
from gateway.errors import SetupError
from gateway.files.rows import columns_of, read_rows

if TYPE_CHECKING:
    import httpx
    from fastapi import FastAPI

    from gateway.backends.base import Backend

__all__ = ["demo"]

_MODEL, _ENCODER = "smollm2", "minilm"
_ANSWER_TOKENS = 32


def demo(
    once: Annotated[bool, typer.Option("--once", help="Print the table and end; serve nothing.")] = False,
    scope: Annotated[Path, typer.Option(help="The scope file to learn from.")] = Path(
        "examples/harry-potter/scope.yaml"
    ),
    packs: Packs = Path(".unrecall/packs"),
    port: Annotated[int, typer.Option(help="Port to serve on.")] = 8000,
) -> None:
    """Forget one scope on the embedded model, show before and after, then serve."""
    with show_progress(console, "starting") as report:
        report("loading libraries", 0, 1)
        from gateway.models.languages import PACKAGED
        from gateway.server.process import check_port
        from gateway.training.run import train_scope

        if not once:
            check_port("127.0.0.1", port)
        train_scope(
            scope_file=scope,
            model=_MODEL,
            encoder=_ENCODER,
            language_encoder=PACKAGED,
            out=packs,
            progress=report,
        )
        report("loading the model to serve", 0, 1)
        app, backend = _app(packs, port)
        rows = asyncio.run(_ask_all(app, backend, _questions(scope), report))
    _print_table(rows)
    if not once:
        _serve(app, port)


def _app(packs: Path, port: int) -> "tuple[FastAPI, Backend]":
    from gateway.server.app import create_app
    from gateway.server.assembly import build_parts
    from gateway.server.process import log_to
    from gateway.settings import load_settings

    settings = load_settings(None, {"model": _MODEL, "encoder": _ENCODER, "packs": packs, "port": port})
    log_to(packs.parent / "demo-audit.jsonl")
    backend, packs_in_force, arms = build_parts(settings)
    return create_app(settings, backend, packs_in_force, arms), backend


async def _ask_all(
    app: "FastAPI", backend: "Backend", questions: list[dict[str, str]], report: Report
) -> list[tuple[str, str, str, str]]:
    """(side, question, the plain model's answer, the gateway's answer over HTTP) of each question."""
    import httpx

    rows = []
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=120) as client,
    ):
        for number, question in enumerate(questions):
            report("asking the plain model and the gateway", number, len(questions))
            prompt = question["prompt"]
            rows.append((question["side"], prompt, await _plain(backend, prompt), await _guarded(client, prompt)))
    return rows


async def _plain(backend: "Backend", prompt: str) -> str:
    from gateway.core import Message, Pass, Request, Sampling

    sampling = Sampling(max_tokens=_ANSWER_TOKENS, temperature=0.0)
    request = Request("demo", "chat", _MODEL, (Message("user", prompt),), sampling)
    async with aclosing(backend.generate(request, Pass())) as events:
        return "".join([delta.text async for event in events for delta in event.deltas])


async def _guarded(client: "httpx.AsyncClient", prompt: str) -> str:
    body = {
        "model": _MODEL,
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


def _serve(app: "FastAPI", port: int) -> None:
    import uvicorn

    url = f"http://127.0.0.1:{port}"
    console.print(
        f"""
Serving on {url}; press Ctrl-C to stop. What was flagged, and why: .unrecall/demo-audit.jsonl. Try:

  curl {url}/v1/chat/completions -H 'content-type: application/json' -d '{{"model": "{_MODEL}",
    "messages": [{{"role": "user", "content": "Who wrote the Harry Potter books?"}}], "temperature": 0}}'

  # pip install openai
  python -c "from openai import OpenAI; print(OpenAI(base_url='{url}/v1', api_key='-').chat.completions.create(
    model='{_MODEL}', temperature=0, messages=[{{'role': 'user', 'content': 'Who wrote The Hobbit?'}}]
    ).choices[0].message.content)"
""",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


def _questions(scope_file: Path) -> list[dict[str, str]]:
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
