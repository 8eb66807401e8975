"""Progress where there is no terminal: a log that says where a long run is."""

import io
from pathlib import Path

import pytest
from huggingface_hub.utils import are_progress_bars_disabled
from rich.console import Console
from tiny_families import save, tiny_of
from transformers.utils import logging

from gateway.cli.progress import show_progress, without_loading_bars
from gateway.models.language_model import load_language_model


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


def test_no_bar_of_another_stands_between_the_lines(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Those of downloads stay: they tell how long to wait."""
    folder, before = save(tiny_of("qwen2"), tmp_path / "model"), logging.is_progress_bar_enabled()
    try:
        logging.enable_progress_bar()
        capfd.readouterr()
        load_language_model(folder)
        assert "Loading weights" in capfd.readouterr().err
        without_loading_bars()
        load_language_model(folder)
        assert capfd.readouterr().err == ""
        assert not are_progress_bars_disabled()
    finally:
        (logging.enable_progress_bar if before else logging.disable_progress_bar)()
