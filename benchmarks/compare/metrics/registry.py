"""Every metric by its key. A new metric is a file here and a line in `_BUILT_IN`."""

from collections.abc import Mapping
from types import MappingProxyType

from benchmarks.compare.metrics.attacks import ATTACKS
from benchmarks.compare.metrics.distinguishability import DISTINGUISHABILITY
from benchmarks.compare.metrics.fluency import RELEVANCE, REPETITION, REPETITION_OF_THE_RETRAINED
from benchmarks.compare.metrics.forget_quality import FORGET_QUALITY
from benchmarks.compare.metrics.gate import GATE
from benchmarks.compare.metrics.identical import IDENTICAL
from benchmarks.compare.metrics.leaks import LEAKS
from benchmarks.compare.metrics.membership import MEMBERSHIP, MEMBERSHIP_DISTANCE
from benchmarks.compare.metrics.memorisation import MEMORISATION
from benchmarks.compare.metrics.metric import BESIDE, KEPT, KNOWN, Figure, Metric
from benchmarks.compare.metrics.utility import UTILITY

__all__ = ["METRICS", "register", "tables"]

# in the order in which the report shows them
_BUILT_IN = (
    FORGET_QUALITY,
    DISTINGUISHABILITY,
    MEMBERSHIP,
    MEMBERSHIP_DISTANCE,
    MEMORISATION,
    LEAKS,
    UTILITY,
    IDENTICAL,
    REPETITION,
    REPETITION_OF_THE_RETRAINED,
    RELEVANCE,
    ATTACKS,
    GATE,
)
_metrics = {metric.key: metric for metric in _BUILT_IN}
METRICS: Mapping[str, Metric] = MappingProxyType(_metrics)
"""Every metric by its key, those of `register` included."""


def register(metric: Metric) -> Metric:
    """Adds a metric from outside this package: summaries hold it and reports show it from then on. Returns it.

    Raises ValueError if another metric has that key.
    """
    if metric.key in _metrics:
        raise ValueError(f"there is a metric {metric.key!r} already; give yours another key")
    _metrics[metric.key] = metric
    return metric


def tables() -> dict[str, tuple[Figure, ...]]:
    """The figures of each table of the report, by the table's title."""
    figures = [figure for metric in METRICS.values() for figure in metric.figures]
    titles = dict.fromkeys((BESIDE, KNOWN, KEPT, *(figure.table for figure in figures if figure.table)))
    return {title: tuple(figure for figure in figures if figure.table == title) for title in titles}
