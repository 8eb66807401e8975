"""The tables that people read are the ones that the kept results give."""

from collections.abc import Callable

import pytest
from harness import ROOT

from benchmarks.attacking import table as attacking
from benchmarks.product import faults, output, speed, visibility_table
from benchmarks.product.table import headline, table


@pytest.mark.parametrize(
    ("page", "tables", "count"),
    [
        ("README.md", headline, 2),
        ("docs/results.md", table, 7),
        ("docs/performance.md", speed.tables, 5),
        ("docs/faults.md", faults.table, 2),
        ("docs/output-screen.md", output.table, 2),
        ("README.md", attacking.headline, 1),
        ("docs/threat-model.md", visibility_table.table, 2),
    ],
    ids=["README", "results", "performance", "faults", "output screen", "README, attacks", "visibility"],
)
def test_the_pages_show_what_was_measured(page: str, tables: Callable[[], str], count: int) -> None:
    shown = (ROOT / page).read_text(encoding="utf-8")
    parts = tables().split("\n\n")
    assert len(parts) == count
    for part in parts:
        assert part in shown, f"{page} has other figures: copy them from python -m {tables.__module__} (--all, --table)"


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_no_page_shows_a_table_of_arms_that_nobody_generates(page: str) -> None:
    shown = (ROOT / page).read_text(encoding="utf-8").splitlines()
    known = f"{headline()}\n{table()}".splitlines()
    assert [
        line for line in shown if line.startswith(("| tofu-", "| original |", "| o3 |")) and line not in known
    ] == []


def test_the_readme_shows_the_guardrails_and_the_two_best_weight_arms() -> None:
    arms = [line.split(" | ")[0].removeprefix("| ") for line in headline().split("\n\n")[1].splitlines()[2:]]
    assert arms == ["original", "retrain", "eco", "spul-gated", "o3", "graddiff", "npo"]
