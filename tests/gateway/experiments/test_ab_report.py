"""The report on a comparison, from lines written by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
from harness import unrecall_here
from rich.console import Console

from gateway.errors import SetupError
from gateway.experiments.intervals import minus, quantile, rate
from gateway.experiments.report import ArmFigures, Contrast, Report, read_lines, report_on


def line(number: int, arm: str, **fields: Any) -> dict[str, Any]:
    """A flagged request of 100 ms in its arm, looked through without a hit."""
    given = {"id": str(number), "arm": arm, "scopes": ["oz"], "outcome": "ok", "gate_ms": 10.0, "total_ms": 110.0}
    return {**given, "leak_screen": [], **fields}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """40 flagged requests an arm: 2 hits on guarded and 20 on b, where an answer takes 300 ms; b fails 3 more."""
    rows = [line(n, "guarded", leak_screen=["narnia"] if n < 2 else []) for n in range(40)]
    rows += [line(100 + n, "b", total_ms=310.0, leak_screen=["classifier"] if n < 20 else []) for n in range(40)]
    failed = {"outcome": "UpstreamError", "total_ms": 9_000.0}
    rows += [{key: value for key, value in line(n, "b", **failed).items() if key != "leak_screen"} for n in range(3)]
    rows.append({"id": "x", "arm": "b", "scopes": [], "outcome": "ok", "gate_ms": 10.0, "total_ms": 310.0})
    path = tmp_path / "audit.jsonl"
    earlier = json.dumps({"id": "0", "plan": "Pass", "outcome": "ok"})
    path.write_text("\n".join([earlier, "", *map(json.dumps, rows), '{"id": "cut o']))
    return path


def report_of(*files: Path) -> Report:
    return report_on(read_lines(files)[0])


def test_lines_are_counted_by_arm(log: Path) -> None:
    lines, others = read_lines([log])
    assert (len(lines), others) == (84, 2)
    guarded, b = report_on(lines).arms
    times = [quantile([100.0] * 40, q) for q in (0.5, 0.95)]
    assert guarded == ArmFigures("guarded", False, 40, 40, 0, 40, 2, rate(2, 40), *times)
    assert (b.requests, b.flagged, b.failed, b.screened, b.hits) == (44, 43, 3, 40, 20)
    assert (b.p50_ms.value, b.p95_ms.value) == (300.0, 300.0)


def test_differences_are_of_the_arm_minus_the_guarded_one(log: Path) -> None:
    (contrast,) = report_of(log).contrasts
    fast, slow = quantile([100.0] * 40, 0.5), quantile([300.0] * 41, 0.5)
    late = minus(quantile([300.0] * 41, 0.95), quantile([100.0] * 40, 0.95))
    assert contrast == Contrast("b", False, minus(rate(20, 40), rate(2, 40)), minus(slow, fast), late)
    # by hand: 20/40 is 0.5 (0.3520 to 0.6480) and 2/40 is 0.05 (0.0138 to 0.1650)
    assert contrast.leaks.value == 0.45
    assert (contrast.leaks.low, contrast.leaks.high) == pytest.approx((0.2625, 0.6024), abs=1e-4)
    assert contrast.leaks.excludes_zero
    assert contrast.p50_ms.value == 200.0


def test_a_shadow_is_compared_over_the_requests_that_both_were_asked(tmp_path: Path) -> None:
    rows = [line(n, "guarded", total_ms=10.0 + n) for n in range(40)]
    rows += [line(n, "b", shadow=True, total_ms=500.0, gate_ms=0) for n in range(30, 40)]
    path = tmp_path / "audit.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    report = report_of(path)
    assert [(arm.arm, arm.shadow, arm.requests) for arm in report.arms] == [("guarded", False, 40), ("b", True, 10)]
    assert report.contrasts[0].p50_ms.value == 500.0 - 34.0


def test_logs_of_a_split_and_of_a_shadow_are_not_counted_together(log: Path, tmp_path: Path) -> None:
    shadow = tmp_path / "shadow.jsonl"
    shadow.write_text(json.dumps(line(1, "b", shadow=True)))
    with pytest.raises(SetupError, match="of a split and of a shadow comparison"):
        report_of(log, shadow)


def test_several_files_are_one_log(log: Path) -> None:
    assert [arm.requests for arm in report_of(log, log).arms] == [80, 88]


def test_an_arm_alone_is_compared_with_nothing_seen(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text(json.dumps(line(1, "b")))
    (contrast,) = report_of(path).contrasts
    assert not contrast.leaks.excludes_zero


def test_the_command_prints_both_tables(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.experiments.console", Console(width=200))
    said = unrecall_here("ab", "report", log)
    assert said.returncode == 0, said.stderr
    words = " ".join(said.stdout.split())
    assert "20 of 40: 50.0% (35.2% to 64.8%)" in words
    assert "+45.0 points" in words
    assert "+26.3 points to +60.2 points" in words
    assert "2 lines that name no arm were left out" in words


def test_a_log_without_a_comparison_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text('{"id": "0", "outcome": "ok"}\n[1]\nhello\n')
    said = unrecall_here("ab", "report", path)
    assert said.returncode == 2
    assert "no line names an arm" in said.stderr
    with pytest.raises(SetupError, match=r"cannot read the audit log .*gone"):
        read_lines([tmp_path / "gone"])
