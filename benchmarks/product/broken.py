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

_JUMP_EVERY_S = 0.2


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


def _output_screen(read: Callable[[str], Any]) -> None:
    from classifiers.leaks.watch import AnswerWatch

    def broken(self: AnswerWatch, text: str, *, ended: bool = False) -> Any:
        return read(text)

    AnswerWatch.read = broken  # type: ignore[method-assign]


def _output_screen_raises() -> None:
    def raises(text: str) -> None:
        raise RuntimeError("a screen that fails")

    _output_screen(raises)


def _output_screen_hangs() -> None:
    _output_screen(lambda _: time.sleep(3600))


def _output_screen_takes_for_ever() -> None:
    def counts(text: str) -> None:
        number = 0
        while True:
            number += 1

    _output_screen(counts)


def _clock_jumps() -> None:
    """What asks for the wall clock gets one that goes an hour forward and back, again and again."""
    clock, clock_ns, gmtime = time.time, time.time_ns, time.gmtime

    def jump_s() -> int:
        return int(time.monotonic() / _JUMP_EVERY_S) % 3 * 3600 - 3600

    time.time = lambda: clock() + jump_s()
    time.time_ns = lambda: clock_ns() + jump_s() * 10**9
    time.gmtime = lambda seconds=None: gmtime(time.time() if seconds is None else seconds)


BREAKS: Mapping[str, Callable[[], None]] = {
    "detector_raises": _detector_raises,
    "detector_hangs": _detector_hangs,
    "detector_gives_no_numbers": _detector_gives_no_numbers,
    "output_screen_raises": _output_screen_raises,
    "output_screen_hangs": _output_screen_hangs,
    "output_screen_takes_for_ever": _output_screen_takes_for_ever,
    "clock_jumps": _clock_jumps,
}


if __name__ == "__main__":
    BREAKS[sys.argv.pop(1)]()
    main()
