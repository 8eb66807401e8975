"""Rows of JSON: one value a line, a JSON array, or values that follow each other. The one reader for all of them."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.errors import SetupError
from gateway.files.numbers import TOO_LARGE
from gateway.files.text import read_lenient, read_text

__all__ = ["FileRow", "columns_of", "read_rows", "read_texts_or_rows", "strict_json"]

_JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
_TABLE_SUFFIXES = (".csv", ".tsv", ".xlsx", ".parquet")
_GAP = re.compile("[ \\t\\n\\ufeff]*")  # files that were joined keep a mark in front of each


@dataclass(frozen=True, slots=True)
class FileRow:
    """One value of a file and the line where it begins. `fault` says why it cannot be used, '' if it can.

    `raw` is the text of the value in the file; `value` is None for a row with a fault.
    """

    line: int
    value: Any
    raw: str
    fault: str = ""

    def problem(self, path: Path) -> str:
        """The fault with its place, as a sentence."""
        place = f"{path} line {self.line}"
        return f"{place} {self.fault.removeprefix('it ')}" if self.fault.startswith("it ") else f"{place}: {self.fault}"


def read_rows(path: Path) -> list[FileRow]:
    """The rows of a JSON file. A row that is not strict JSON is kept with its fault, so that one bad line does not end
    the reading of a log. Raises SetupError for a file that cannot be read."""
    return _rows(read_lenient(path))


def read_texts_or_rows(path: Path) -> list[FileRow]:
    """The rows of a JSON file, or the lines of a text file as rows whose values are texts: the content decides unless
    the name ends as a JSON file's does. Raises SetupError for a file that cannot be read."""
    suffix = path.suffix.lower()
    if suffix in _TABLE_SUFFIXES:
        raise SetupError(f"cannot read {path}: save the table as JSON lines, or as a text file with one prompt a line")
    if suffix in _JSON_SUFFIXES:
        return read_rows(path)
    rows = _rows(read_lenient(path))
    objects = sum(isinstance(row.value, dict) for row in rows)
    if rows and 2 * objects >= len(rows):
        return rows
    lines = enumerate(read_text(path).split("\n"), 1)
    return [FileRow(number, line.strip(), line) for number, line in lines if line.strip()]


def columns_of(value: Any) -> str:
    """The content of a row in words, for messages that say what was found and what is expected."""
    if isinstance(value, dict):
        return f"the columns {', '.join(map(str, value))}" if value else "no columns"
    return {list: "a list", str: "a text", type(None): "null"}.get(type(value), "a number or a boolean")


def strict_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError for a doubled key, for NaN, for a lone surrogate, and for no JSON."""
    value, end, fault = _Decoder().decode_at(text, len(text) - len(text.lstrip()))
    if not fault and text[end:].strip():
        fault = "more follows behind the JSON value"
    if fault:
        raise ValueError(fault)
    return value


class _Decoder:
    """A JSON decoder that notes the faults that a lenient decoder ignores."""

    def __init__(self) -> None:
        self._fault = ""
        self._json = json.JSONDecoder(object_pairs_hook=self._object, parse_constant=self._constant)

    def decode_at(self, text: str, start: int) -> tuple[Any, int, str]:
        """(value, its end, fault). Raises ValueError if no JSON value begins there."""
        self._fault = ""
        try:
            value, end = self._json.raw_decode(text, start)
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        except json.JSONDecodeError:
            raise
        except ValueError as error:  # Python reads no number of thousands of digits
            raise ValueError(f"it holds {TOO_LARGE}") from error
        return value, end, self._fault or _unwritable(value)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                self._fault = self._fault or f"the key {key!r} stands twice in one object; take one out"
            found[key] = value
        return found

    def _constant(self, name: str) -> None:
        self._fault = self._fault or f"{name} is no JSON value"


def _unwritable(value: Any) -> str:
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError:
        return "it holds a lone surrogate, which is no valid text"
    except RecursionError:
        return "it is nested too deeply"
    except ValueError:  # 1e999 is infinity to Python
        return f"it holds {TOO_LARGE}"
    return ""


def _rows(text: str) -> list[FileRow]:
    lines = list(_by_line(text))
    if not any(row.fault for row in lines):
        return _opened(lines, text)
    whole = _in_sequence(text)
    if whole is not None:
        return whole
    whole_rows = sum(isinstance(row.value, dict) for row in lines)
    if lines[0].fault and lines[0].raw.startswith("[") and 2 * whole_rows < len(lines):
        return [_broken_array(text, lines[0])]
    return lines


def _by_line(text: str) -> Iterator[FileRow]:
    lines = (line.strip("\ufeff \t") for line in text.split("\n"))  # JSON strings may hold other line ends
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            yield FileRow(number, strict_json(line), line)
        except ValueError as error:
            yield FileRow(number, None, _as_text(line), _reason(line, error))


def _reason(line: str, error: ValueError) -> str:
    if any("\udc80" <= character <= "\udcff" for character in line):
        return "it is not UTF-8"
    return f"it is not JSON: {error.msg}" if isinstance(error, json.JSONDecodeError) else str(error)


def _as_text(raw: str) -> str:
    return raw.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _opened(rows: Sequence[FileRow], text: str) -> list[FileRow]:
    """A file that is one array holds its elements as rows."""
    if len(rows) == 1 and isinstance(rows[0].value, list):
        return _in_sequence(text) or []
    return list(rows)


def _in_sequence(text: str) -> list[FileRow] | None:
    """The values of a text, which may take several lines each; None if it is anything else.

    A single array is opened: its elements are the rows.
    """
    cursor = _Cursor(text)
    try:
        if cursor.next() == "[":
            return list(cursor.elements())
        return list(cursor.values())
    except ValueError:
        return None


class _Cursor:
    """A place in a text, with the number of its line."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._decoder = _Decoder()
        self._at = 0
        self._line = 1

    def next(self) -> str:
        """The next character that is no white space, '' at the end."""
        found = _GAP.match(self._text, self._at)
        self._move(found.end() if found else self._at)
        return self._text[self._at : self._at + 1]

    def values(self) -> Iterator[FileRow]:
        """Values that follow each other. Raises ValueError for anything else."""
        while self.next():
            yield self._value()

    def elements(self) -> Iterator[FileRow]:
        """The elements of one array and nothing behind it. Raises ValueError for anything else."""
        self._move(self._at + 1)
        if self.next() == "]":
            self._move(self._at + 1)
        else:
            yield self._value()
            while (mark := self.next()) == ",":
                self._move(self._at + 1)
                self.next()
                yield self._value()
            if mark != "]":
                raise ValueError("the array does not end")
            self._move(self._at + 1)
        if self.next():
            raise ValueError("more follows behind the array")

    def _value(self) -> FileRow:
        start, line = self._at, self._line
        value, end, fault = self._decoder.decode_at(self._text, start)
        self._move(end)
        raw = self._text[start:end]
        return FileRow(line, None if fault else value, _as_text(raw), fault and _reason(raw, ValueError(fault)))

    def _move(self, to: int) -> None:
        self._line += self._text.count("\n", self._at, to)
        self._at = to


def _broken_array(text: str, first: FileRow) -> FileRow:
    try:
        json.loads(text.lstrip("\ufeff"))
    except json.JSONDecodeError as error:
        return FileRow(error.lineno, None, first.raw, f"the array is not JSON: {error.msg}")
    except (ValueError, RecursionError) as error:
        return FileRow(first.line, None, first.raw, f"the array is not JSON: {error}")
    return first
