"""What the arm's model still knows of the forgotten: probability, ROUGE-L, exact memorisation, extraction strength."""

from typing import Any

from benchmarks.compare.metrics import formulas
from benchmarks.compare.metrics.estimates import bootstrapped, mean
from benchmarks.compare.metrics.evidence import Evidence
from benchmarks.compare.metrics.metric import KNOWN, TOWARDS_AIM, Figure, Metric

__all__ = ["MEMORISATION", "PROBABILITY"]

_KEY = "forget"


def _figure(key: str, title: str) -> Figure:
    return Figure((_KEY, key), TOWARDS_AIM, title, KNOWN, n=(_KEY, "n"))


PROBABILITY = _figure("probability", "answer probability")


def _measure(evidence: Evidence) -> dict[str, Any]:
    rows = evidence.arm.part("forget")
    flags = [row.reply.memorised for row in rows]
    values: dict[str, list[float | None]] = {
        "probability": [row.probability for row in rows],
        "rouge_l": [row.rouge_l for row in rows],
        "exact_memorisation": [formulas.exact_memorisation(one) if one else None for one in flags],
        "extraction_strength": [formulas.extraction_strength(one) if one else None for one in flags],
    }
    return {
        **{name: mean(each) for name, each in values.items()},
        "intervals": {name: bootstrapped(each, evidence.seed) for name, each in values.items()},
        "n": len(rows),
        "refused": sum(row.refused for row in rows),
    }


MEMORISATION = Metric(
    key=_KEY,
    measure=_measure,
    figures=(
        PROBABILITY,
        _figure("rouge_l", "ROUGE-L recall"),
        _figure("exact_memorisation", "exact memorisation"),
        _figure("extraction_strength", "extraction strength"),
    ),
)
