"""Progress where there is no terminal: a log that says where a long run is."""

import io

from rich.console import Console

from gateway.cli.progress import show_progress


def test_a_log_has_a_line_for_each_step_and_each_quarter_of_it() -> None:
    log = io.StringIO()
    with show_progress(Console(file=log), "reading") as report:
        for done in range(9):
            report(f"fit: loss {9 - done}", done, 8)
        report("measure", 0, 1)
        report("measure", 1, 1)
    assert log.getvalue().splitlines() == [
        "... fit",
        "... fit: 2 of 8",
        "... fit: 4 of 8",
        "... fit: 6 of 8",
        "... measure",
    ]
