"""A comparison as a page that a person can read: results.json becomes report.md and report.html.

aims.py judges the arms, story.py says what the report says, document.py sets it down, formats.py writes figures in
words, and drawings.py draws.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.compare.report.document import markdown, page
from benchmarks.compare.report.story import story, title_of
from benchmarks.compare.results import Results

__all__ = ["write_report"]


def write_report(found: Mapping[str, Any], folder: Path) -> None:
    """report.md and report.html in `folder`, from what results.json holds. What was not measured is printed as –."""
    results = Results.read(found)
    folder.mkdir(parents=True, exist_ok=True)
    blocks = list(story(results))
    (folder / "report.md").write_text(markdown(blocks), encoding="utf-8", errors="replace")
    (folder / "report.html").write_text(page(title_of(results), blocks), encoding="utf-8", errors="replace")
