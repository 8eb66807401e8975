"""The nouns of a comparison: what is known, what must be forgotten, what is asked, and what each arm said to it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks.items import Item
from gateway.training.scope_file import Row

__all__ = ["Reply", "Suite", "Takedown", "write_scope"]


@dataclass(frozen=True, slots=True)
class Takedown:
    """A request to forget: what a scope file holds. Takedowns of a suite come one after another."""

    scope: str
    description: str
    aliases: tuple[str, ...]
    forget: tuple[Row, ...]
    retain: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Suite:
    """A benchmark. `taught` is memorised by the original model first, `kept` by the retrained one instead of it (both
    empty: the model knows of the targets already, and there is no retrained one).

    Weight arms' settings are chosen by rehearsing another takedown, `rehearsal` (of taught rows that stay), and asking
    `validation` about it; none of the takedowns' own rows serve. Only `items` are reported on.
    `epochs` and `lr` are of the teaching. `unseen` are rows like the taught ones that no model was ever taught: how
    the original does on them estimates how a model that never saw the forgotten rows would do on those.
    """

    name: str
    taught: tuple[Row, ...]
    kept: tuple[Row, ...]
    takedowns: tuple[Takedown, ...]
    rehearsal: Takedown
    validation: tuple[Item, ...]
    items: tuple[Item, ...]
    unseen: tuple[Item, ...] = ()
    max_new_tokens: int = 64
    epochs: int = 8
    lr: float = 2e-4
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Reply:
    """What one arm made of one item, all that metrics are computed from; JSON on disk.

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


def write_scope(takedown: Takedown, folder: Path, unseen: Sequence[Item] = ()) -> Path:
    """Writes scope.yaml, forget.jsonl and, if there are rows for them, retain.jsonl and unseen.jsonl. Returns the path
    of scope.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    scope: dict[str, object] = {
        "id": takedown.scope,
        "description": takedown.description,
        "aliases": list(takedown.aliases),
    }
    never = [Row(prompt=item.prompt, response=item.answer) for item in unseen]
    for name, rows in {"forget": takedown.forget, "retain": takedown.retain, "unseen": never}.items():
        if rows:
            scope[name] = f"{name}.jsonl"
            lines = (json.dumps(row.model_dump(), ensure_ascii=False) for row in rows)
            (folder / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    path = folder / "scope.yaml"
    path.write_text(yaml.safe_dump(scope, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path
