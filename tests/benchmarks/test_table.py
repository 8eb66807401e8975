"""The tables that people read are the ones that the kept results give."""

from collections.abc import Callable

import pytest
from harness import ROOT

from benchmarks.product.table import headline, table


@pytest.mark.parametrize(("page", "tables"), [("README.md", headline), ("docs/results.md", table)])
def test_the_pages_show_the_measured_figures(page: str, tables: Callable[[], str]) -> None:
    shown = (ROOT / page).read_text(encoding="utf-8")
    parts = tables().split("\n\n")
    assert len(parts) > 2
    for part in parts:
        assert part in shown, f"{page} has other figures: copy them from python -m benchmarks.product.table (--all)"
