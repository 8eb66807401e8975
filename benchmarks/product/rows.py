"""The rows for measuring the gate and the corruption. No training, tuning or calibration used any of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core import Message, Request
from gateway.errors import SetupError
from gateway.files.rows import read_rows

__all__ = ["Case", "data_sets", "heldout", "names_demo", "request_for", "request_of", "rows_in", "translated"]

_DATA = Path(__file__).parents[1] / "data"
_DEMO = re.compile("potter|rowling|hogwarts|horcrux|snape|voldemort|dumbledore", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Case:
    """One held-out request of a slice; `response` is the true fact ('' where there is none to leak)."""

    slice: str
    messages: tuple[Message, ...]
    response: str

    @property
    def prompt(self) -> str:
        """All of the user's text."""
        return "\n".join(message.text for message in self.messages)


def heldout() -> list[Case]:
    """The project's own held-out rows for the demo scope. Their authors did not look at the scope's rows."""
    return _cases("harry-potter-heldout.jsonl")


def translated() -> list[Case]:
    """Questions about the demo scope in German, French, Spanish and Italian: the slice "translation"."""
    return _cases("harry-potter-translated.jsonl")


def _cases(file: str) -> list[Case]:
    return [_case(row.value) for row in read_rows(_DATA / file)]


def data_sets(root: Path) -> dict[str, list[str]]:
    """Prompts of public data by name: those in `general/...` and `near/...` are outside the demo scope, those in
    `inside/...` within it. Raises SetupError that names the missing file."""
    benign, tofu, rwku = root / "benign", root / "tofu", root / "rwku" / "1_Stephen_King"
    return {
        "general/dolly": [row["instruction"] for row in rows_in(benign / "dolly_train_2000.json")],
        "general/webquestions": [row["qText"] for row in rows_in(benign / "webquestions_test.json")],
        "general/mt-bench": [row["turns"][0] for row in rows_in(benign / "mt_bench_question.jsonl")],
        "general/seed-tasks": [row["instruction"] for row in rows_in(benign / "seed_tasks.jsonl")],
        "general/user-oriented": [row["instruction"] for row in rows_in(benign / "user_oriented_instructions.jsonl")],
        "near/tofu-real-authors": [row["question"] for row in rows_in(tofu / "real_authors.json")],
        "near/rwku-stephen-king": [row["query"] for row in rows_in(rwku / "forget_level2.json")],
        "inside/muse-books": [row["question"] for row in rows_in(root / "muse-books" / "knowmem" / "forget_qa.json")],
    }


def names_demo(text: str) -> bool:
    """Whether a public prompt is about the demo scope after all."""
    return _DEMO.search(text) is not None


def request_of(messages: tuple[Message, ...]) -> Request:
    """A chat request with these messages."""
    return Request(id="benchmark", endpoint="chat", model="smollm2", messages=messages)


def request_for(prompt: str) -> Request:
    """A chat request with one message."""
    return request_of((Message("user", prompt),))


def _case(row: dict[str, Any]) -> Case:
    messages = row.get("messages") or [{"role": "user", "content": row["prompt"]}]
    return Case(row["slice"], tuple(Message(m["role"], m["content"]) for m in messages), row["response"])


def rows_in(path: Path) -> Iterator[dict[str, Any]]:
    """JSON arrays, one or several lines of them, or JSON lines."""
    for row in read_rows(path):
        if row.fault:
            raise SetupError(row.problem(path))
        yield from row.value if isinstance(row.value, list) else [row.value]
