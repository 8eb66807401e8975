"""What whole programs get through the gateway: coding agents, an evaluation harness, a suite of format tests, a web UI.

Each runs as its users run it, with a folder of its own as its home and no network beyond the gateway.

    npm install --prefix /tmp/node @openai/codex @anthropic-ai/claude-code
    python -m venv /tmp/comply && /tmp/comply/bin/pip install llm-comply
    python -m benchmarks.product.programs --node /tmp/node/node_modules --comply /tmp/comply/bin/llm-comply \\
        --direct http://127.0.0.1:8001

`--direct` is the vLLM server behind the gateway, whose own results the suite's are compared with.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx

from benchmarks.printing import show
from benchmarks.record import write
from gateway.models.folders import resolve

_TIMEOUT_S = 400
_KEY = "sk-any"
_FORMATS = ("openai-chat", "open-responses", "anthropic")
_TASK = """task: {kind}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows}}}}}
test_split: test
output_type: {kind}
doc_to_text: "{{{{question}}}}"
doc_to_target: "{target}"
"""
_GENERATION = 'generation_kwargs: {until: ["\\n"], max_gen_toks: 32}\n'
Asked = Callable[[str], str]
"""Asks one question and returns 'ok', or what went wrong."""


@dataclass(frozen=True, slots=True)
class Served:
    """Where the gateway is, and how its model is called."""

    url: str
    model: str


def codex(served: Served, program: Path) -> Asked:
    """OpenAI's Codex, which runs no command here. Its own instructions alone would fill this model's context."""
    provider = {"name": "g", "base_url": f"{served.url}/v1", "wire_api": "responses", "env_key": "KEY"}
    settings = {f"model_providers.g.{name}": value for name, value in provider.items()} | {
        "model_provider": "g",
        "web_search": "disabled",  # nobody here searches
    }
    command = [str(program), "exec", "--skip-git-repo-check", "-s", "read-only", "-m", served.model]
    command += [word for name, value in settings.items() for word in ("-c", f"{name}={json.dumps(value)}")]

    def ask(question: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            instructions = Path(folder) / "instructions.md"
            instructions.write_text("Be brief.", encoding="utf-8")
            brief = ["-c", f"model_instructions_file={json.dumps(str(instructions))}"]
            return _run([*command, *brief, question], {"KEY": _KEY}, lambda out: out.strip(), Path(folder))

    return ask


def claude_code(served: Served, program: Path) -> Asked:
    """Anthropic's Claude Code, by its `--print`."""
    variables = {
        "ANTHROPIC_BASE_URL": served.url,
        "ANTHROPIC_API_KEY": _KEY,
        "ANTHROPIC_SMALL_FAST_MODEL": served.model,
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "64",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    command = [str(program), "--model", served.model, "--output-format", "json", "-p"]

    def said(out: str) -> str:
        answer = json.loads(out)
        # An answer that ends at the limit of tokens is one: this model does not always come to an end.
        if answer["is_error"] and "output token maximum" not in answer["result"]:
            raise ValueError(answer["result"])
        return str(answer["result"])

    return lambda question: _run([*command, question], variables, said)


def lm_eval(served: Served, model: str, kind: str) -> Asked:
    """lm-evaluation-harness: a task of one row by `model` (local-chat-completions or local-completions)."""
    path = "chat/completions" if "chat" in model else "completions"
    reads = f"huggingface,tokenizer={resolve(served.model)}" if kind == "loglikelihood" else "None"
    asked = f"base_url={served.url}/v1/{path},model={served.model},num_concurrent=1,tokenizer_backend={reads}"
    command = [sys.executable, "-m", "lm_eval", "run", "--model", model, "--model_args", asked, "--tasks", kind]
    command += ["--include_path", ".", "--output_path", "out", *(("--apply_chat_template",) if "chat" in model else ())]

    def ask(question: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            rows = Path(folder) / "rows.jsonl"
            rows.write_text(json.dumps({"question": question, "answer": "Paris"}) + "\n", encoding="utf-8")
            metric = "exact_match" if kind == "generate_until" else "acc"
            task = _TASK.format(kind=kind, rows=rows, target=" {{answer}}")
            task += f"metric_list: [{{metric: {metric}}}]\n" + (_GENERATION if kind == "generate_until" else "")
            (Path(folder) / "task.yaml").write_text(task, encoding="utf-8")
            return _run(command, {"OPENAI_API_KEY": _KEY, "HF_HUB_OFFLINE": "1"}, lambda out: out, Path(folder))

    return ask


def open_webui(served: Served) -> Mapping[str, Asked]:
    """The requests that Open WebUI makes of a connection: its list of models, a chat, a title of the chat."""
    headers = {"authorization": f"Bearer {_KEY}", "x-openwebui-user-name": "A", "x-openwebui-user-id": "1"}
    client = httpx.Client(base_url=f"{served.url}/v1", headers=headers, timeout=_TIMEOUT_S)

    def models(_: str) -> str:
        listed = client.get("/models").raise_for_status().json()
        return "ok" if served.model in [one["id"] for one in listed["data"]] else "the model is not listed"

    def chat(question: str) -> str:
        turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": question}]
        body = {"model": served.model, "messages": turns, "stream": True, "stream_options": {"include_usage": True}}
        text, usage = "", None
        with client.stream("POST", "/chat/completions", json={**body, "max_tokens": 64}) as answer:
            answer.raise_for_status()
            for line in answer.iter_lines():
                if line.startswith("data: {"):
                    event = json.loads(line.removeprefix("data: "))
                    usage = event.get("usage") or usage
                    text += "".join(choice["delta"].get("content") or "" for choice in event["choices"])
        return "ok" if text and usage else "no text, or no usage"

    def title(question: str) -> str:
        turns = [{"role": "user", "content": f"Write a title for this chat as JSON.\n<chat>\n{question}\n</chat>"}]
        body = {"model": served.model, "messages": turns, "stream": False, "max_completion_tokens": 64}
        answer = client.post("/chat/completions", json=body).raise_for_status().json()
        return "ok" if answer["choices"][0]["message"]["content"] else "an empty answer"

    return {"models": _guarded(models), "chat": _guarded(chat), "title": _guarded(title)}


def comply(program: Path, url: str, model: str, form: str) -> Mapping[str, str]:
    """llm-comply's tests of one format: by test, its status, and of one that failed what it missed first."""
    command = [
        str(program),
        "run",
        "--format",
        form,
        "-u",
        f"{url}/v1",
        "-k",
        _KEY,
        "-m",
        model,
        "--json",
        "--timeout",
        "300",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    results = json.loads(done.stdout)["results"]
    return {one["id"]: ": ".join([one["status"], *one.get("errors", [])[:1]])[:200] for one in results}


def _guarded(ask: Asked) -> Asked:
    def asked(question: str) -> str:
        try:
            return ask(question)
        except Exception as error:
            return f"{type(error).__name__}: {error}"[:300]

    return asked


def _run(
    command: list[str], variables: Mapping[str, str], said: Callable[[str], str], folder: Path | None = None
) -> str:
    """Runs a program in an empty home and working folder."""
    with tempfile.TemporaryDirectory() as home:
        env = {"PATH": os.environ["PATH"], "HOME": home, **variables}
        try:
            done = subprocess.run(
                command, env=env, cwd=folder or home, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=_TIMEOUT_S, check=False,
            )  # fmt: skip
            if done.returncode and not done.stdout.startswith("{"):  # Claude Code tells its faults in JSON
                return _last_words(done.stderr)
            return "ok" if said(done.stdout) else _last_words(done.stderr)
        except (subprocess.TimeoutExpired, ValueError, KeyError) as error:
            return f"{type(error).__name__}: {error}"[:300]


def _last_words(log: str) -> str:
    """The last line that tells of an error, or else the last one."""
    lines = log.strip().splitlines() or ["it said nothing"]
    return next((line for line in reversed(lines) if "rror" in line), lines[-1])[:300]


def measured(served: Served, options: argparse.Namespace) -> dict[str, Any]:
    """By program: its version, and for each use and question 'ok' or what went wrong."""
    uses: dict[str, tuple[str | None, Mapping[str, Asked]]] = {"open-webui (its requests)": (None, open_webui(served))}
    chats, completions = "local-chat-completions", "local-completions"
    harness = {
        f"{chats}, generates": lm_eval(served, chats, "generate_until"),
        f"{completions}, generates": lm_eval(served, completions, "generate_until"),
        f"{completions}, scores": lm_eval(served, completions, "loglikelihood"),
    }
    uses["lm-eval"] = (metadata.version("lm-eval"), harness)
    if options.node:
        binaries = options.node.resolve() / ".bin"
        uses["Codex"] = (_version(options.node / "@openai/codex"), {"exec": codex(served, binaries / "codex")})
        claude = claude_code(served, binaries / "claude")
        uses["Claude Code"] = (_version(options.node / "@anthropic-ai/claude-code"), {"print": claude})
    questions = {"unflagged": options.unflagged, "flagged": options.flagged}
    with ThreadPoolExecutor() as threads:
        asked = {name: threads.submit(_asked, by_use, questions) for name, (_, by_use) in uses.items()}
        return {name: {"version": uses[name][0], "uses": one.result()} for name, one in asked.items()}


def _asked(uses: Mapping[str, Asked], questions: Mapping[str, str]) -> dict[str, dict[str, str]]:
    return {use: {kind: ask(text) for kind, text in questions.items()} for use, ask in uses.items()}


def _version(package: Path) -> str:
    return str(json.loads((package / "package.json").read_text(encoding="utf-8"))["version"])


def table(record: Mapping[str, Any]) -> str:
    """A row a program's use, in Markdown."""
    lines = ["| program | version | use | unflagged | flagged |", "|" + " --- |" * 5]
    for name, one in record["programs"].items():
        for use, outcomes in one["uses"].items():
            cells = ["yes" if outcomes[kind] == "ok" else "no" for kind in ("unflagged", "flagged")]
            lines.append(f"| {name} | {one['version'] or ''} | {use} | {' | '.join(cells)} |")
    return "\n".join(lines)


def suite_table(record: Mapping[str, Any]) -> str:
    """llm-comply's tests: how many passed of those that it did not skip, and which did not, in Markdown."""
    lines = ["| format | through the gateway | vLLM alone | not passed through the gateway |", "|" + " --- |" * 4]
    for form, places in record["llm-comply"].items():
        cells = [_passed(places[place]) if place in places else "" for place in ("gateway", "direct")]
        failed = ", ".join(test for test, status in places["gateway"].items() if status.startswith("failed"))
        lines.append(f"| {form} | {' | '.join(cells)} | {failed} |")
    return "\n".join(lines)


def _passed(tests: Mapping[str, str]) -> str:
    run = [status for status in tests.values() if not status.startswith("skipped")]
    return f"{sum(not status.startswith('failed') for status in run)} of {len(run)}"


def main() -> None:
    """Runs every program that is there and writes what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of a gateway over vLLM with the demo's pack")
    parser.add_argument("--direct", help="of the vLLM server behind it")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--node", type=Path, help="node_modules with the coding agents")
    parser.add_argument("--comply", type=Path, help="llm-comply's command")
    parser.add_argument("--unflagged", default="What is the capital of France?")
    parser.add_argument("--flagged", default="Who wrote the Harry Potter books?")
    options = parser.parse_args()
    served = Served(options.url.rstrip("/"), options.model)
    places = {"gateway": served.url, **({"direct": options.direct} if options.direct else {})}
    with ThreadPoolExecutor() as threads:
        programs = threads.submit(measured, served, options)
        suite = {
            form: {place: comply(options.comply, url, options.model, form) for place, url in places.items()}
            for form in (_FORMATS if options.comply else ())
        }
        record = {"programs": programs.result(), "llm-comply": suite}
    write("programs", 0, record)
    show(f"{table(record)}\n\n{suite_table(record)}")


if __name__ == "__main__":
    main()
