"""The report of an online comparison: audit lines counted by arm, with intervals and differences."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from gateway.errors import SetupError
from gateway.experiments.assignment import GUARDED
from gateway.experiments.intervals import Estimate, minus, quantile, rate

__all__ = ["ArmFigures", "Contrast", "Line", "Report", "read_lines", "report_on"]


@dataclass(frozen=True, slots=True)
class Line:
    """The parts of one audit line that the report counts. `hit` is None if the answer was not screened; `ms` is the
    time from the gate's verdict to the last chunk."""

    id: str
    arm: str
    shadow: bool
    flagged: bool
    outcome: str
    hit: bool | None
    ms: float


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """One arm's requests. `leaks` are of the screened answers, times of the complete ones."""

    arm: str
    shadow: bool
    requests: int
    flagged: int
    failed: int
    screened: int
    hits: int
    leaks: Estimate
    p50_ms: Estimate
    p95_ms: Estimate


@dataclass(frozen=True, slots=True)
class Contrast:
    """An arm minus the guarded arm. For a shadow it is over the requests that both arms got."""

    arm: str
    shadow: bool
    leaks: Estimate
    p50_ms: Estimate
    p95_ms: Estimate


@dataclass(frozen=True, slots=True)
class Report:
    """The guarded arm comes first."""

    arms: tuple[ArmFigures, ...]
    contrasts: tuple[Contrast, ...]


def read_lines(files: Iterable[Path]) -> tuple[list[Line], int]:
    """The lines that name an arm, and how many others there were. Raises SetupError for a file that cannot be read."""
    lines, others = [], 0
    for file in files:
        for text in _texts(file):
            line = _line(text)
            if line is None:
                others += 1
            else:
                lines.append(line)
    return lines, others


def report_on(lines: Sequence[Line]) -> Report:
    """The figures of every arm that appears, and each one's difference from the guarded arm. Raises SetupError for
    lines of two comparisons: a split's guarded arm had a part of the users, a shadow's all of them."""
    groups: dict[tuple[bool, str], list[Line]] = {}
    for line in lines:
        groups.setdefault((line.shadow, line.arm), []).append(line)
    if len({shadow for shadow, arm in groups if arm != GUARDED}) > 1:
        raise SetupError(
            "these lines are of a split and of a shadow comparison; cut the log where ab_mode was changed, and report "
            "on each part"
        )
    guarded = groups.get((False, GUARDED), [])
    order = sorted(groups, key=lambda group: (group != (False, GUARDED), group))
    arms = tuple(_figures(arm, shadow, groups[shadow, arm]) for shadow, arm in order)
    contrasts = []
    for figures in arms:
        if (figures.shadow, figures.arm) != (False, GUARDED):
            asked = {line.id for line in groups[figures.shadow, figures.arm]}
            base = [line for line in guarded if line.id in asked] if figures.shadow else guarded
            contrasts.append(_contrast(figures, _figures(GUARDED, False, base)))
    return Report(arms, tuple(contrasts))


def _contrast(arm: ArmFigures, base: ArmFigures) -> Contrast:
    return Contrast(
        arm.arm,
        arm.shadow,
        minus(arm.leaks, base.leaks),
        minus(arm.p50_ms, base.p50_ms),
        minus(arm.p95_ms, base.p95_ms),
    )


def _figures(arm: str, shadow: bool, lines: Sequence[Line]) -> ArmFigures:
    times = [line.ms for line in lines if line.outcome == "ok"]
    screened = [line.hit for line in lines if line.hit is not None]
    return ArmFigures(
        arm,
        shadow,
        requests=len(lines),
        flagged=sum(line.flagged for line in lines),
        failed=sum(line.outcome not in ("ok", "aborted") for line in lines),
        screened=len(screened),
        hits=sum(screened),
        leaks=rate(sum(screened), len(screened)),
        p50_ms=quantile(times, 0.5),
        p95_ms=quantile(times, 0.95),
    )


def _texts(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as content:
            yield from (text for text in content if text.strip())
    except OSError as error:
        raise SetupError(f"cannot read the audit log {file}: {error.strerror}") from error


def _line(text: bytes) -> Line | None:
    """None for a line that belongs to no comparison: a log may begin before the comparison did, and may be cut off."""
    try:
        found: dict[str, Any] = orjson.loads(text)
        hits = found.get("leak_screen")
        return Line(
            id=found["id"],
            arm=found["arm"],
            shadow=bool(found.get("shadow")),
            flagged=bool(found.get("scopes")),
            outcome=found["outcome"],
            hit=None if hits is None else bool(hits),
            ms=found["total_ms"] - found.get("gate_ms", 0),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
