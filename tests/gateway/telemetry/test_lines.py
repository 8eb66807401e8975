"""Audit lines stay whole, whoever writes beside: real processes, one file or one pipe."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from harness import ROOT

from gateway.telemetry.lines import LineHandler

PROCESSES, LINES = 4, 5000
WRITER = f"""
import logging, random, sys
from pathlib import Path
import orjson
from gateway.telemetry.lines import LineHandler
who, lock, file = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if sys.argv[3] else None
handler, sizes = LineHandler(file, lock=lock), random.Random(who)
for number in range({LINES}):
    size = sizes.choice((50, 200, 800, 4000, 4200, 10000))
    line = orjson.dumps({{"who": who, "number": number, "text": str(who) * size}}).decode()
    handler.emit(logging.LogRecord("audit", logging.INFO, "", 0, line, None, None))
"""


def writers(folder: Path, file: str, output: int) -> list[subprocess.Popen[bytes]]:
    commands = [[sys.executable, "-c", WRITER, str(who), str(folder / "lock"), file] for who in range(PROCESSES)]
    return [subprocess.Popen(command, stdout=output, cwd=ROOT) for command in commands]


def check(written: bytes) -> None:
    lines = [orjson.loads(line) for line in written.splitlines()]  # a torn line is no JSON
    for who in range(PROCESSES):
        own = [line for line in lines if line["who"] == who]
        assert [line["number"] for line in own] == list(range(LINES))
        assert all(set(line["text"]) == {str(who)} for line in own)
    assert len(lines) == PROCESSES * LINES


def test_lines_of_several_processes_in_one_file(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    log.write_bytes(b"")
    assert [writer.wait(120) for writer in writers(tmp_path, str(log), subprocess.DEVNULL)] == [0] * PROCESSES
    check(log.read_bytes())


def test_lines_of_several_processes_in_one_pipe(tmp_path: Path) -> None:
    reader, output = os.pipe()
    started = writers(tmp_path, "", output)
    os.close(output)
    with open(reader, "rb") as pipe:
        written = pipe.read()
    assert [writer.wait(120) for writer in started] == [0] * PROCESSES
    check(written)


def test_a_pipe_that_does_not_block_gets_the_whole_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, output = os.pipe()
    os.set_blocking(output, False)
    line = "x" * 200_000  # more than a pipe holds
    drain = subprocess.Popen(
        [sys.executable, "-c", "import sys; print(len(sys.stdin.read()))"], stdin=reader, stdout=-1
    )
    os.close(reader)
    with open(output, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        handler = LineHandler(None)
        handler.emit(logging.LogRecord("audit", logging.INFO, "", 0, line, None, None))
        handler.close()
    assert int(drain.communicate(timeout=60)[0]) == len(line) + 1


def test_a_file_that_is_full_fails_the_log_and_not_the_request(capsys: pytest.CaptureFixture[str]) -> None:
    handler = LineHandler(Path("/dev/full"))
    handler.emit(logging.LogRecord("audit", logging.INFO, "", 0, "a line", None, None))
    handler.close()
    assert "No space left on device" in capsys.readouterr().err


def test_a_handler_that_was_closed_opens_its_file_again(tmp_path: Path) -> None:
    """`logging.config` closes the handlers of whoever came before."""
    log = tmp_path / "audit.jsonl"
    handler = LineHandler(log, lock=tmp_path / "lock")
    for _ in range(2):
        handler.close()
        handler.emit(logging.LogRecord("audit", logging.INFO, "", 0, "a line", None, None))
    assert log.read_text() == "a line\n" * 2
