"""Screens a log offline: which of its requests would the gateway have flagged?"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core import Screening
from gateway.errors import PackError, SetupError
from gateway.files.atomic import open_output
from gateway.models.encoders import EncoderRuntime, find_encoder
from gateway.models.languages import PACKAGED, language_loader
from gateway.packs.store import load_packs
from gateway.screening.gate import Gate
from gateway.screening.logged import LoggedRow, read_log

__all__ = ["RESULT_KEY", "ScreenedLog", "screen_log"]

RESULT_KEY = "unrecall"
_BATCH_ROWS = 64
_RESULT = ("flagged", "scopes", "score", "problem")


@dataclass(frozen=True, slots=True)
class ScreenedLog:
    """Counts of a screened log. The gate could not screen the `odd` rows; `first_problem` is the reason of the first.

    With `under_key` the results stand under RESULT_KEY, because a row had a field with the name of a result.
    """

    rows: int
    flagged: int
    odd: int = 0
    first_problem: str = ""
    under_key: bool = False


def screen_log(
    *,
    input_file: Path,
    output_file: Path,
    packs: Path,
    encoder: str,
    encoder_runtime: EncoderRuntime = "openvino",
    language_encoder: str = PACKAGED,
    progress: Callable[[int, int], None],
) -> ScreenedLog:
    """Writes every row again with `flagged`, `scopes` and `score`, or with `flagged: null` and a `problem`.

    `score` is the highest score of classifier or detector minus its threshold (above 0 is flagged); 1 for a name alone;
    -1 if no scope is near. If a row of the file has one of these names already, every row's result stands under
    `unrecall` instead.
    Raises SetupError, and writes nothing then.

    Args:
        input_file: rows of JSON as `gateway.screening.logged` reads them.
        output_file: JSON lines; it must be another file than `input_file`.
        packs: the folder of packs.
        encoder: the sentence encoder that the packs were trained with.
        encoder_runtime: what computes it, likewise.
        language_encoder: reads other languages than English, likewise (see `gateway.models.languages`).
        progress: is told (rows done, rows).
    """
    _refuse_same(input_file, output_file)
    rows = read_log(input_file)
    _refuse_no_good_row(input_file, rows)
    under_key = _needs_key(input_file, rows)
    flagged = 0
    with open_output(output_file) as target:
        gate = _gate(packs, encoder, encoder_runtime, language_encoder)
        for start in range(0, len(rows), _BATCH_ROWS):
            for row, result in _screened(gate, rows[start : start + _BATCH_ROWS]):
                flagged += bool(result["flagged"])
                line = {**row.fields, RESULT_KEY: result} if under_key else {**row.fields, **result}
                target.write(json.dumps(line, ensure_ascii=False) + "\n")
            progress(min(start + _BATCH_ROWS, len(rows)), len(rows))
    odd = [row for row in rows if row.problem]
    first = f"line {odd[0].line}: {odd[0].problem}" if odd else ""
    return ScreenedLog(len(rows), flagged, len(odd), first, under_key)


def _refuse_same(input_file: Path, output_file: Path) -> None:
    try:
        same = input_file.is_file() and os.path.samefile(input_file, output_file)
    except OSError:  # there is no output yet
        same = input_file.resolve() == output_file.resolve()
    if same:
        raise SetupError(f"{output_file} is the input itself and would be overwritten; choose another --output")


def _refuse_no_good_row(path: Path, rows: Sequence[LoggedRow]) -> None:
    if rows and not any(row.request for row in rows):
        raise SetupError(f"{path} has no row that can be screened; line {rows[0].line}: {rows[0].problem}")


def _needs_key(path: Path, rows: Sequence[LoggedRow]) -> bool:
    """Whether a row has fields of its own where the result would go. Raises SetupError if no place is left."""
    under_key = any(name in row.fields for row in rows for name in _RESULT)
    taken = next((row for row in rows if RESULT_KEY in row.fields), None)
    if under_key and taken:
        raise SetupError(
            f"{path} line {taken.line}: the row has a field {RESULT_KEY!r} already, and others have fields of the "
            f"names {', '.join(_RESULT)}; rename one of them, so that nothing is replaced"
        )
    return under_key


def _gate(packs: Path, encoder: str, runtime: EncoderRuntime, language_encoder: str) -> Gate:
    files = find_encoder(encoder, runtime)
    loaded = load_packs(packs, base_fingerprint=None, encoder_fingerprint=files.fingerprint)
    if not loaded:
        raise PackError(f"there are no packs in {packs}; train one first")
    return Gate(loaded, files.load(), load_languages=language_loader(language_encoder))


def _screened(gate: Gate, rows: Sequence[LoggedRow]) -> Iterator[tuple[LoggedRow, dict[str, Any]]]:
    found = iter(gate.screen([row.request for row in rows if row.request]))
    for row in rows:
        yield row, _result(next(found)) if row.request else _odd(row.problem)


def _odd(problem: str) -> dict[str, Any]:
    return {"flagged": None, "scopes": [], "score": None, "problem": problem}


def _result(screening: Screening) -> dict[str, Any]:
    margins = [f.score if f.detector == "lexical" else f.score - f.threshold for f in screening.findings]
    return {
        "flagged": bool(screening.matched),
        "scopes": list(screening.scopes),
        "score": round(max(margins, default=-1.0), 6),
    }
