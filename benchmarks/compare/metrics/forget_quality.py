"""Forget quality: can the arm's truth ratios be told from the retrained model's?"""

import dataclasses
from typing import Any

from benchmarks.compare.metrics import formulas
from benchmarks.compare.metrics.estimates import all_known
from benchmarks.compare.metrics.evidence import Answers, Evidence
from benchmarks.compare.metrics.metric import BESIDE, HIGHER, Figure, Metric

__all__ = ["FORGET_QUALITY", "RAW_P", "ROWS"]

_KEY = "forget_quality"
ROWS = (_KEY, "n"), (_KEY, "n_retrained")
"""Where a summary holds how many truth ratios are compared, with how many of the retrained model's."""
RAW_P = Figure((_KEY, "raw_p"), HIGHER, "forget quality, raw p", BESIDE, "{:.2g}", n=ROWS[0])


def _measure(evidence: Evidence) -> dict[str, Any] | None:
    ours, theirs = _ratios(evidence.arm), _ratios(evidence.retrained)
    return dataclasses.asdict(formulas.forget_quality(ours, theirs)) if ours and theirs else None


def _ratios(answers: Answers) -> list[float]:
    return all_known([row.ratio for row in answers.part("forget") if row.item.perturbed])


FORGET_QUALITY = Metric(
    key=_KEY,
    measure=_measure,
    figures=(
        RAW_P,
        Figure((_KEY, "eco_compatible_p"), HIGHER, "ECO-compatible p", BESIDE, "{:.2g}", n=ROWS[0]),
    ),
    explained="Forget quality: a p-value. It is near 1 if the arm's truth ratios are distributed as the retrained "
    "model's, and near 0 if the two can be told apart. ECO-compatible: of folded truth ratios, as ECO's code has it.",
)
