"""Repetition and relevance: how answers to forgotten questions read, beside the retrained model's."""

from typing import Any

from benchmarks.compare.metrics import formulas
from benchmarks.compare.metrics.estimates import bootstrapped, mean
from benchmarks.compare.metrics.evidence import Answers, Evidence
from benchmarks.compare.metrics.metric import AIM, KEPT, Figure, Metric
from gateway.evaluation.leaks import repetition

__all__ = ["RELEVANCE", "RELEVANCE_VALUE", "REPETITION", "REPETITION_OF_THE_RETRAINED", "REPETITION_VALUE"]

REPETITION_VALUE = Figure(("repetition",), AIM, "repetition", KEPT, n=("forget", "n"))
RELEVANCE_VALUE = Figure(("relevance", "value"), AIM, "relevance", KEPT, n=("relevance", "n"))


def _repetition(answers: Answers) -> float | None:
    return mean([repetition(row.reply.text) for row in answers.part("forget")])


def _relevance(evidence: Evidence) -> dict[str, Any]:
    vectors = evidence.vectors
    ours, theirs = (
        [formulas.relevance(vectors[row.item.prompt], vectors[row.reply.text]) for row in answers.part("forget")]
        for answers in (evidence.arm, evidence.retrained)
    )
    return {
        "value": mean(ours),
        "retrained": mean(theirs),
        "interval": bootstrapped(ours, evidence.seed),
        "n": len(ours),
    }


REPETITION = Metric(
    key="repetition",
    measure=lambda evidence: _repetition(evidence.arm),
    figures=(REPETITION_VALUE,),
    explained="Repetition: the share of an answer's word pairs that stood in it before.",
)
REPETITION_OF_THE_RETRAINED = Metric(
    key="repetition_retrained", measure=lambda evidence: _repetition(evidence.retrained)
)
RELEVANCE = Metric(
    key="relevance",
    measure=_relevance,
    figures=(RELEVANCE_VALUE,),
    explained="Relevance: how near in meaning an answer is to its question.",
)
