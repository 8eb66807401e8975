"""Checks the hash chains of audit logs (gateway.telemetry.chain)."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from gateway.errors import SetupError
from gateway.telemetry.chain import Chain, Link, link_of

__all__ = ["Verified", "verify_files"]


@dataclass(slots=True)
class Verified:
    """What was found. `problem` names the first line that breaks a chain, and is empty if none does. `notes` are what
    the operator should know besides. `ends` are the last lines of the chains, by their ids."""

    lines: int = 0
    problem: str = ""
    notes: list[str] = field(default_factory=list)
    ends: dict[str, Link] = field(default_factory=dict)
    unclosed: int = 0


@dataclass(frozen=True, slots=True)
class _Line:
    where: str
    raw: bytes


def verify_files(files: Iterable[Path], key: bytes | None = None) -> Verified:
    """Reads the files in this order, the oldest first, and stops at the first line that breaks a chain. Raises
    SetupError for a file that cannot be read."""
    found, chain = Verified(), Chain(key)
    torn: _Line | None = None
    for line in _lines(files):
        link = link_of(line.raw)
        if torn is not None and not (link and _tells_of(torn, line.raw)):
            found.problem = f"{torn.where} is no whole line of a chain: it was added, cut or changed"
            return found
        if link is None:
            torn = line
            continue
        if torn is not None:
            found.notes.append(f"{torn.where} was cut short by a crash, and the gateway said so in the line after it")
            torn = None
        if problem := _problem(line, link, found, chain, keyed=key is not None):
            found.problem = problem
            return found
        _accept(line, link, found)
    if torn is not None:
        found.problem = f"{torn.where} is no whole line of a chain: it was added or changed, or cut short by a crash"
    elif not found.lines:
        found.problem = "there is no line: a gateway begins its log with one, so all were taken out"
    elif found.unclosed > 0:
        found.notes.append(
            f"{found.unclosed} of the processes that wrote here left no closing line: they still run, or were killed. "
            "Of the very last lines of a killed process nothing can tell whether all are here"
        )
    return found


def _problem(line: _Line, link: Link, found: Verified, chain: Chain, *, keyed: bool) -> str:
    """What is wrong with a line or with its place; empty if nothing is."""
    if link.keyed and not keyed:
        return f"{line.where} has a keyed digest: give the gateway's audit_key (UNRECALL_AUDIT_KEY, or --config)"
    if keyed and not link.keyed:
        return f"{line.where} has a digest without the key: it was not written by a gateway with this audit_key"
    if not chain.holds(line.raw):
        other = ", or the audit_key is another" if keyed and not found.lines else ""
        return f"{line.where} was changed after it was written: its digest is another{other}"
    last = found.ends.get(link.chain)
    return _misplaced(line.where, link, last) if last else ""


def _misplaced(where: str, link: Link, last: Link) -> str:
    name, gap = f"of chain {link.chain}", link.seq - last.seq - 1
    if gap < 0:
        return f"{where} is number {link.seq} {name}, and number {last.seq} stands before it: it was moved or doubled"
    if gap:
        missing = f"numbers {last.seq + 1} to {link.seq - 1}" if gap > 1 else f"number {last.seq + 1}"
        return (
            f"before {where}, {missing} {name} {'are' if gap > 1 else 'is'} missing: taken out, or moved further down"
        )
    if link.prev != last.digest:
        return f"{where} does not follow the line before it {name}: one of the two was put in another's place"
    return ""


def _accept(line: _Line, link: Link, found: Verified) -> None:
    if link.chain not in found.ends and link.seq > 1:
        found.notes.append(
            f"{line.where} is number {link.seq} of its chain: the {link.seq - 1} before it are in earlier files (give "
            "these too, the oldest first), or were taken out"
        )
    found.lines += 1
    found.ends[link.chain] = link
    told = _told(line.raw).get("audit")
    found.unclosed += (told == "opened") - (told == "closed")
    if told == "lost":
        found.notes.append(f"{line.where} says that lines were lost because the log could not be written")


def _tells_of(torn: _Line, raw: bytes) -> bool:
    told = _told(raw)
    return bool(told.get("audit") == "torn" and told.get("bytes") == len(torn.raw))


def _told(raw: bytes) -> dict[str, Any]:
    """The fields of a line; none of one that is no JSON object, which somebody without the key can write."""
    with suppress(ValueError):
        if isinstance(told := orjson.loads(raw), dict):
            return told
    return {}


def _lines(files: Iterable[Path]) -> Iterator[_Line]:
    for path in files:
        try:
            with path.open("rb") as file:
                for number, raw in enumerate(file, start=1):
                    # A last line without its end is a line that was cut, even if its digest is whole.
                    yield _Line(
                        f"{path} line {number}", raw.removesuffix(b"\n") if raw.endswith(b"\n") else raw + b"\0"
                    )
        except OSError as error:
            raise SetupError(f"cannot read {path} ({error.strerror}); give the audit_file of a gateway") from error
