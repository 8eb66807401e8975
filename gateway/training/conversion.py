"""Rows of other people's files: questions with answers under the columns that data sets use, and documents."""

import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from classifiers.names.vocabulary import is_known
from gateway.errors import SetupError
from gateway.files.rows import columns_of, read_rows
from gateway.files.text import read_text
from gateway.training.draft import Draft, different, is_name
from gateway.training.scope_file import Row

__all__ = ["draft_of_documents", "draft_of_questions"]

_COLUMNS = (
    ("question", "answer"),
    ("prompt", "response"),
    ("prompt", "completion"),
    ("instruction", "output"),
    ("instruction", "response"),
    ("input", "output"),
    ("query", "response"),
    ("query", "answer"),
    ("q", "a"),
)
_TABLES = {".csv": ",", ".tsv": "\t"}
_TEXTS = (".txt", ".md", ".rst", ".text")
_PROMPT_WORDS, _RESPONSE_WORDS = 60, 40  # of a piece of a document; see gateway.training.leaks
_LEAST_RESPONSE = 8
_NAME = re.compile(r"(?:[A-Z][\w'’-]*\.?)(?: [A-Z][\w'’-]*\.?){0,3}")
_LEAST_SHARE, _LEAST_ROWS, _MOST_NAMES = 0.05, 3, 30


def draft_of_questions(path: Path, subject: str) -> Draft:
    """A scope of a file of questions and answers: JSON lines, a JSON array, CSV or TSV.

    The columns may be question and answer, prompt and response or completion, instruction (with input) and output, q
    and a, or chat `messages`. Raises SetupError if the file cannot be read or has no such rows.
    """
    left_out: Counter[str] = Counter()
    rows = different(_rows(path, left_out), left_out)
    return _draft(subject, rows, left_out)


def draft_of_documents(folder: Path, subject: str) -> Draft:
    """A scope of documents (.txt, .md, .rst; a folder, or one file): pieces of each, which the model would go on with.
    Raises SetupError."""
    files = [folder] if folder.is_file() else sorted(one for one in folder.rglob("*") if one.suffix.lower() in _TEXTS)
    if not files:
        raise SetupError(f"{folder} has no documents; they must be text files that end in {', '.join(_TEXTS)}")
    left_out: Counter[str] = Counter()
    rows = different((row for file in files for row in _pieces(read_text(file), left_out)), left_out)
    return _draft(subject, rows, left_out)


def _draft(subject: str, rows: Sequence[Row], left_out: Counter[str]) -> Draft:
    aliases = [subject] if is_name(subject) else []
    names = {name: count for name, count in _names(rows).items() if name not in aliases}
    return Draft(subject, aliases, rows, maybe_names=names, left_out=left_out)


def _rows(path: Path, left_out: Counter[str]) -> Iterator[Row]:
    found = 0
    for line, value in _values(path):
        pair = _pair(value)
        if pair is None:
            left_out[f"no question with an answer: line {line} has {columns_of(value)}"[:120]] += 1
            continue
        question, answer = (" ".join(text.split()) if isinstance(text, str) else "" for text in pair)
        if question and answer:
            found += 1
            yield Row(prompt=question, response=answer)
        else:
            left_out["the question or the answer is empty or no text"] += 1
    if not found:
        known = "; ".join(" and ".join(pair) for pair in _COLUMNS)
        seen = f" ({next(iter(left_out))})" if left_out else ""
        raise SetupError(f"{path} has no row with a question and an answer{seen}; name its columns as one of: {known}")


def _values(path: Path) -> Iterator[tuple[int, Any]]:
    separator = _TABLES.get(path.suffix.lower())
    if separator is None:
        for row in read_rows(path):
            if row.fault:
                raise SetupError(row.problem(path))
            yield row.line, row.value
        return
    try:
        table = csv.DictReader(io.StringIO(read_text(path)), delimiter=separator, strict=True)
        for values in table:
            yield table.line_num, values
    except csv.Error as error:
        raise SetupError(f"{path} line {table.line_num}: {error}; save the table as CSV anew") from error


def _pair(value: Any) -> tuple[Any, Any] | None:
    if not isinstance(value, dict):
        return None
    columns = {str(name).strip().lower(): content for name, content in value.items()}
    if isinstance(columns.get("messages"), list):
        return _of_messages(columns["messages"])
    for asked, answered in _COLUMNS:
        if asked in columns and answered in columns:
            question = columns[asked]
            if asked == "instruction" and isinstance(columns.get("input"), str) and isinstance(question, str):
                question = f"{question} {columns['input']}"
            return question, columns[answered]
    return None


def _of_messages(messages: Sequence[Any]) -> tuple[Any, Any] | None:
    """The last question of a chat and the answer to it."""
    turns = [turn for turn in messages if isinstance(turn, Mapping)]
    for asked, answered in reversed(list(itertools.pairwise(turns))):
        if asked.get("role") == "user" and answered.get("role") == "assistant":
            return asked.get("content"), answered.get("content")
    return None


def _pieces(text: str, left_out: Counter[str]) -> Iterator[Row]:
    words = text.split()
    for start in range(0, len(words), _PROMPT_WORDS + _RESPONSE_WORDS):
        prompt = words[start : start + _PROMPT_WORDS]
        response = words[start + _PROMPT_WORDS : start + _PROMPT_WORDS + _RESPONSE_WORDS]
        if len(response) < _LEAST_RESPONSE:
            left_out["the end of a document is too short to be gone on with"] += 1
        else:
            yield Row(prompt=" ".join(prompt), response=" ".join(response))


def _names(rows: Iterable[Row]) -> dict[str, int]:
    """Names that many rows hold, the most frequent first, with the number of rows."""
    counts: Counter[str] = Counter()
    total = 0
    for row in rows:
        total += 1
        counts.update({name.rstrip(".") for text in (row.prompt, row.response) for name in _NAME.findall(text)})
    least = max(_LEAST_ROWS, _LEAST_SHARE * total)
    telling = ((name, count) for name, count in counts.most_common() if count >= least and _tells(name))
    return dict(list(telling)[:_MOST_NAMES])


def _tells(name: str) -> bool:
    return is_name(name) and not all(is_known(word.lower()) for word in re.findall(r"\w+", name))
