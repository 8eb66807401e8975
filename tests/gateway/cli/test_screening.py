"""What `unrecall screen` says at its end."""

from pathlib import Path

import pytest

from gateway.cli.screening import screen
from gateway.screening import log
from gateway.screening.log import ScreenedLog


@pytest.mark.parametrize(
    ("counts", "told", "untold"),
    [
        (ScreenedLog(rows=3, flagged=2), ["2 of 3 rows would have been flagged"], ["could not", "'unrecall'"]),
        (
            ScreenedLog(rows=3, flagged=2, odd=1, first_problem="line 2: it is not JSON", under_key=True),
            ["2 of 3 rows", "1 rows could not be screened", "line 2: it is not JSON", "stands under 'unrecall'"],
            [],
        ),
    ],
)
def test_counts_and_odd_rows_are_told(
    counts: ScreenedLog,
    told: list[str],
    untold: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(log, "screen_log", lambda **_: counts)
    screen(Path("in.jsonl"), Path("out.jsonl"))
    printed = "".join(capsys.readouterr())
    assert all(words in printed for words in told)
    assert not any(words in printed for words in untold)
