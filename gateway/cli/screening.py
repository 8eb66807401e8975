"""`unrecall screen`: the gate over a log."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.progress import bar
from gateway.cli.terminal import EncoderName, Packs, console, errors

__all__ = ["screen"]


def screen(
    input_file: Annotated[Path, typer.Option("--input", help="The log: JSON lines of {prompt} or {messages}.")],
    output_file: Annotated[
        Path, typer.Option("--output", help="Where to write the same rows with flagged, scopes and score.")
    ],
    packs: Packs = Path(".unrecall/packs"),
    encoder: EncoderName = "minilm",
) -> None:
    """Screen a log of requests without a model: which rows would the gateway have flagged?"""
    from gateway.training.jobs import screen_log

    with bar(errors, "screening") as report:
        flagged, total = screen_log(
            input_file=input_file,
            output_file=output_file,
            packs=packs,
            encoder=encoder,
            progress=lambda done, rows: report("screening", done, rows),
        )
    console.print(f"{flagged} of {total} rows would have been flagged; written to {output_file}")
