"""Tables on standard output: whole for who reads on, and no traceback for who has enough."""

import re
import subprocess
import sys

from harness import ROOT

TEXT = "| a | b |\n" * 50_000  # more than a pipe holds


def shown(*, read: int | None) -> tuple[str, str, int]:
    """What a script printed to a reader of so many characters (None: all), what it complained of, and its status."""
    script = f"from benchmarks.printing import show; show({TEXT[:10]!r} * 50_000); show('the end')"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        text = process.stdout.read() if read is None else process.stdout.read(read)
        process.stdout.close()
        return text, process.stderr.read(), process.wait(60)


def test_a_reader_that_has_enough_is_no_error() -> None:
    assert shown(read=9) == (TEXT[:9], "", 0)


def test_who_reads_on_gets_all() -> None:
    text, complaint, status = shown(read=None)
    assert (complaint, status) == ("", 0)
    assert text == f"{TEXT}\nthe end\n"


def test_every_script_prints_its_tables_in_this_way() -> None:
    scripts = [path for path in (ROOT / "benchmarks").rglob("*.py") if "__main__" in path.read_text(encoding="utf-8")]
    assert len(scripts) > 10
    printing = re.compile(r"\bprint\((?:f\")?\W*(?:tables?|headline|families)\(")
    assert not [path.name for path in scripts if printing.search(path.read_text(encoding="utf-8"))]
