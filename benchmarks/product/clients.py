"""What people's clients get through the gateway: each asks by its own package, flagged and not.

The packages stand in an environment of their own, whose Python runs the questions, those for JavaScript in a
node_modules; this script needs none of them.

    python -m venv /tmp/clients && /tmp/clients/bin/pip install openai anthropic openai-agents ...
    npm install --prefix /tmp/node openai ai @ai-sdk/openai @ai-sdk/openai-compatible @ai-sdk/anthropic \
        @anthropic-ai/sdk
    python -m benchmarks.product.clients --python /tmp/clients/bin/python --node /tmp/node/node_modules
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.printing import show
from benchmarks.record import write

_ASKING = Path(__file__).parent / "asking_clients.py"
_ASKING_IN_NODE = _ASKING.with_suffix(".mjs")
_TIMEOUT_S = 240
IN_PYTHON = (
    "openai",
    "openai-responses",
    "anthropic",
    "openai-agents",
    "langchain-openai",
    "langchain-anthropic",
    "llama-index",
    "pydantic-ai",
    "instructor",
    "litellm",
    "llm",
)
IN_NODE = (
    "openai-node",
    "openai-node-responses",
    "anthropic-node",
    "ai-sdk-openai",
    "ai-sdk-openai-compatible",
    "ai-sdk-anthropic",
)


@dataclass(frozen=True, slots=True)
class Packages:
    """Where the clients are: a Python beside which they are installed, and a folder of node's, if there is one."""

    python: str
    node: Path | None = None

    def names(self) -> tuple[str, ...]:
        """The clients that can be asked here."""
        return (*IN_PYTHON, *(IN_NODE if self.node else ()))

    def command(self, name: str) -> list[str]:
        """Runs this client's questions."""
        return ["node", str(_ASKING_IN_NODE)] if name in IN_NODE else [self.python, str(_ASKING)]


def measured(packages: Packages, url: str, model: str, questions: Mapping[str, str]) -> dict[str, Any]:
    """By client: its version, and for each use and each question 'ok' or what went wrong."""
    return {name: asked(packages, name, url, model, questions) for name in packages.names()}


def asked(
    packages: Packages, name: str, url: str, model: str, questions: Mapping[str, str], *, limit: int = 64
) -> dict[str, Any]:
    """What came of one client's questions. An answer has at most `limit` tokens."""
    modules = str(packages.node.resolve()) if packages.node else None
    task = json.dumps(
        {"client": name, "url": url, "model": model, "questions": dict(questions), "limit": limit, "modules": modules}
    )
    try:
        done = subprocess.run(
            packages.command(name), input=task, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"version": None, "fault": f"took longer than {_TIMEOUT_S} s"}
    except (IndexError, ValueError):
        return {"version": None, "fault": (done.stderr.strip().splitlines() or ["it said nothing"])[-1][:200]}
    return found


def table(record: Mapping[str, Any]) -> str:
    """A row a client, in Markdown. A use that failed with one question alone names the question."""
    uses = list(dict.fromkeys(use for one in record["clients"].values() for use in one.get("uses", {})))
    lines = [f"| client | version | {' | '.join(uses)} |", "|" + " --- |" * (len(uses) + 2)]
    for name, one in record["clients"].items():
        cells = [_cell(one.get("uses", {}).get(use)) for use in uses]
        lines.append(f"| {name} | {one['version'] or one.get('fault', '')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(outcomes: Mapping[str, str] | None) -> str:
    if outcomes is None:
        return ""
    failed = [question for question, outcome in outcomes.items() if outcome != "ok"]
    if not failed:
        return "yes"
    return "no" if len(failed) == len(outcomes) else f"no, {failed[0]}"


def main() -> None:
    """Asks with every client and writes what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="of the environment that holds the clients")
    parser.add_argument("--node", type=Path, help="node_modules with the clients for JavaScript, if any")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of a gateway over vLLM with the demo's pack")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--unflagged", default="What is the capital of France?")
    parser.add_argument("--flagged", default="Who wrote the Harry Potter books?")
    options = parser.parse_args()
    questions = {"unflagged": options.unflagged, "flagged": options.flagged}
    packages = Packages(options.python, options.node)
    found = measured(packages, options.url.rstrip("/"), options.model, questions)
    record = {"questions": questions, "clients": found}
    write("clients", 0, record)
    show(table(record))


if __name__ == "__main__":
    main()
