"""Audit lines stay whole, whoever writes beside: real processes, one file or one pipe."""

import errno
import logging
import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from harness import ROOT

from gateway.telemetry.lines import LineHandler
from gateway.telemetry.verification import verify_files

PROCESSES, LINES = 4, 5000
WRITER = f"""
import logging, random, sys
from pathlib import Path
import orjson
from gateway.telemetry.lines import LineHandler
who, lock, file = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if sys.argv[3] else None
handler, sizes = LineHandler(file, lock=lock, worker=who), random.Random(who)
for number in range({LINES}):
    size = sizes.choice((50, 200, 800, 4000, 4200, 10000))
    line = orjson.dumps({{"who": who, "number": number, "text": str(who) * size}}).decode()
    handler.emit(logging.LogRecord("audit", logging.INFO, "", 0, line, None, None))
handler.close()
"""


def writers(folder: Path, file: str, output: int) -> list[subprocess.Popen[bytes]]:
    commands = [[sys.executable, "-c", WRITER, str(who), str(folder / "lock"), file] for who in range(PROCESSES)]
    return [subprocess.Popen(command, stdout=output, cwd=ROOT) for command in commands]


def check(log: Path, *, chains: int) -> None:
    every = [orjson.loads(line) for line in log.read_bytes().splitlines()]  # a torn line is no JSON
    lines = [line for line in every if "audit" not in line]
    found = verify_files([log])
    assert (found.problem, len(found.ends), found.lines) == ("", chains, len(every))
    assert sum(line.get("audit") == "closed" for line in every) == PROCESSES
    for who in range(PROCESSES):
        own = [line for line in lines if line["who"] == who]
        assert [line["number"] for line in own] == list(range(LINES))
        assert all(set(line["text"]) == {str(who)} for line in own)
    assert len(lines) == PROCESSES * LINES


def test_lines_of_several_processes_in_one_file(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    log.write_bytes(b"")
    assert [writer.wait(120) for writer in writers(tmp_path, str(log), subprocess.DEVNULL)] == [0] * PROCESSES
    check(log, chains=1)


def test_lines_of_several_processes_in_one_pipe(tmp_path: Path) -> None:
    reader, output = os.pipe()
    started = writers(tmp_path, "", output)
    os.close(output)
    with open(reader, "rb") as pipe:
        (tmp_path / "audit.jsonl").write_bytes(pipe.read())
    assert [writer.wait(120) for writer in started] == [0] * PROCESSES
    check(tmp_path / "audit.jsonl", chains=PROCESSES)


def test_a_pipe_that_does_not_block_gets_the_whole_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, output = os.pipe()
    os.set_blocking(output, False)
    line = orjson.dumps({"text": "x" * 200_000}).decode()  # more than a pipe holds
    counts = "import sys; print(*(len(line) for line in sys.stdin))"
    drain = subprocess.Popen([sys.executable, "-c", counts], stdin=reader, stdout=-1)
    os.close(reader)
    with open(output, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        handler = LineHandler(None)
        handler.emit(logging.LogRecord("audit", logging.INFO, "", 0, line, None, None))
        handler.close()
    opened, written, closed = map(int, drain.communicate(timeout=60)[0].split())
    assert opened < 512
    assert len(line) < written < len(line) + 300
    assert closed < 512


def emit(handler: LineHandler, number: int) -> None:
    handler.handle(logging.LogRecord("audit", logging.INFO, "", 0, f'{{"id":"{number}"}}', None, None))


def ids(log: Path) -> list[str]:
    return [line["id"] for line in map(orjson.loads, log.read_text().splitlines()) if "id" in line]


def test_a_handler_that_was_closed_opens_its_file_again(tmp_path: Path) -> None:
    """`logging.config` closes the handlers of whoever came before."""
    log = tmp_path / "audit.jsonl"
    handler = LineHandler(log, lock=tmp_path / "lock")
    for number in range(2):
        handler.close()
        emit(handler, number)
    assert ids(log) == ["0", "1"]
    assert not verify_files([log]).problem


class Disk:
    """Stands between the log and the disk: takes `room` bytes more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = 10**9
        self._write = os.write
        monkeypatch.setattr("gateway.telemetry.lines.os.write", self.write)
        monkeypatch.setattr("gateway.telemetry.lines._RETRY_S", 0)

    def write(self, output: int, data: memoryview) -> int:
        taken = min(len(data), self.room)
        if not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= taken
        return self._write(output, data[:taken])


@pytest.mark.parametrize("room", [0, 20, 150])
def test_a_full_disk_is_told_and_no_line_is_lost_or_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, room: int
) -> None:
    disk, log = Disk(monkeypatch), tmp_path / "audit.jsonl"
    handler = LineHandler(log)
    emit(handler, 0)
    disk.room = room
    for number in (1, 2):
        emit(handler, number)
    assert "No space left on device" in (handler.problem() or "")
    assert caplog.text.count("No space left on device") == 1
    assert ids(log) == ["0"]
    assert log.read_bytes().endswith(b"\n"), "nothing of a line that did not fit is left"
    disk.room = 10**9
    assert handler.problem() is None
    emit(handler, 3)
    assert ids(log) == ["0", "1", "2", "3"]
    assert not verify_files([log]).problem


def test_lines_that_no_longer_fit_in_memory_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.telemetry.lines._KEPT", 3)
    disk, log = Disk(monkeypatch), tmp_path / "audit.jsonl"
    handler = LineHandler(log)
    disk.room = 0
    for number in range(5):
        emit(handler, number)
    disk.room = 10**9
    assert handler.problem() is None
    assert ids(log) == ["2", "3", "4"]
    assert [
        line["lines"] for line in map(orjson.loads, log.read_text().splitlines()) if line.get("audit") == "lost"
    ] == [2]
    assert "lines were lost" in verify_files([log]).notes[0]


def test_a_file_that_is_full_at_the_start_is_an_error() -> None:
    with pytest.raises(OSError, match="No space left"):
        LineHandler(Path("/dev/full"))
