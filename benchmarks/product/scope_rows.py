"""Many real scopes of public data, to measure the classifier beyond the demo: persons, books, contracts, subjects."""

import csv
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.product.rows import heldout
from gateway.files.rows import read_rows
from gateway.training.scope_file import load_scope

__all__ = ["ScopeRows", "authors", "measured_scopes"]

_TRAIN_SHARE = 0.6
_RETAIN, _NEAR = 40, 200
_ROWS_AN_AUTHOR, _AUTHORS = 20, 200


@dataclass(frozen=True, slots=True)
class ScopeRows:
    """One scope's prompts: to train on, and held out, inside and near but outside."""

    name: str
    forget: tuple[str, ...]
    retain: tuple[str, ...]
    held_out: tuple[str, ...]
    near: tuple[str, ...]


def measured_scopes(data: Path) -> Iterator[ScopeRows]:
    """The scopes that no setting of the classifier was chosen on."""
    yield _demo()
    of_authors = authors(data)
    for number in range(100, _AUTHORS, 10):
        others = [prompt for at, rows in enumerate(of_authors) if at != number for prompt in rows]
        few = _RETAIN if number % 20 == 0 else 0  # half of them without retain rows
        yield _scope(f"tofu author {number}", of_authors[number], others, few, seed=number)
    yield _scope("tofu, five authors", _flat(of_authors[150:155]), _flat(of_authors[100:140]), 80, seed=1)
    persons, others = _lume(data)
    for group in range(3, 6):
        rows = _flat(persons[10 * group : 10 * group + 10])
        yield _scope(f"lume, persons {group}", rows, others, _RETAIN if group % 2 else 0, seed=group)
    yield from _contracts(data)
    for topic in ("chem", "cyber"):
        with (data / "eco-synthetic-wmdp" / f"synthetic_questions_{topic}.csv").open(encoding="utf-8") as file:
            yield _scope(f"wmdp {topic}", [row["question"] for row in csv.DictReader(file)], [], 0, seed=0)
    yield _stephen_king(data)


def authors(data: Path) -> list[list[str]]:
    """The questions about each invented author of TOFU."""
    prompts = [row["question"] for row in _rows(data / "tofu" / "full.json")]
    return [prompts[_ROWS_AN_AUTHOR * n : _ROWS_AN_AUTHOR * (n + 1)] for n in range(_AUTHORS)]


def _demo() -> ScopeRows:
    scope, cases = load_scope(Path("examples/harry-potter/scope.yaml")), heldout()
    return ScopeRows(
        "harry potter, unnamed",
        tuple(row.prompt for row in scope.forget),
        tuple(row.prompt for row in scope.retain),
        tuple(case.prompt for case in cases if case.slice == "unnamed"),
        tuple(case.prompt for case in cases if case.slice == "near"),
    )


def _lume(data: Path) -> tuple[list[list[str]], list[str]]:
    def questions(name: str) -> Iterator[tuple[str, str]]:
        for row in _rows(data / "lume" / name):
            if row["task"] == "Task2" and re.search(r"qa\d$", row["id"]):
                yield re.sub(r"qa\d$", "", row["id"]), row["input"]

    persons: dict[str, list[str]] = {}
    for person, question in questions("forget.jsonl"):
        persons.setdefault(person, []).append(question)
    return list(persons.values()), [question for _, question in questions("retain.jsonl")]


def _contracts(data: Path) -> Iterator[ScopeRows]:
    contracts: dict[str, list[str]] = {}
    for row in _rows(data / "pistol" / "sample_data_2.json"):
        contracts.setdefault(row["edge"], []).append(row["question"])
    for edge in list(contracts)[:2]:
        others = [prompt for other, rows in contracts.items() if other != edge for prompt in rows]
        yield _scope(f"pistol contract {edge}", contracts[edge], others, _RETAIN, seed=1)


def _stephen_king(data: Path) -> ScopeRows:
    folder = data / "rwku" / "1_Stephen_King"

    def asked(kind: str, levels: Iterable[int]) -> list[str]:
        return [row["query"] for level in levels for row in _rows(folder / f"{kind}_level{level}.json")]

    return _scope("rwku stephen king", asked("forget", (1, 2, 3)), asked("neighbor", (1, 2)), 31, seed=0)


def _scope(name: str, rows: Sequence[str], near: Sequence[str], retained: int, *, seed: int) -> ScopeRows:
    rng = random.Random(seed)
    inside, outside = _unique(rows), [prompt for prompt in _unique(near) if prompt not in set(rows)]
    rng.shuffle(inside)
    rng.shuffle(outside)
    cut = max(2, int(_TRAIN_SHARE * len(inside)))
    held = outside[retained : retained + _NEAR]
    return ScopeRows(name, tuple(inside[:cut]), tuple(outside[:retained]), tuple(inside[cut:]), tuple(held))


def _unique(prompts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(prompt.strip() for prompt in prompts if prompt.strip()))


def _flat(groups: Iterable[Sequence[str]]) -> list[str]:
    return [prompt for group in groups for prompt in group]


def _rows(path: Path) -> list[Any]:
    """A file's rows; some files hold several arrays, one a line."""
    values = [row.value for row in read_rows(path)]
    return [row for value in values for row in (value if isinstance(value, list) else [value])]
