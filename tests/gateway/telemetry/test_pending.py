"""Requests of a process that was killed get their lines, once."""

import resource
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from harness import ROOT

from gateway.telemetry.pending import Pending, account_for_killed

FIELDS = {"time": "2026-11-27T00:00:00Z", "endpoint": "chat", "model": "m", "stream": False}
KILLED = f"""
import os, signal, sys
from pathlib import Path
from gateway.telemetry.pending import Pending
pending = Pending(Path(sys.argv[1]))
slots = [pending.begin({{**{FIELDS!r}, "id": f"request-{{number}}"}}) for number in range(4)]
pending.end(slots[1])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    file = tmp_path / "audit.jsonl"
    file.write_text("")
    return file


def owed(audit: Path) -> list[str]:
    lines: list[str] = []
    account_for_killed(audit, lines.append)
    found = [orjson.loads(line) for line in lines]
    assert all(line["outcome"] == "killed" for line in found)
    return [line["id"] for line in found]


def notes(audit: Path) -> list[Path]:
    return list(audit.parent.glob("audit.jsonl.open-*"))


def test_what_a_killed_process_had_taken_is_accounted_for_once(audit: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(audit)], cwd=ROOT, check=False)
    assert ended.returncode < 0
    audit.write_text('{"id":"request-2","outcome":"ok"}\n')  # killed between its line and its note
    assert owed(audit) == ["request-0", "request-3"]
    assert (owed(audit), notes(audit)) == ([], [])


def test_a_process_that_lives_is_left_alone(audit: Path) -> None:
    pending = Pending(audit)
    slot = pending.begin({**FIELDS, "id": "a"})
    assert owed(audit) == []
    pending.end(slot)
    pending.close()
    assert notes(audit) == []


def test_what_is_left_at_the_end_waits_for_the_next_start(audit: Path) -> None:
    pending = Pending(audit)
    slot = pending.begin({**FIELDS, "id": "a"})
    pending.close()
    pending.end(slot)  # too late
    assert owed(audit) == ["a"]


@pytest.mark.parametrize("model", ["x" * 5_000, "\U0001f600" * 5_000, '"\\' * 500, ""])
def test_a_name_of_any_length_is_noted(audit: Path, model: str) -> None:
    pending = Pending(audit)
    pending.begin({**FIELDS, "id": "a", "model": model})
    pending.begin({**FIELDS, "id": "b"})
    pending.close()
    assert owed(audit) == ["a", "b"]


def test_more_than_there_is_room_for_are_not_all_noted(audit: Path) -> None:
    pending = Pending(audit)
    slots = [pending.begin({**FIELDS, "id": str(number)}) for number in range(5_000)]
    assert slots.count(None) == 5_000 - 4_096
    for slot in slots:
        pending.end(slot)
    assert pending.begin({**FIELDS, "id": "again"}) is not None


def test_the_room_on_the_disk_is_taken_before_a_request_needs_it(audit: Path) -> None:
    """A full disk would kill the process when a page is written to for the first time."""
    pending = Pending(audit)
    (file,) = notes(audit)
    assert file.stat().st_blocks * 512 >= file.stat().st_size > 0
    pending.close()


def test_a_disk_without_room_leaves_no_file(audit: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            Pending(audit)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert notes(audit) == []


@pytest.mark.parametrize("content", [b"", b"\x01" * 600, b"{" * 600, b"{}", b'{"id":1}'])
def test_a_file_of_something_else_does_no_harm(audit: Path, content: bytes) -> None:
    audit.with_name("audit.jsonl.open-1-x").write_bytes(content)
    owed(audit)
