"""The audit log's hash chain: `unrecall audit verify` says which line was changed, moved or taken out."""

import logging
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from harness import unrecall_here
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.telemetry.chain import Chain
from gateway.telemetry.lines import LineHandler
from gateway.telemetry.verification import verify_files

KEY = "of the operator"
Lines = list[bytes]


def write(
    log: Path, numbers: range, *, key: str | None = None, lock: Path | None = None, close: bool = True
) -> LineHandler:
    handler = LineHandler(log, key=key.encode() if key else None, lock=lock)
    for number in numbers:
        text = orjson.dumps({"id": f"request-{number}", "plan": "Corrupt", "total_ms": 1.5}).decode()
        handler.handle(logging.LogRecord("audit", logging.INFO, "", 0, text, None, None))
    if close:
        handler.close()
    return handler


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Ten requests: line 1 says that the log was opened, line 12 that it was closed."""
    path = tmp_path / "audit.jsonl"
    write(path, range(10))
    return path


def edit(log: Path, change: Callable[[Lines], Lines]) -> None:
    log.write_bytes(b"".join(change(log.read_bytes().splitlines(keepends=True))))


def test_what_was_written_is_right(log: Path) -> None:
    assert log.read_bytes().count(b"\n") == 12
    shown = unrecall_here("audit", "verify", log)
    assert shown.returncode == 0
    assert shown.stdout.startswith("ok: 12 lines in 1 chain")
    last = orjson.loads(log.read_bytes().splitlines()[-1])
    assert f"ends with number 12, digest {last['hash']}" in shown.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [*lines[:4], *lines[5:]], "before {} line 5, number 5 of chain"),
        (lambda lines: [*lines[:4], *lines[8:]], "before {} line 5, numbers 5 to 8 of chain"),
        (lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]], "before {} line 5, number 5 of chain"),
        (lambda lines: [*lines[:5], lines[4], *lines[5:]], "{} line 6 is number 5 of chain"),
        (lambda lines: [*lines, lines[3]], "{} line 13 is number 4 of chain"),
        (lambda lines: [line.replace(b"request-4", b"request-5") for line in lines], "{} line 6 was changed"),
        (lambda lines: [line.replace(b'"plan":', b'"plan": ') for line in lines], "{} line 2 was changed"),
        (lambda lines: [*lines[:7], b'{"id":"mine"}\n', *lines[7:]], "{} line 8 is no whole line"),
        (lambda lines: [*lines[:-1], lines[-1][:-1]], "{} line 12 is no whole line"),
        (lambda lines: [*lines[:-1], lines[-1][:40]], "{} line 12 is no whole line"),
        (lambda lines: [*lines[:3], b"\n", *lines[3:]], "{} line 4 is no whole line"),
    ],
    ids="one out,some out,swapped,doubled,moved,changed,spaced,added,no end,cut,empty line".split(","),
)
def test_the_first_line_that_breaks_the_chain_is_named(log: Path, change: Callable[[Lines], Lines], said: str) -> None:
    edit(log, change)
    shown = unrecall_here("audit", "verify", log)
    assert shown.returncode == 1
    assert f"bad: {said.format(log)}" in shown.stdout
    assert "Traceback" not in shown.stderr


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_change_of_a_byte_goes_unnoticed(log: Path, data: st.DataObject) -> None:
    written = log.read_bytes()
    place = data.draw(st.integers(0, len(written) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda value: value != written[place]))
    changed = log.with_name("changed.jsonl")
    changed.write_bytes(written[:place] + bytes([other]) + written[place + 1 :])
    assert verify_files([changed]).problem


def test_a_tail_that_is_missing_shows_once_the_gateway_writes_again(log: Path) -> None:
    handler = write(log, range(10, 20), close=False)
    edit(log, lambda lines: lines[:-3])
    write_on = logging.LogRecord("audit", logging.INFO, "", 0, '{"id":"later"}', None, None)
    handler.handle(write_on)
    handler.close()
    assert "numbers 21 to 23 of chain" in verify_files([log]).problem


def test_a_tail_cut_off_while_nothing_runs_leaves_no_closing_line(log: Path) -> None:
    edit(log, lambda lines: lines[:-3])
    write(log, range(10, 12))
    found = verify_files([log])
    assert not found.problem, "docs/audit.md says that this cannot be told from a crash"
    assert "1 of the processes that wrote here left no closing line" in found.notes[0]


class TestKeys:
    @pytest.fixture
    def keyed(self, tmp_path: Path) -> Path:
        path = tmp_path / "keyed.jsonl"
        write(path, range(5), key=KEY)
        return path

    def test_the_key_is_taken_where_the_gateway_takes_it(
        self, keyed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        without = unrecall_here("audit", "verify", keyed)
        assert without.returncode == 1
        assert "line 1 has a keyed digest: give the gateway's audit_key" in without.stdout
        config = tmp_path / "gateway.yaml"
        config.write_text(f"audit_key: {KEY}\n")
        assert unrecall_here("audit", "verify", keyed, "--config", config).returncode == 0
        monkeypatch.setenv("UNRECALL_AUDIT_KEY", KEY)
        assert unrecall_here("audit", "verify", keyed).returncode == 0

    def test_who_has_not_the_key_cannot_write_a_log_anew(self, keyed: Path, log: Path, tmp_path: Path) -> None:
        assert "or the audit_key is another" in verify_files([keyed], b"another").problem
        forged = tmp_path / "forged.jsonl"
        write(forged, range(4), key="guessed")
        assert "line 1 was changed" in verify_files([forged], KEY.encode()).problem
        assert "a digest without the key" in verify_files([log], KEY.encode()).problem


class TestFiles:
    def test_a_restart_goes_on_with_the_chain(self, log: Path) -> None:
        write(log, range(10, 13))
        found = verify_files([log])
        assert (found.problem, found.lines, len(found.ends), found.notes) == ("", 17, 1, [])

    @pytest.mark.parametrize("way", ["renamed", "emptied"])
    def test_a_rotated_file_is_followed_by_the_next(self, tmp_path: Path, way: str) -> None:
        path, older = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
        handlers = [write(path, range(5), close=False), write(path, range(5), close=False)]
        if way == "renamed":
            path.rename(older)
        else:
            older.write_bytes(path.read_bytes())
            path.write_bytes(b"")
        for handler in handlers[::-1]:
            handler.handle(logging.LogRecord("audit", logging.INFO, "", 0, '{"id":"later"}', None, None))
            handler.close()
        assert older.read_bytes().count(b"\n") == 12
        assert path.read_bytes().count(b"\n") == 4
        assert verify_files([older, path]).problem == ""
        assert verify_files([older, path]).lines == 16
        assert "the 12 before it are in earlier files" in verify_files([path]).notes[0]
        assert verify_files([path, older]).problem, "in the wrong order"

    @pytest.mark.parametrize("way", ["renamed twice", "emptied"])
    def test_a_worker_that_was_idle_meanwhile_goes_on_with_the_others_lines(self, tmp_path: Path, way: str) -> None:
        """It finds an empty file, and what others wrote last is in none that it knows."""
        path, olders = tmp_path / "audit.jsonl", [tmp_path / "audit.jsonl.2", tmp_path / "audit.jsonl.1"]
        idle, busy = (write(path, range(5), lock=tmp_path / "lock", close=False) for _ in range(2))
        for older in olders:
            busy.handle(logging.LogRecord("audit", logging.INFO, "", 0, '{"id":"later"}', None, None))
            if way == "emptied":
                older.write_bytes(path.read_bytes())
                path.write_bytes(b"")
            else:
                path.rename(older)
        for handler in (idle, busy):
            handler.handle(logging.LogRecord("audit", logging.INFO, "", 0, '{"id":"last"}', None, None))
            handler.close()
        found = verify_files([*olders, path])
        assert (found.problem, found.lines, len(found.ends)) == ("", 18, 1)

    @pytest.mark.parametrize("left", [1, 5, 100])
    def test_a_line_that_a_crash_cut_short_is_told_of(self, log: Path, left: int) -> None:
        edit(log, lambda lines: [*lines[:-1], lines[-1][:left]])
        write(log, range(10, 12))
        found = verify_files([log])
        assert found.problem == ""
        assert "line 12 was cut short by a crash" in found.notes[0]
        edit(log, lambda lines: [*lines[:11], lines[11][:-1] + b"more\n", *lines[12:]])
        assert "line 12 is no whole line" in verify_files([log]).problem

    def test_a_line_of_which_the_end_alone_is_missing_is_whole(self, log: Path) -> None:
        edit(log, lambda lines: [*lines[:-1], lines[-1][:-1]])
        write(log, range(10, 12))
        found = verify_files([log])
        assert (found.problem, found.notes, found.lines) == ("", [], 16)

    def test_a_line_longer_than_what_is_read_at_once_may_be_cut_too(self, log: Path) -> None:
        with log.open("ab") as file:
            file.write(b"x" * 200_000)
        write(log, range(3))
        assert verify_files([log]).problem == ""

    def test_an_emptied_log_is_not_whole(self, tmp_path: Path) -> None:
        (log := tmp_path / "audit.jsonl").write_bytes(b"")
        assert "there is no line" in verify_files([log]).problem

    @pytest.mark.parametrize("text", [b'{"audit"', b"[1", b'["torn"', b'{"audit":["torn"]', b'{"audit":{}'])
    def test_a_forged_line_of_another_form_is_no_reason_to_stop(self, tmp_path: Path, text: bytes) -> None:
        forged, _ = Chain().sealed(text + b"}", None)
        (alone := tmp_path / "alone").write_bytes(forged + b"\n")
        (behind := tmp_path / "behind").write_bytes(b"x\n" + forged + b"\n")
        assert verify_files([alone]).unclosed == 0
        assert "line 1 is no whole line" in verify_files([behind]).problem

    def test_older_lines_without_a_chain_are_named(self, tmp_path: Path) -> None:
        log = tmp_path / "audit.jsonl"
        log.write_text('{"id":"from an older version"}\n')
        write(log, range(3))
        assert "line 1 is no whole line of a chain" in verify_files([log]).problem

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        shown = unrecall_here("audit", "verify", tmp_path / "none")
        assert shown.returncode == 2
        assert "give the audit_file of a gateway" in shown.stderr
