"""A metric is one registration: its figure is in the summary, and the report shows and explains it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.compare.core import ForgetRequest, Reply, Suite
from benchmarks.compare.metrics import registry
from benchmarks.compare.metrics.estimates import mean
from benchmarks.compare.metrics.evidence import Evidence
from benchmarks.compare.metrics.metric import AIM, KEPT, LOWER, Figure, Metric, SliceTable
from benchmarks.compare.metrics.registry import METRICS, register
from benchmarks.compare.metrics.summary import lines, summarise
from benchmarks.compare.report import write_report
from benchmarks.items import Item
from gateway.core import Message


def words(evidence: Evidence) -> float | None:
    return mean([len(row.reply.text.split()) for row in evidence.arm.part("forget")])


def shouts(evidence: Evidence) -> dict[str, dict[str, float | int | None]]:
    rows = evidence.arm.part("forget")
    return {"forget": {"share": mean([row.reply.text.isupper() for row in rows]), "n": len(rows)}}


LENGTH = Metric(
    key="answer_words",
    measure=words,
    figures=(Figure(("answer_words",), AIM, "words an answer", KEPT, "{:.1f}", n=("forget", "n")),),
    explained="Words an answer: the mean length of the answers to forgotten questions.",
)
SHOUTING = Metric(
    key="shouting",
    measure=shouts,
    figures=(Figure(("shouting", "*", "share"), LOWER, "share", form="{:.0f}%", scale=100),),
    slices=SliceTable("Shouting", "Answers in capitals, %.", {}),
)


@pytest.fixture
def registered() -> Iterator[None]:
    known = dict(registry._metrics)
    register(LENGTH)
    register(SHOUTING)
    yield
    registry._metrics.clear()
    registry._metrics.update(known)


def summary() -> dict[str, object]:
    items = tuple(
        Item(name, "forget", (Message("user", f"question {name}"),), "the answer", scope="ada") for name in "ab"
    )
    replies = [Reply("a", "Pass", "ONE TWO THREE"), Reply("b", "Pass", "one two three four")]
    suite = Suite("small", (), (), (), ForgetRequest("nobody", "", (), (), ()), (), items)
    return summarise(suite, replies, None, original=None, embed=lambda texts: [(1.0,)] * len(texts), seed=0)


@pytest.mark.usefixtures("registered")
def test_a_metric_from_outside_is_measured_shown_and_explained(tmp_path: Path) -> None:
    found = summary()
    assert found["answer_words"] == 3.5
    assert "answer_words: 3.5 (the aim is the retrained model's)" in lines(found)
    write_report(json.loads(json.dumps({"arms": {"eco": {"summary": found}}})), tmp_path)
    report = (tmp_path / "report.md").read_text("utf-8")
    assert "words an answer ≈ (n 2)" in report
    assert "| 3.5 |" in report
    assert "Words an answer: the mean length" in report
    assert "## Shouting" in report
    assert "| forget (n 2) | 50% |" in report


@pytest.mark.usefixtures("registered")
def test_a_key_belongs_to_one_metric() -> None:
    with pytest.raises(ValueError, match="'answer_words' already"):
        register(LENGTH)


def test_a_summary_holds_every_metric_under_its_key() -> None:
    found = summary()
    assert set(METRICS) <= set(found)
    assert "answer_words" not in found
    assert all(figure.path[0] == key for key, metric in METRICS.items() for figure in metric.figures)


def test_a_figure_in_a_table_has_a_title() -> None:
    assert all(figure.title for metric in METRICS.values() for figure in metric.figures if figure.table)
