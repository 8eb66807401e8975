"""Distinguishability: can a classifier tell the arm's answers from the retrained model's?"""

import numpy as np

from benchmarks.compare.metrics import formulas
from benchmarks.compare.metrics.evidence import Evidence
from benchmarks.compare.metrics.metric import BESIDE, CHANCE, Figure, Metric

__all__ = ["DISTINGUISHABILITY", "DISTINGUISHABILITY_AUROC"]

_KEY = "distinguishability_auroc"
DISTINGUISHABILITY_AUROC = Figure((_KEY,), CHANCE, "distinguishability AUROC", BESIDE, "{:.2f}")


def _measure(evidence: Evidence) -> float | None:
    ours, theirs = evidence.arm.part("forget"), evidence.retrained.part("forget")
    questions = [evidence.vectors[row.item.prompt] for row in ours]
    if not theirs or len(np.unique(questions, axis=0)) < 2:
        return None
    answers = ([evidence.vectors[row.reply.text] for row in rows] for rows in (ours, theirs))
    return formulas.distinguishability(questions, *answers, seed=evidence.seed)


DISTINGUISHABILITY = Metric(
    key=_KEY,
    measure=_measure,
    figures=(DISTINGUISHABILITY_AUROC,),
    explained="Distinguishability: how well a classifier on sentence embeddings tells the arm's answers from the "
    "retrained model's; .5 is chance.",
)
