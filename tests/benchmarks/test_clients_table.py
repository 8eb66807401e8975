"""The table of clients on docs/clients.md is that of the measured file."""

import json

from harness import ROOT

from benchmarks.product.clients import table


def test_the_page_shows_what_was_measured() -> None:
    record = json.loads((ROOT / "benchmarks/results/clients.json").read_text(encoding="utf-8"))
    assert table(record) in (ROOT / "docs/clients.md").read_text(encoding="utf-8")


def test_a_use_that_fails_is_told() -> None:
    uses = {"chat": {"unflagged": "ok", "flagged": "ok"}, "stream": {"unflagged": "ok", "flagged": "Error: x"}}
    shown = table({"clients": {"a": {"version": "1", "uses": uses}, "b": {"version": None, "fault": "no module"}}})
    assert shown.splitlines()[2:] == ["| a | 1 | yes | no, flagged |", "| b | no module |  |  |"]
