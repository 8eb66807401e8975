"""`unrecall screen`: the gate over a log."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.progress import show_progress
from gateway.cli.terminal import EncoderName, EncoderRuntime, LanguageEncoder, Packs, console, errors

__all__ = ["screen"]


def screen(
    input_file: Annotated[
        Path, typer.Option("--input", help="The log: JSON lines or a JSON array of {prompt}, {messages} or requests.")
    ],
    output_file: Annotated[
        Path, typer.Option("--output", help="Where to write the same rows with flagged, scopes and score.")
    ],
    packs: Packs = Path(".unrecall/packs"),
    encoder: EncoderName = "minilm",
    encoder_runtime: EncoderRuntime = "openvino",
    language_encoder: LanguageEncoder = "e5",
) -> None:
    """Screen a log of requests without a model: which rows would the gateway have flagged?"""
    from gateway.screening.log import RESULT_KEY, screen_log

    with show_progress(errors, "screening") as report:
        counts = screen_log(
            input_file=input_file,
            output_file=output_file,
            packs=packs,
            encoder=encoder,
            encoder_runtime=encoder_runtime,
            language_encoder=language_encoder,
            progress=lambda done, rows: report("screening", done, rows),
        )
    console.print(f"{counts.flagged} of {counts.rows} rows would have been flagged; written to {output_file}")
    if counts.under_key:
        console.print(f"Rows have fields of these names already: each result stands under '{RESULT_KEY}'")
    if counts.odd:
        told = f"{counts.odd} rows could not be screened (flagged: null, and why under problem); {counts.first_problem}"
        errors.print(told, soft_wrap=True, highlight=False, markup=False)
