"""Out-of-scope prompts: the ones the project ships, or an operator's own log."""

import json
from importlib import resources
from pathlib import Path

__all__ = ["TrafficError", "general_traffic", "read_prompts"]


class TrafficError(ValueError):
    """A traffic file that cannot be read; the message names the file and the line."""


def general_traffic() -> list[str]:
    """The shipped prompts (3,449, written for this project), in a fixed order that mixes their subjects."""
    folder = resources.files("classifiers") / "data"
    lines = [
        line.strip()
        for name in ("general-1.txt", "general-2.txt")
        for line in (folder / name).read_text(encoding="utf-8").splitlines()
    ]
    return [line for line in lines if line]


def read_prompts(path: Path) -> list[str]:
    """Prompts of a text file (one a line) or of a JSON-lines file of {"prompt": str} or {"messages": [...]}.

    Raises TrafficError, naming the line, for anything else.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # JSON strings may hold other line ends
    except (OSError, UnicodeDecodeError) as error:
        raise TrafficError(f"cannot read {path}: {error}") from error
    if path.suffix != ".jsonl":
        return [line.strip() for line in lines if line.strip()]
    return [_prompt(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _prompt(path: Path, number: int, line: str) -> str:
    try:
        row = json.loads(line)
        if "messages" in row:
            return "\n".join(str(message["content"]) for message in row["messages"])
        return str(row["prompt"])
    except (ValueError, KeyError, TypeError) as error:
        raise TrafficError(
            f'{path} line {number}: expected {{"prompt": "..."}} or {{"messages": [{{"role", "content"}}]}}'
        ) from error
