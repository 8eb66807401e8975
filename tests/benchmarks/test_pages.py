"""The pages about the benchmarks name what there is: files, suites and arms."""

import re

import pytest
from harness import ROOT

from benchmarks.compare.arms import arm_names
from benchmarks.compare.metrics.registry import METRICS
from benchmarks.compare.suites import SUITES

PAGES = ("docs/benchmarks.md", "docs/compare.md")


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    named = set(re.findall(r"`((?:benchmarks|gateway)/[\w./-]*)`", read(page)))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_page_names_every_suite_and_every_arm() -> None:
    page = read("docs/compare.md")
    short = {"tofu-20-forget10": "`10` | the same", "tofu-forget05": "`05`", "tofu-forget10": "`10` | all 200"}
    assert [name for name in SUITES if f"`{name}`" not in page and short.get(name, "?") not in page] == []
    assert [name for name in arm_names() if f"`{name}`" not in page] == []


def test_every_figure_in_a_table_can_be_looked_up() -> None:
    shown = [metric.key for metric in METRICS.values() if any(figure.table for figure in metric.figures)]
    unexplained = {key for key in shown if not METRICS[key].explained}
    assert unexplained <= {"mia_distance", "forget", "identical"}  # their columns say it
