"""Tables on standard output, for people and for pipes."""

import os
import sys

__all__ = ["show"]


def show(text: str) -> None:
    """Prints a text. A reader that has enough of it, such as `head`, is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # What is left in the buffer would be an error once more when the interpreter ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
