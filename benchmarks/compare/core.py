"""The nouns of a comparison: what is known, what must be forgotten, what is asked, and what each arm said to it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks.items import Item
from classifiers.names.text import normalise
from gateway.training.scope_file import Row

__all__ = ["ForgetRequest", "Reply", "Suite", "write_scope"]


@dataclass(frozen=True, slots=True)
class ForgetRequest:
    """What somebody asks the operator to forget: the content of a scope file. A suite's come one after another."""

    scope: str
    description: str
    aliases: tuple[str, ...]
    forget: tuple[Row, ...]
    retain: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Suite:
    """A benchmark.

    The original model first memorises `taught`, the retrained one `kept`. Both are empty where the model knows the
    targets already; then there is no retrained model.

    Tuning chooses the settings of weight arms on a rehearsal: they forget `rehearsal`, another request about taught
    rows that stay, and answer `validation`. No row of the `forget_requests` takes part in that. The report is about
    `items` alone. `epochs` and `lr` are of the teaching.

    `calibration` holds rows like the taught ones that nobody taught any model: how likely the original finds their
    answers estimates how likely a model finds answers that it never saw.
    """

    name: str
    taught: tuple[Row, ...]
    kept: tuple[Row, ...]
    forget_requests: tuple[ForgetRequest, ...]
    rehearsal: ForgetRequest
    validation: tuple[Item, ...]
    items: tuple[Item, ...]
    calibration: tuple[Item, ...] = ()
    max_new_tokens: int = 64
    epochs: int = 8
    lr: float = 2e-4
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Reply:
    """What one arm replied to one item; metrics are measured from it alone. A line of replies.jsonl on disk.

    Probabilities are exp(mean log likelihood a token): of the `answer`, of its `paraphrase`, of each `perturbed` one;
    None where the item has none or the model was not asked. `memorised` [answer tokens] says which tokens of the true
    answer are the likeliest after the true ones before them. `loss`, `min_k` and `min_k_plus` are membership scores
    (higher: more like a member). `samples` are answers at temperature 1.
    """

    item: str
    plan: str
    text: str
    answer: float | None = None
    paraphrase: float | None = None
    perturbed: tuple[float, ...] = ()
    memorised: tuple[bool, ...] = ()
    loss: float | None = None
    min_k: float | None = None
    min_k_plus: float | None = None
    samples: tuple[str, ...] = ()

    @classmethod
    def read(cls, row: dict[str, Any]) -> "Reply":
        """The reply of a line of replies.jsonl. Raises TypeError or AttributeError for what is none."""
        lists: dict[str, Any] = {name: tuple(value) for name, value in row.items() if isinstance(value, list)}
        return cls(**{**row, **lists})


def write_scope(forget_request: ForgetRequest, folder: Path, calibration: Sequence[Item] = ()) -> Path:
    """Writes scope.yaml and forget.jsonl into `folder`; also retain.jsonl and calibration.jsonl, if there are rows for
    them. Returns the path of scope.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    scope: dict[str, object] = {
        "id": forget_request.scope,
        "description": forget_request.description,
        "aliases": list(dict.fromkeys(forget_request.aliases)),
    }
    never = [Row(prompt=item.prompt, response=item.answer) for item in calibration]
    for name, rows in {"forget": forget_request.forget, "retain": forget_request.retain, "calibration": never}.items():
        if rows:
            scope[name] = f"{name}.jsonl"
            lines = (json.dumps(row.model_dump(), ensure_ascii=False) for row in _first_answers(rows))
            (folder / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    path = folder / "scope.yaml"
    path.write_text(yaml.safe_dump(scope, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def _first_answers(rows: Sequence[Row]) -> list[Row]:
    """Public data asks some questions twice with answers that differ in words, which a scope file may not."""
    found: dict[str, Row] = {}
    for row in rows:
        found.setdefault(normalise(row.prompt).text, row)
    return list(found.values())
