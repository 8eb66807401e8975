"""What a metric is: a key of the summary, a function from an arm's answers to it, and how its figures are shown."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.compare.metrics.evidence import Evidence
from benchmarks.compare.results import ArmResult

__all__ = ["AIM", "BESIDE", "CHANCE", "HIGHER", "KEPT", "KNOWN", "LOWER", "TOWARDS_AIM", "ZERO", "Better", "Figure"]
__all__ += ["Metric", "SliceTable", "slices_of"]


@dataclass(frozen=True, slots=True)
class Better:
    """Which way a figure is better: the sign of the report's tables, and in words."""

    sign: str
    words: str


HIGHER = Better("↑", "higher is better")
LOWER = Better("↓", "lower is better")
AIM = Better("≈", "the aim is the retrained model's")
TOWARDS_AIM = Better("↓", f"{LOWER.words}, and {AIM.words}")
ZERO = Better("↓", f"{LOWER.words}, 0 is the aim")
CHANCE = Better("↓", ".5 is the aim, below it is chance")

# the tables of the report, in their order
BESIDE = "Beside the retrained model"
KNOWN = "What is still known of the forgotten"
KEPT = "What is kept, and how answers about the forgotten read"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a summary.

    Args:
        path: keys from the summary down to the number; "*" stands for any slice or part.
        better: which way it is better.
        title: the head of its column in the report.
        table: the report's table that shows it, one of those above; a figure without one is not in a table.
        form: how the number is written, after `scale` is multiplied in.
        scale: 100 where `form` writes per cent.
        n: the path of the number of rows behind the figure; the column's head shows it.
    """

    path: tuple[str, ...]
    better: Better
    title: str = ""
    table: str = ""
    form: str = "{:.3f}"
    scale: float = 1.0
    n: tuple[str, ...] = ()

    def of(self, arm: ArmResult) -> float | None:
        return arm.figure(self.path)

    def head(self, arms: Iterable[ArmResult]) -> str:
        """The head of the column: title, sign, and rows."""
        sizes = sorted({f"{n:g}" for arm in arms if self.n and (n := arm.figure(self.n)) is not None})
        return f"{self.title} {self.better.sign}" + (f" (n {' or '.join(sizes)})" if sizes else "")

    def shown(self, value: float | None) -> str:
        return "–" if value is None else self.form.format(self.scale * value)


@dataclass(frozen=True, slots=True)
class SliceTable:
    """A section of the report for a metric that has figures for every slice: a heat map of the first figure, with its
    `caption`, and a table of each. `kinds` gives words for the value of a slice's key "kind"."""

    heading: str
    caption: str
    kinds: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: what results.json holds under `key` in an arm's summary.

    Args:
        key: its key.
        measure: gives the JSON value: a number, an object, or None where the answers do not tell it.
        figures: the numbers in it that people read.
        explained: one sentence or two for the report's "How to read the figures".
        slices: its section of the report, if it has figures for every slice.

    Example, a file of its own in this folder, with a line in registry.py:

        def _measure(evidence: Evidence) -> float | None:
            return mean([len(row.reply.text.split()) for row in evidence.arm.part("forget")])

        LENGTH = Metric(
            key="answer_words",
            measure=_measure,
            figures=(Figure(("answer_words",), AIM, "words an answer", KEPT, "{:.1f}", n=("forget", "n")),),
            explained="Words an answer: the mean length of the answers to forgotten questions.",
        )
    """

    key: str
    measure: Callable[[Evidence], Any]
    figures: tuple[Figure, ...] = ()
    explained: str = ""
    slices: SliceTable | None = None


def slices_of(arms: Mapping[str, ArmResult], metric: Metric) -> dict[str, dict[str, Mapping[str, Any]]]:
    """By slice, the figures of each arm that has some for a metric with slices."""
    kinds = metric.slices.kinds if metric.slices else {}
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, arm in arms.items():
        for at, rates in arm.slices(metric.key).items():
            kind = kinds.get(str(rates.get("kind")), "")
            row = at.removeprefix("attack/") + (f": {kind}" if kind else "")
            found.setdefault(row, {})[name] = rates
    return found
