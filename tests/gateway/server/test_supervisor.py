"""What the supervisor does when a process dies: the first one before it serves, or another one later."""

import multiprocessing
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from standins import with_parts

from gateway.errors import SetupError
from gateway.server import workers
from gateway.server.workers import _Slot, _Supervisor
from gateway.settings import Settings
from gateway.telemetry.sharing import Worker


class Dead:
    """A process that has ended, before or after it served."""

    def __init__(self, *, ready: bool) -> None:
        self.ready = ready
        self.why = "" if ready else "the upstream cannot be reached"

    def status(self) -> int:
        return -9


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Worker]:
    """The workers that were started; none really is. The clock stands at 1,000 s."""
    found: list[Worker] = []
    monkeypatch.setattr(workers, "_Running", lambda _, worker, __: found.append(worker) or Dead(ready=True))
    monkeypatch.setattr(workers, "time", with_parts(time, monotonic=lambda: 1000.0))
    return found


def test_one_that_served_is_replaced_at_once(tmp_path: Path, started: list[Worker]) -> None:
    slot, none = _Slot(Worker(2, tmp_path)), Any
    slot.empty(Dead(ready=True))  # type: ignore[arg-type]
    slot.fill(none, none)  # type: ignore[arg-type]
    assert started == [Worker(2, tmp_path)]


def test_one_that_cannot_start_is_tried_less_and_less_often(tmp_path: Path, started: list[Worker]) -> None:
    slot, pauses, none = _Slot(Worker(2, tmp_path)), [], Any
    for _ in range(6):
        slot.empty(Dead(ready=False))  # type: ignore[arg-type]
        pauses.append(slot.due - 1000)
        slot.fill(none, none)  # type: ignore[arg-type]
    assert pauses == [2, 4, 8, 16, 30, 30]
    assert started == [], "the pauses are not over"
    slot.empty(Dead(ready=True))  # type: ignore[arg-type]
    assert slot.due == 1000, "a start that succeeds ends the pauses"


def test_a_dead_workers_gauges_are_taken_out(tmp_path: Path, started: list[Worker]) -> None:
    for name in ("gauge_livesum_1.db", "gauge_livesum_2.db", "counter_2.db"):
        (tmp_path / name).write_bytes(b"")
    _Slot(Worker(2, tmp_path)).empty(Dead(ready=True))  # type: ignore[arg-type]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counter_2.db", "gauge_livesum_1.db"]


@contextmanager
def first_that_dies(why: str, status: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Supervisor]:
    """A supervisor whose first worker ends with this status before it serves; it starts no other."""
    told, _teller = multiprocessing.Pipe(duplex=False)
    ended, end = socket.socketpair()
    end.close()  # readable, as the sentinel of a dead process
    process = SimpleNamespace(sentinel=ended.fileno(), terminate=lambda: None, join=lambda _: None, exitcode=status)
    dead = SimpleNamespace(process=process, speaking=[], ready=False, why=why, status=lambda: status)
    started: list[Worker] = []
    monkeypatch.setattr(workers, "_Running", lambda _, worker, __: started.append(worker) or dead)
    with ended, told, _teller:
        yield _Supervisor(Settings(workers=4), ended, folder, told)
    assert [worker.number for worker in started] == [1]


def test_what_keeps_the_first_one_from_starting_is_the_supervisors_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        first_that_dies("pack 'oz' is torn", 2, tmp_path, monkeypatch) as supervisor,
        pytest.raises(SetupError, match="pack 'oz' is torn"),
    ):
        supervisor.run()


@pytest.mark.parametrize(("status", "exit_status"), [(3, 3), (1, 1), (-9, 1), (0, 1)])
def test_a_first_one_that_dies_without_a_word_is_a_failed_start(
    status: int, exit_status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        first_that_dies("", status, tmp_path, monkeypatch) as supervisor,
        pytest.raises(SystemExit) as ended,
    ):
        supervisor.run()
    assert ended.value.code == exit_status
