"""What the commands share: where they print, and the options that several of them take."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gateway.models import encoders

__all__ = [
    "INTERRUPTED",
    "ChatTemplate",
    "EncoderName",
    "EncoderRuntime",
    "LanguageEncoder",
    "Model",
    "Packs",
    "console",
    "errors",
    "percent",
    "tell",
]

# A pipe's reader gets whole tables.
console = Console(width=None if sys.stdout.isatty() else 240)
errors = Console(stderr=True)

INTERRUPTED = 130
"""The exit status of a command that a person broke off, as shells say it."""

Model = Annotated[str, typer.Option(help="Packaged name (smollm2), local folder, GGUF file, or hub id.")]
ChatTemplate = Annotated[
    Path | None,
    typer.Option("--chat-template", help="A Jinja chat template: for a model that has none, or in place of its own."),
]
LanguageEncoder = Annotated[
    str,
    typer.Option(
        help="Reads other languages than English: e5 (packaged), a sentence-transformers folder or hub id, or off."
    ),
]
EncoderName = Annotated[str, typer.Option("--encoder", help="Sentence encoder: packaged name, folder or hub id.")]
EncoderRuntime = Annotated[
    encoders.EncoderRuntime,
    typer.Option(help="What computes the encoder: openvino (8 bits, fast on a CPU) or torch. Serve with the same one."),
]
Packs = Annotated[Path, typer.Option(help="Folder of packs.")]


def tell(what: str) -> None:
    """A line on standard output, as it is: never broken, and without colours."""
    console.print(what, soft_wrap=True, highlight=False, markup=False)


def percent(rate: float | None) -> str:
    """A rate for a table; words where it was not measured."""
    return "not measured" if rate is None else f"{rate:.1%}"
