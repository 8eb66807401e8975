"""The first form of a scope, for a person to go over: a scope file with its rows."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from classifiers.names.aliases import check_alias
from classifiers.names.text import normalise
from gateway.errors import SetupError, reason_of
from gateway.training.scope_file import Row

__all__ = ["Draft", "check_new", "different", "id_of", "is_name", "write_draft"]

_NAME_WORDS, _NAME_CHARS = 6, 60
_ID_CHARS = 63


@dataclass(frozen=True, slots=True)
class Draft:
    """A scope as far as it could be filled in. `left_out` says why what was found is not in it, and how often;
    `maybe_names` are names that a person should judge, with the number of rows that hold each."""

    subject: str
    aliases: Sequence[str]
    forget: Sequence[Row]
    retain: Sequence[Row] = ()
    maybe_names: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=Counter)


def write_draft(draft: Draft, folder: Path) -> list[Path]:
    """Writes scope.yaml, forget.jsonl and, if there are such rows, retain.jsonl into a new or empty folder. Raises
    SetupError."""
    check_new(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = {"scope.yaml": _scope_text(draft), "forget.jsonl": _lines(draft.forget)}
        if draft.retain:
            files["retain.jsonl"] = _lines(draft.retain)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise SetupError(f"cannot write into {folder}: {reason_of(error)}; give another --out") from error
    return [folder / name for name in files]


def check_new(folder: Path) -> None:
    """Raises SetupError unless a draft can have this folder: a new or empty one."""
    try:
        taken = folder.exists() and any(folder.iterdir())
    except OSError as error:
        raise SetupError(f"cannot read {folder}: {reason_of(error)}; give --out a new folder") from error
    if taken:
        raise SetupError(f"{folder} is not empty; give --out a new folder, so that nothing in it is written over")


def different(rows: Iterable[Row], left_out: Counter[str], *, than: Iterable[Row] = ()) -> list[Row]:
    """The rows whose prompts differ, as the gate reads them, from each other and from other ones."""
    seen = {normalise(row.prompt).text for row in than}
    found = []
    for row in rows:
        key = normalise(row.prompt).text
        if not key.strip():
            left_out["the question has no letter or digit"] += 1
        elif key in seen:
            left_out["the question stands there already"] += 1
        else:
            seen.add(key)
            found.append(row)
    return found


def is_name(text: str) -> bool:
    """Whether a text can be a name: a few words with a capital, or of a script without capitals, that a detector
    finds."""
    words = text.split()
    if not 0 < len(words) <= _NAME_WORDS or len(text) > _NAME_CHARS or text.rstrip(".")[-1:] in "?!:;":
        return False
    letters = [letter for letter in text if letter.isalpha()]
    if not letters or all(letter.islower() for letter in letters):
        return False
    try:
        check_alias(text)
    except ValueError:
        return False
    return True


def id_of(subject: str) -> str:
    """The id of a scope, made of its subject."""
    found = re.sub("[^a-z0-9]+", "-", normalise(subject).text).strip("-")[:_ID_CHARS].strip("-")
    return found or "scope"


def _scope_text(draft: Draft) -> str:
    lines = [
        "# A draft: go over the names and the rows before you train. docs/files.md tells what may stand here.",
        f"id: {id_of(draft.subject)}",
        f"description: {_quoted(draft.subject)}",
        "aliases:" if draft.aliases else "aliases: []",
        *(f"  - {_quoted(alias)}" for alias in draft.aliases),
    ]
    if draft.maybe_names:
        lines.append("  # Names in the rows: uncomment those that belong to the scope and to nothing else.")
        lines += [f"  # - {_quoted(name)}  # in {rows} rows" for name, rows in draft.maybe_names.items()]
    lines.append("forget: forget.jsonl")
    lines.append(
        "retain: retain.jsonl" if draft.retain else "# retain: retain.jsonl  # rows near the scope, but outside"
    )
    return "\n".join([*lines, ""])


def _quoted(text: str) -> str:
    """A text as YAML reads it: its double-quoted form is that of JSON."""
    return json.dumps(" ".join(text.split()), ensure_ascii=False)


def _lines(rows: Iterable[Row]) -> str:
    return "".join(f"{json.dumps(row.model_dump(), ensure_ascii=False)}\n" for row in rows)
