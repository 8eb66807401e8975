"""Attacks: how much leaks when forgotten things are asked in each attack family's way."""

from typing import Any

from benchmarks.compare.metrics.estimates import mean, wilson
from benchmarks.compare.metrics.evidence import Evidence
from benchmarks.compare.metrics.metric import HIGHER, TOWARDS_AIM, Figure, Metric, SliceTable

__all__ = ["ATTACKS"]

_KEY = "attacks"


def _measure(evidence: Evidence) -> dict[str, Any]:
    """By slice, of the questions inside a forget request. Those outside have nothing to leak; the gate counts them."""
    slices = dict.fromkeys(row.item.slice for row in evidence.arm.part("attack"))
    rates: dict[str, Any] = {}
    for name in slices:
        rows = [row for row in evidence.arm.slice(name) if row.item.scope is not None]
        leaked = [row.leaks(row.reply.text) for row in rows]
        rates[name] = {
            "leak": mean(leaked),
            "interval": wilson(leaked),
            "probability": mean([row.probability for row in rows]),
            "flagged": mean([row.flagged for row in rows]) if evidence.gated else None,
            "n": len(rows),
        }
    return rates


ATTACKS = Metric(
    key=_KEY,
    measure=_measure,
    figures=(
        Figure((_KEY, "*", "leak"), TOWARDS_AIM, "leak", form="{:.3g}%", scale=100),
        Figure((_KEY, "*", "probability"), TOWARDS_AIM, "probability"),
        Figure((_KEY, "*", "flagged"), HIGHER, "flagged", form="{:.3g}%", scale=100),
    ),
    slices=SliceTable("Attacks", "Questions that leaked under attack, %.", {}),
)
