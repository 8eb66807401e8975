"""`unrecall` with a part that is broken on purpose, for benchmarks.product.faults.

python -m benchmarks.product.broken FAULT serve ...   (FAULT: one of `BREAKS`)
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gateway.cli.main import main

__all__ = ["BREAKS"]


def _detector_raises() -> None:
    from gateway.screening.gate import Gate

    def screen(self: Gate, requests: Sequence[Any]) -> list[Any]:
        raise RuntimeError("a detector that fails")

    Gate.screen = screen  # type: ignore[method-assign]


def _detector_hangs() -> None:
    from gateway.screening.gate import Gate

    def screen(self: Gate, requests: Sequence[Any]) -> list[Any]:
        time.sleep(3600)
        return []

    Gate.screen = screen  # type: ignore[method-assign]


def _detector_gives_no_numbers() -> None:
    from classifiers.encoder.sentence import Encoder

    encode = Encoder.encode

    def broken(self: Encoder, texts: Sequence[str]) -> list[Any]:
        return [windows * np.float32(np.nan) for windows in encode(self, texts)]

    Encoder.encode = broken  # type: ignore[method-assign]


# A screen of the output that raises has its place here, and a row in `benchmarks.product.faults`.
BREAKS: Mapping[str, Callable[[], None]] = {
    "detector_raises": _detector_raises,
    "detector_hangs": _detector_hangs,
    "detector_gives_no_numbers": _detector_gives_no_numbers,
}


if __name__ == "__main__":
    BREAKS[sys.argv.pop(1)]()
    main()
