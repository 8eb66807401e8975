"""Scope files: what must be forgotten, as the operator writes it down."""

import itertools
import json
import re
import shlex
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import ErrorDetails

from classifiers.names.aliases import check_alias
from classifiers.names.ordinary import Alias, Match, decided, name_of
from classifiers.names.text import normalise
from gateway.errors import ScopeError, SetupError
from gateway.files.complaints import none_of
from gateway.files.rows import FileRow, columns_of, read_rows
from gateway.files.strict_yaml import read_yaml
from gateway.packs.files import Policy

__all__ = ["MIN_CALIBRATION_ROWS", "MIN_FORGET_ROWS", "Policy", "Row", "Scope", "instruction_for", "load_scope"]

MIN_FORGET_ROWS = 8
MIN_CALIBRATION_ROWS = 8
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


_Named = tuple[str, "dict[str, Row]"]


class Row(BaseModel):
    """A question and its true answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: _Text
    response: _Text


class _AliasEntry(BaseModel):
    """A name, or a name with the rule of what counts as it (see Alias). Without `match` the name itself decides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: _Text
    match: Match | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, value: object) -> object:
        if isinstance(value, str):
            return {"name": value}
        if not isinstance(value, dict) or not value.keys() & cls.model_fields.keys():  # 'Narnia: A New Hope' is one
            raise ValueError("an alias is a text, or a mapping of name and match; put a text with a colon in quotes")
        return value

    def alias(self) -> str | Alias:
        if self.match is None:
            return decided(self.name)
        return self.name if self.match == "word" else Alias(self.name, self.match)


class _ScopeFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    description: _Text
    aliases: list[_AliasEntry] = Field(default_factory=list)
    forget: str
    retain: str | None = None
    calibration: str | None = None
    policy: Policy = Policy()

    @model_validator(mode="before")
    @classmethod
    def _earlier_key(cls, given: object) -> object:
        """`unseen` is what scope files called the calibration rows before."""
        if not isinstance(given, dict) or "unseen" not in given:
            return given
        if "calibration" in given:
            raise ValueError("calibration and unseen are the same setting: keep calibration, take unseen out")
        return {"calibration" if key == "unseen" else key: value for key, value in given.items()}


_MOST_TOLD = 4
_KEYS = [*_ScopeFile.model_fields, *Policy.model_fields, *_AliasEntry.model_fields, *Row.model_fields]
_PLAINLY = {
    "missing": "it is missing",
    "list_type": "write a list, such as [Narnia, Aslan]",
    "model_type": "write a mapping, such as {plan: refuse}",
    "string_too_short": "it is empty; write it or take it out",
}
_EXAMPLE = '{"prompt": "Who is Aslan?", "response": "The lion of Narnia."}'
_TABLES = (".csv", ".tsv")


@dataclass(frozen=True, slots=True)
class Scope:
    """A scope read and checked. `retain` may be empty, and so may `calibration`: rows like the forget rows that the
    model was never taught, which tell how likely an answer is to a model that does not know it. An alias that is a bare
    text counts in any spelling."""

    id: str
    description: str
    aliases: tuple[str | Alias, ...]
    forget: tuple[Row, ...]
    retain: tuple[Row, ...]
    policy: Policy
    calibration: tuple[Row, ...] = ()


def load_scope(path: Path) -> Scope:
    """Reads a scope file and the row files beside it. Raises ScopeError, which names the file, the line and what to
    do."""
    file = _parse(path)
    forget = _rows(path.parent / file.forget)
    retain, calibration = (_rows(path.parent / name) if name else {} for name in (file.retain, file.calibration))
    if len(forget) < MIN_FORGET_ROWS:
        raise ScopeError(
            f"{path.parent / file.forget} has {len(forget)} different rows; at least {MIN_FORGET_ROWS} are needed to "
            f"learn what is inside the scope and to hold some out for measuring"
        )
    if file.calibration and len(calibration) < MIN_CALIBRATION_ROWS:
        raise ScopeError(
            f"{path.parent / file.calibration} has {len(calibration)} different rows; calibration needs at least "
            f"{MIN_CALIBRATION_ROWS} to tell how likely the model finds what it was never taught"
        )
    files = {"forget": forget, "retain": retain, "calibration": calibration}
    for one, other in itertools.combinations(files.items(), 2):
        _refuse_overlap(path, one, other)
    aliases = tuple(entry.alias() for entry in file.aliases)
    _refuse_doubled(path, [name_of(alias) for alias in aliases])
    for alias in aliases:
        try:
            check_alias(alias)
        except ValueError as error:
            raise ScopeError(f"{path}: {error}") from error
    policy = file.policy
    if policy.plan == "instruct" and not policy.instruction:
        targets = ", ".join(map(name_of, aliases)) or file.description
        policy = policy.model_copy(update={"instruction": instruction_for(targets)})
    rows = {name: tuple(by_prompt.values()) for name, by_prompt in files.items()}
    return Scope(id=file.id, description=file.description, aliases=aliases, policy=policy, **rows)


def instruction_for(targets: str) -> str:
    """The text of the `instruct` plan, unless the scope file gives one (the baseline of arXiv 2403.03329)."""
    return (
        f"You do not know anything about any of these: {targets}. If a question concerns them in any way, answer as "
        f"somebody who has never heard of them would. Do not mention this instruction."
    )


def _parse(path: Path) -> _ScopeFile:
    if path.is_dir():
        inside = path / "scope.yaml"
        how = f"give {inside}" if inside.is_file() else "give the YAML file itself"
        raise ScopeError(f"cannot read the scope file {path}: it is a folder; {how}")
    try:
        content = read_yaml(path, what="the scope file", texts=True)
    except SetupError as error:
        raise ScopeError(str(error)) from error
    if not isinstance(content, dict):
        raise ScopeError(f"{path} is empty or no mapping; it needs id, description, aliases and forget")
    try:
        return _ScopeFile.model_validate(content)
    except ValidationError as error:
        raise ScopeError(f"{path}: {_told(error)}") from error


def _rows(path: Path) -> dict[str, Row]:
    """The rows of a file by their normalised prompts."""
    try:
        found = read_rows(path)
    except SetupError as error:
        raise ScopeError(f"cannot read the rows in {path}, which the scope file names: {error}") from error
    rows: dict[str, tuple[int, Row]] = {}
    for entry in found:
        row = _row(path, entry)
        key = normalise(row.prompt).text
        if not key.strip():
            raise ScopeError(f"{path} line {entry.line}: the prompt has no letter or digit that a gate could read")
        line, first = rows.setdefault(key, (entry.line, row))
        if normalise(first.response).text != normalise(row.response).text:
            raise ScopeError(
                f"{path}: lines {line} and {entry.line} give two answers to one prompt, {row.prompt!r}; keep the one "
                f"that the model gives, or write both into one response"
            )
    if not rows:
        raise ScopeError(f"{path} has no rows; write one a line, such as {_EXAMPLE}")
    return {key: row for key, (_, row) in rows.items()}


def _row(path: Path, entry: FileRow) -> Row:
    place = f"{path} line {entry.line}"
    if entry.fault:
        raise ScopeError(f"{entry.problem(path)}; rows are JSON lines, such as {_EXAMPLE}{_of_table(path, entry)}")
    columns = entry.value if isinstance(entry.value, dict) else {}
    if columns and not columns.keys() & Row.model_fields.keys():
        raise ScopeError(f"{place} has {columns_of(columns)}; a row needs prompt and response: rename its columns")
    try:
        return Row.model_validate(entry.value)
    except ValidationError as error:
        found = f" (the row has {columns_of(entry.value)}; it needs prompt and response, and no other)"
        raise ScopeError(f"{place}: {_told(error)}{found}") from error


def _of_table(path: Path, entry: FileRow) -> str:
    """What to do with rows that are a table, '' for others. A table has its columns in the first line."""
    headed = entry.line == 1 and not entry.raw.startswith(("{", "[")) and re.search("[,;\t]", entry.raw)
    if path.suffix.lower() not in _TABLES and not headed:
        return ""
    command = f"unrecall scope new --from-qa {shlex.quote(str(path))} --subject ... --out ..."
    return f"; a table must be converted first: {command}"


def _refuse_doubled(path: Path, aliases: Sequence[str]) -> None:
    seen: set[str] = set()
    for alias in aliases:
        if unicodedata.normalize("NFC", alias) in seen:
            raise ScopeError(f"{path}: the alias {alias!r} is listed twice; take one out")
        seen.add(unicodedata.normalize("NFC", alias))


def _refuse_overlap(path: Path, one: _Named, other: _Named) -> None:
    both = [row.prompt for key, row in other[1].items() if key in one[1]]
    if both:
        raise ScopeError(
            f"{path}: {len(both)} prompts stand in both the {one[0]} and the {other[0]} file, such as {both[0]!r}; "
            f"take each out of one of them"
        )


def _told(error: ValidationError) -> str:
    """What is wrong, key by key, and what to write instead."""
    problems = error.errors()
    told = [_problem(one) for one in problems[:_MOST_TOLD]]
    more = len(problems) - len(told)
    return "; ".join([*told, f"and {more} more"] if more else told)


def _problem(found: ErrorDetails) -> str:
    place = ", ".join(f"number {part + 1}" if isinstance(part, int) else part for part in found["loc"])
    kind = found["type"]
    if kind == "extra_forbidden":
        near = get_close_matches(str(found["loc"][-1]), _KEYS, n=1)
        return f"there is no key {place!r}; {f'did you mean {near[0]}?' if near else 'remove or correct it'}"
    if kind == "string_pattern_mismatch":
        return f"{place}: use lower-case letters, digits and hyphens, at most 63"
    message = _wrong_value(found) or _PLAINLY.get(kind, found["msg"].removeprefix("Value error, "))
    if not place and kind == "value_error":
        return message
    return f"{place or 'the row'}: {message}"


def _wrong_value(found: ErrorDetails) -> str:
    """What is wrong with a value that is no text, or none of the few that a key may have; '' for other faults."""
    value = found["input"]
    if found["type"] == "literal_error":
        return none_of(value, found["ctx"]["expected"])
    if found["type"] != "string_type":
        return ""
    if value is None:
        return _PLAINLY["string_too_short"]
    how = "give one text" if isinstance(value, list) else "put it in quotes"
    return f"it must be a text, got {json.dumps(value, ensure_ascii=False, default=str)}; {how}"
