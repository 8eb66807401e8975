"""What people's clients get through the gateway: each asks by its own package, flagged and not.

The packages stand in an environment of their own, whose Python runs the questions; this script needs none of them.

    python -m venv /tmp/clients && /tmp/clients/bin/pip install openai anthropic openai-agents ...
    python -m benchmarks.product.clients --python /tmp/clients/bin/python --url http://127.0.0.1:8000 --model smollm2
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.printing import show
from benchmarks.record import write

_ASKING = Path(__file__).parent / "asking_clients.py"
_TIMEOUT_S = 240
_NAMES = (
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


def measured(python: str, url: str, model: str, questions: Mapping[str, str]) -> dict[str, Any]:
    """By client: its version, and for each use and each question 'ok' or what went wrong."""
    return {name: _asked(python, name, url, model, questions) for name in _NAMES}


def _asked(python: str, name: str, url: str, model: str, questions: Mapping[str, str]) -> dict[str, Any]:
    task = json.dumps({"client": name, "url": url, "model": model, "questions": dict(questions)})
    try:
        done = subprocess.run(
            [python, str(_ASKING)], input=task, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
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
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of a gateway over vLLM with the demo's pack")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--unflagged", default="What is the capital of France?")
    parser.add_argument("--flagged", default="Who wrote the Harry Potter books?")
    options = parser.parse_args()
    questions = {"unflagged": options.unflagged, "flagged": options.flagged}
    found = measured(options.python, options.url.rstrip("/"), options.model, questions)
    record = {"questions": questions, "clients": found}
    write("clients", 0, record)
    show(table(record))


if __name__ == "__main__":
    main()
