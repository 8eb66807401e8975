"""Metrics, their page and their dashboard: each name and label of one is in the others."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from harness import ROOT

from gateway.telemetry import metrics as metrics_module
from gateway.telemetry.metrics import Metrics

HISTOGRAM = ("_bucket", "_sum", "_count")
OURS = re.compile(r"unrecall_[a-z0-9_]+")
SCRAPED = {"job", "instance", "le"}  # labels that Prometheus or a histogram adds


def exported() -> Mapping[str, set[str]]:
    """The labels of each metric by its name on /metrics; of a histogram without what its series add."""
    metrics = Metrics()
    made = (*vars(metrics).values(), *vars(metrics.of_arms()).values())
    kinds = [one for one in made if hasattr(one, "_labelnames")]
    return {one._name + ("_total" if one._type == "counter" else ""): set(one._labelnames) for one in kinds}


def documented() -> Mapping[str, tuple[str, set[str]]]:
    """Type and labels by name, as the page has them."""
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(unrecall_\w+)` \|([^|]+)\|([^|]*)\|", page, re.MULTILINE)
    return {name: (kind.strip(), set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def board() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "deploy/grafana.json").read_text(encoding="utf-8"))
    return found


def targets() -> list[dict[str, Any]]:
    return [target for panel in board()["panels"] for target in panel.get("targets", ())]


def expressions() -> Iterator[str]:
    """Of the dashboard, and of the alerts on the page."""
    yield from (target["expr"] for target in targets())
    yield from (one["definition"] for one in board()["templating"]["list"] if "definition" in one)
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    yield from re.findall(r"^\| `([^`]*\([^`]*)` \|", page, re.MULTILINE)


def base(name: str) -> str:
    """A histogram's name out of a series'."""
    return name.removesuffix(next((end for end in HISTOGRAM if name.endswith(end)), ""))


def grouped(expression: str) -> set[str]:
    """The labels that it keeps."""
    return {label for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(", ")}


def test_every_metric_is_on_the_page_with_its_labels() -> None:
    assert {name: labels for name, (_, labels) in documented().items()} == exported()


def test_the_page_marks_what_everybody_may_see() -> None:
    marked = {name.removesuffix("_total") for name, (kind, _) in documented().items() if "*open*" in kind}
    assert marked == set(metrics_module._OPEN)


def test_the_page_has_the_types_and_names_of_the_text_that_prometheus_reads() -> None:
    metrics = Metrics()
    metrics.of_arms()
    lines = re.findall(r"^# TYPE (\w+) (\w+)$", metrics.text().decode(), re.MULTILINE)
    shown = {name: kind for name, kind in lines if not name.endswith("_created")}
    assert shown == {name: kind.partition(",")[0] for name, (kind, _) in documented().items()}


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_the_dashboard_and_the_alerts_name_what_there_is(expression: str) -> None:
    names = OURS.findall(expression)
    assert names
    for name in names:
        assert (base(name) != name) == documented()[base(name)][0].startswith("histogram"), f"{name} is no series"
    labels = set().union(*(exported()[base(name)] for name in names))
    chosen = set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", expression))
    assert grouped(expression) | chosen <= labels | SCRAPED


def test_the_dashboard_shows_every_metric() -> None:
    shown = {base(name) for target in targets() for name in OURS.findall(target["expr"])}
    assert exported().keys() == shown


def test_a_legend_names_labels_that_its_expression_keeps() -> None:
    for target in targets():
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= grouped(target["expr"])


def test_panels_have_their_own_id_and_place() -> None:
    ids = [panel["id"] for panel in board()["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for at in (panel["gridPos"] for panel in board()["panels"]):
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in cells) < 24
        assert taken.isdisjoint(cells)
        taken |= cells
