"""What /metrics shows: sums over all workers, whichever answers, and few series of many scopes."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import ROOT
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry import metrics as metrics_module
from gateway.telemetry.audit import AuditEvent
from gateway.telemetry.metrics import REST, SHOWN_SCOPES, Metrics
from gateway.telemetry.sharing import Worker

WORKER = """
import sys
from pathlib import Path
from gateway.telemetry.audit import AuditEvent
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.sharing import Worker

metrics = Metrics(Worker(int(sys.argv[1]), Path(sys.argv[2])))
running = []
for order in sys.stdin:
    word, *rest = order.split()
    if word == "count":
        metrics.count(AuditEvent("t", "i", "chat", "m", False, "ok", 20.0, plan="Corrupt", scopes=rest, gate_ms=2.0))
    elif word == "run":
        running.append(metrics.running_one())
    print(metrics.text().decode() if word == "show" else "done", end="\\0", flush=True)
"""


class Process:
    def __init__(self, started: "subprocess.Popen[str]") -> None:
        self.started = started

    def order(self, *words: str) -> str:
        assert self.started.stdin
        assert self.started.stdout
        self.started.stdin.write(" ".join(words) + "\n")
        self.started.stdin.flush()
        said = ""
        while not said.endswith("\0"):
            said += self.started.stdout.read(1)
        return said[:-1]

    def samples(self) -> dict[str, float]:
        return samples(self.order("show"))


@contextmanager
def worker(number: int, folder: Path) -> Iterator[Process]:
    command = [sys.executable, "-c", WORKER, str(number), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as started:
        try:
            yield Process(started)
        finally:
            started.kill()


def samples(text: str) -> dict[str, float]:
    """By name and labels."""
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def flagged(text: str) -> dict[str, float]:
    found = {family.name: family for family in text_string_to_metric_families(text)}["unrecall_flagged"]
    return {one.labels["scope"]: one.value for one in found.samples if one.name.endswith("_total")}


OK = "unrecall_requests_total[('endpoint', 'chat'), ('outcome', 'ok'), ('plan', 'Corrupt')]"


def test_every_worker_tells_the_sum_and_a_dead_ones_counts_stay(tmp_path: Path) -> None:
    with worker(1, tmp_path) as one:
        with worker(2, tmp_path) as two:
            one.order("count", "narnia")
            one.order("run")
            for _ in range(3):
                two.order("count", "oz", "narnia")
            two.order("run")
            told = one.samples()
            assert told == two.samples()
            assert told[OK] == 4
            assert told["unrecall_flagged_total[('scope', 'narnia')]"] == 4
            assert told["unrecall_gate_seconds_count[]"] == told["unrecall_gate_seconds_bucket[('le', '0.0025')]"] == 4
            assert told["unrecall_num_requests_running[]"] == 2
            assert not [sample for sample in told if "pid" in sample], "a gauge is not summed"
            two.started.send_signal(signal.SIGKILL)
            two.started.wait(10)
        Worker(2, tmp_path).clear_gauges()
        assert one.samples()[OK] == 4
        assert one.samples()["unrecall_num_requests_running[]"] == 1
        with worker(2, tmp_path) as again:
            again.order("count", "oz")
            assert one.samples()[OK] == again.samples()[OK] == 5
            assert one.samples()["unrecall_num_requests_running[]"] == 1


def test_a_worker_tells_the_same_series_as_a_server_that_is_alone(tmp_path: Path) -> None:
    alone = Metrics()
    alone.count(AuditEvent("t", "i", "chat", "m", False, "ok", 20.0, plan="Corrupt", scopes=["oz"], gate_ms=2.0))
    with worker(1, tmp_path) as one:
        one.order("count", "oz")
        assert one.samples() == {
            name: value for name, value in samples(alone.text().decode()).items() if "_created[" not in name
        }


def test_ten_thousand_scopes_do_not_make_ten_thousand_series() -> None:
    metrics = Metrics()
    for number in range(10_000):
        metrics.flagged.labels(f"scope-{number}").inc(number)
    told = flagged(metrics.text().decode())
    assert len(told) == SHOWN_SCOPES + 1
    assert {name for name in told if name != REST} == {f"scope-{number}" for number in range(9_900, 10_000)}
    assert told[REST] == sum(range(9_900))


@pytest.fixture
def two_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module, "SHOWN_SCOPES", 2)


@pytest.mark.usefixtures("two_shown")
def test_no_series_of_scopes_ever_falls() -> None:
    """A counter that falls reads like a restart."""

    @given(st.lists(st.lists(st.sampled_from("abcde"), max_size=4), max_size=12))
    def scrapes(hits: list[list[str]]) -> None:
        metrics, highest, total = Metrics(), dict.fromkeys([*"abcde", REST], 0.0), 0
        for between in hits:
            for scope in between:
                metrics.flagged.labels(scope).inc()
                total += 1
            told = flagged(metrics.text().decode())
            assert all(value >= highest[scope] for scope, value in told.items())
            assert sum(told.values()) == total
            highest |= told

    scrapes()
