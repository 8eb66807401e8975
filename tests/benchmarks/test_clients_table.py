"""The tables of clients and programs on docs/clients.md are those of the measured files."""

import json

from harness import ROOT

from benchmarks.product import programs
from benchmarks.product.clients import table


def test_the_page_shows_what_was_measured() -> None:
    record = json.loads((ROOT / "benchmarks/results/clients.json").read_text(encoding="utf-8"))
    assert table(record) in (ROOT / "docs/clients.md").read_text(encoding="utf-8")


def test_the_page_shows_what_became_of_programs() -> None:
    record = json.loads((ROOT / "benchmarks/results/programs.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs/clients.md").read_text(encoding="utf-8")
    assert programs.table(record) in page
    assert programs.suite_table(record) in page


def test_what_a_suite_skips_does_not_count() -> None:
    gateway = {"a": "passed", "b": "failed: no image", "c": "skipped"}
    shown = programs.suite_table({"llm-comply": {"chat": {"gateway": gateway, "direct": {"a": "passed"}}}})
    assert shown.splitlines()[2:] == ["| chat | 1 of 2 | 1 of 1 | b |"]


def test_a_use_that_fails_is_told() -> None:
    uses = {"chat": {"unflagged": "ok", "flagged": "ok"}, "stream": {"unflagged": "ok", "flagged": "Error: x"}}
    shown = table({"clients": {"a": {"version": "1", "uses": uses}, "b": {"version": None, "fault": "no module"}}})
    assert shown.splitlines()[2:] == ["| a | 1 | yes | no, flagged |", "| b | no module |  |  |"]
