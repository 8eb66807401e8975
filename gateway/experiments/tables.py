"""A comparison's report as tables for a terminal."""

import math
from collections.abc import Callable, Iterable

from rich.table import Table

from gateway.experiments.intervals import Estimate
from gateway.experiments.report import ArmFigures, Contrast, Report

__all__ = ["tables"]


def tables(report: Report) -> Iterable[Table]:
    """One of the arms, and one of their differences if there is more than one arm."""
    yield _arms(report.arms)
    if report.contrasts:
        yield _contrasts(report.contrasts)


def _arms(arms: Iterable[ArmFigures]) -> Table:
    table = Table("arm", "requests", "flagged", "failed", "leak-screen hits", "p50, ms", "p95, ms")
    for arm in arms:
        hits = f"{arm.hits} of {arm.screened}: {_words(arm.leaks, _percent)}"
        counts = (str(arm.requests), str(arm.flagged), str(arm.failed))
        table.add_row(_name(arm), *counts, hits, _words(arm.p50_ms, _ms), _words(arm.p95_ms, _ms))
    return table


def _contrasts(contrasts: Iterable[Contrast]) -> Table:
    table = Table("arm minus guarded", "difference", "95% interval", "excludes 0")
    for contrast in contrasts:
        for what, estimate, written in (
            ("leak-screen hits", contrast.leaks, _points),
            ("p50, ms", contrast.p50_ms, _ms),
            ("p95, ms", contrast.p95_ms, _ms),
        ):
            interval = f"{written(estimate.low)} to {written(estimate.high)}"
            known = math.isfinite(estimate.low) and math.isfinite(estimate.high)
            sure = "yes" if estimate.excludes_zero else "no" if known else "?"
            table.add_row(f"{_name(contrast)}: {what}", written(estimate.value), interval, sure)
    return table


def _name(of: ArmFigures | Contrast) -> str:
    return f"{of.arm} (shadow)" if of.shadow else of.arm


def _words(estimate: Estimate, written: Callable[[float], str]) -> str:
    return f"{written(estimate.value)} ({written(estimate.low)} to {written(estimate.high)})"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1%}"


def _points(value: float) -> str:
    """A difference of rates, in percentage points."""
    return f"{100 * value:+.1f} points" if math.isfinite(value) else _unknown(value)


def _ms(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else _unknown(value)


def _unknown(value: float) -> str:
    return "-" if math.isnan(value) else "?"
