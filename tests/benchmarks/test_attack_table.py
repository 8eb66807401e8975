"""docs/attacks.md shows the figures that were kept, and every family that there is."""

from collections.abc import Callable

import pytest
from harness import ROOT

from benchmarks.attacking.table import cued, families, headline, tables


@pytest.mark.parametrize(("made", "count"), [(headline, 1), (cued, 1), (tables, 6), (families, 1)])
def test_the_page_shows_what_was_measured(made: Callable[[], str], count: int) -> None:
    shown = (ROOT / "docs/attacks.md").read_text(encoding="utf-8")
    parts = made().split("\n\n")
    assert len(parts) == count
    for part in parts:
        assert part in shown, "copy it from python -m benchmarks.attacking.table --all"
