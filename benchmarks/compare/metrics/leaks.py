"""Leaks: does an answer to a forgotten question give the fact away, greedily or in any of k samples?"""

from typing import Any

from benchmarks.compare.metrics import formulas
from benchmarks.compare.metrics.estimates import mean, wilson
from benchmarks.compare.metrics.evidence import Evidence
from benchmarks.compare.metrics.metric import KNOWN, TOWARDS_AIM, Figure, Metric

__all__ = ["LEAKS", "LEAK_RATES"]

_KEY = "leak"
_SAMPLES = (1, 8, 32)
LEAK_RATES = tuple(
    Figure((_KEY, key), TOWARDS_AIM, f"leak, {title}", KNOWN, "{:.1%}", n=(_KEY, "n"))
    for key, title in {"greedy": "greedy", **{f"at_{k}": f"@{k}" for k in _SAMPLES}}.items()
)


def _measure(evidence: Evidence) -> dict[str, Any]:
    rows = evidence.arm.part("forget")
    sampled = [[row.leaks(text) for text in row.reply.samples] for row in rows]
    samples = min(map(len, sampled), default=0)
    flags = {"greedy": [row.leaks(row.reply.text) for row in rows]}
    for k in _SAMPLES:
        flags[f"at_{k}"] = [formulas.leak_at_k(one, k) for one in sampled] if k <= samples else []
    return {
        **{name: mean(each) for name, each in flags.items()},
        "intervals": {name: wilson(each) for name, each in flags.items()},
        "n": len(rows),
        "samples": samples,
    }


LEAKS = Metric(
    key=_KEY,
    measure=_measure,
    figures=LEAK_RATES,
    explained="Leak @k: at least one of k sampled answers gives half of the salient words away.",
)
