"""Progress of long steps: a bar on a terminal, a line for each step and each quarter of it where there is none."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

__all__ = ["Report", "show_progress", "without_loading_bars"]

_FIGURE = re.compile(r": (?:distance|loss) ")  # a text that changes with every step is not worth a line


class Report(Protocol):
    """Told of a stage and how far it is; the same as `gateway.training.dataset.Progress`. A stage of no steps is a line
    to read."""

    def __call__(self, stage: str, done: int, total: int, /) -> None: ...


def without_loading_bars() -> None:
    """Switches off the bar that transformers shows while it loads a model: it would stand between the lines of our own
    progress. Bars of downloads stay. For commands that load a model: it imports transformers."""
    from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
    from transformers.utils import logging

    downloads = not are_progress_bars_disabled()
    logging.disable_progress_bar()
    if downloads:
        enable_progress_bars()


@contextmanager
def show_progress(console: Console, first: str) -> Iterator[Report]:
    """One bar that changes its name with the stage."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(first, total=None)

        def report(stage: str, done: int, total: int, /) -> None:
            if total:
                progress.update(task, description=stage, completed=done, total=total)
            else:
                progress.console.print(stage, highlight=False, markup=False)

        yield report


def _lines(console: Console) -> Report:
    last, quarter = "", 0

    def report(stage: str, done: int, total: int, /) -> None:
        nonlocal last, quarter
        name = _FIGURE.split(stage)[0]
        if name != last:
            last, quarter = name, 0
            console.print(f"... {name}", soft_wrap=True, highlight=False, markup=False)
        elif 0 < done < total and done * 4 // total > quarter:
            quarter = done * 4 // total
            console.print(f"... {name}: {done} of {total}", soft_wrap=True, highlight=False, markup=False)

    return report
