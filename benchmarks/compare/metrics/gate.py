"""Errors of the gate, slice by slice: what it missed inside a forget request, what it flagged outside all of them."""

from collections.abc import Sequence
from typing import Any

from benchmarks.compare.metrics import formulas
from benchmarks.compare.metrics.estimates import mean, wilson
from benchmarks.compare.metrics.evidence import Evidence
from benchmarks.compare.metrics.metric import LOWER, Figure, Metric, SliceTable

__all__ = ["GATE"]

_KEY = "gate"


def _measure(evidence: Evidence) -> dict[str, Any] | None:
    """Rates at the deployed threshold: false negatives of what is inside a forget request, else false positives. Of a
    slice that holds both, what is outside has an entry of its own. None for an arm without a gate."""
    if not evidence.gated:
        return None
    rates: dict[str, Any] = {}
    for name in dict.fromkeys(row.item.slice for row in evidence.arm):
        rows = evidence.arm.slice(name)
        inside = [row.flagged for row in rows if row.item.scope is not None]
        outside = [row.flagged for row in rows if row.item.scope is None]
        if inside:
            passed = [not flag for flag in inside]
            rates[name] = _error_rate("fnr", formulas.false_negative_rate(inside), inside, passed)
        if outside:
            entry = f"{name}, outside" if inside else name
            rates[entry] = _error_rate("fpr", formulas.false_positive_rate(outside), outside, outside)
    return rates


def _error_rate(kind: str, rate: float, flagged: Sequence[bool], errors: Sequence[bool]) -> dict[str, Any]:
    return {"kind": kind, "rate": rate, "interval": wilson(errors), "flagged": mean(flagged), "n": len(flagged)}


GATE = Metric(
    key=_KEY,
    measure=_measure,
    figures=(Figure((_KEY, "*", "rate"), LOWER, "rate", form="{:.3g}%", scale=100),),
    slices=SliceTable("Errors of the gate", "Errors of the gate, %.", {"fnr": "missed", "fpr": "false alarms"}),
)
