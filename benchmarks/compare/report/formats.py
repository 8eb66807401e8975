"""Figures in words: how the report writes numbers, times, sizes and lists."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["NONE", "listed", "percent", "seconds", "shown", "size", "text"]

NONE = "–"
"""What stands for a figure that was not measured."""


def shown(value: float | None, form: str = "{:.3f}") -> str:
    """A number as `form` writes it."""
    return NONE if value is None else form.format(value)


def percent(share: float | None) -> str:
    """A share in [0, 1]."""
    return NONE if share is None else f"{100 * share:.3g}%"


def seconds(value: float | None) -> str:
    """A time, in minutes or hours where it is long."""
    if value is None or value < 120:
        return shown(value, "{:.3g} s")
    return f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


def size(count: float | None) -> str:
    """Bytes, decimal units."""
    power = 0 if not count else min(3, int(math.log10(max(1.0, count)) / 3))
    return NONE if count is None else f"{count / 1000**power:.3g} {('B', 'kB', 'MB', 'GB')[power]}"


def text(found: Any) -> str:
    """A string as it is, what stands in a mapping by name, anything else as JSON."""
    if isinstance(found, Mapping):
        found = ", ".join(f"{name}: {text(value)}" for name, value in found.items())
    if isinstance(found, float):
        return f"{found:.6g}"
    if found is None or found == "":
        return NONE
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, default=str)


def listed(names: Sequence[str]) -> str:
    """Names with commas, and "and" before the last."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
