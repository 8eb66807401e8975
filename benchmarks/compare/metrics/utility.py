"""Model utility: TOFU's nine parts on what is to be kept and on the world."""

from typing import Any

from benchmarks.compare.metrics import formulas
from benchmarks.compare.metrics.estimates import mean
from benchmarks.compare.metrics.evidence import Evidence
from benchmarks.compare.metrics.metric import HIGHER, KEPT, Figure, Metric

__all__ = ["PARTS", "UTILITY", "UTILITY_VALUE"]

_KEY = "utility"
PARTS = (_KEY, "parts")
"""Where a summary holds the parts by name."""
UTILITY_VALUE = Figure((_KEY, "value"), HIGHER, "model utility", KEPT)


def _measure(evidence: Evidence) -> dict[str, Any]:
    """Of a suite that lacks one of the three slices, the harmonic mean of the parts that it has."""
    slices = {name: evidence.arm.slice(name) for name in formulas.UTILITY_SLICES}
    parts: dict[str, float | None] = {}
    for name, rows in slices.items():
        parts[f"{name}_probability"] = mean([row.probability if name == "retain" else row.choice for row in rows])
        parts[f"{name}_rouge_l_recall"] = mean([row.rouge_l for row in rows])
        parts[f"{name}_truth"] = mean([row.truth for row in rows])
    known = {name: value for name, value in parts.items() if value is not None}
    return {
        "value": formulas.model_utility(known) if known and len(known) == 3 * sum(map(bool, slices.values())) else None,
        "of_parts": len(known),
        "parts": parts,
        "n": {name: len(rows) for name, rows in slices.items()},
        "refused": {name: sum(row.refused for row in rows) for name, rows in slices.items()},
    }


UTILITY = Metric(
    key=_KEY,
    measure=_measure,
    figures=(UTILITY_VALUE, Figure((*PARTS, "*"), HIGHER)),
    explained="Model utility: the harmonic mean of probability, ROUGE-L and truth ratio on what is to be kept and on "
    "the world.",
)
