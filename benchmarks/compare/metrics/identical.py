"""Identical answers: what is outside every forget request must be answered as before, byte for byte."""

from typing import Any

from benchmarks.compare.metrics.estimates import mean, wilson
from benchmarks.compare.metrics.evidence import Evidence
from benchmarks.compare.metrics.metric import HIGHER, KEPT, Figure, Metric

__all__ = ["IDENTICAL", "IDENTICAL_SHARE"]

_KEY = "identical"
IDENTICAL_SHARE = Figure(
    (_KEY, "share"), HIGHER, "same as the original's, byte for byte", KEPT, "{:.1%}", n=(_KEY, "n")
)


def _measure(evidence: Evidence) -> dict[str, Any] | None:
    if evidence.original is None:
        return None
    same = [
        ours.reply.text == theirs.reply.text
        for ours, theirs in zip(evidence.arm, evidence.original, strict=True)
        if ours.item.scope is None
    ]
    return {"share": mean(same), "n": len(same), "interval": wilson(same)}


IDENTICAL = Metric(key=_KEY, measure=_measure, figures=(IDENTICAL_SHARE,))
