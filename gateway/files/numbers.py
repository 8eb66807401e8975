"""Numbers that every program reads alike: whole ones of 64 bits, and others that are finite."""

import math
from typing import Any

__all__ = ["TOO_LARGE", "place_of_too_large"]

TOO_LARGE = "too large a number: a whole number may have 64 bits, any other one 308 digits"
_KEY_CHARS = 64


def place_of_too_large(value: Any, place: str = "") -> str | None:
    """Where in a JSON value the first number stands that some readers take for another one, or for infinity; None if
    there is none.

    Args:
        value: as a reader of JSON gives it.
        place: of the value itself, '' for the whole.
    """
    if isinstance(value, dict):
        inner = ((item, f"{place}.{str(key)[:_KEY_CHARS]}".lstrip(".")) for key, item in value.items())
    elif isinstance(value, list | tuple):
        inner = ((item, f"{place}[{number}]") for number, item in enumerate(value))
    elif isinstance(value, int):
        return None if -(2**63) <= value < 2**64 else place
    else:
        return place if isinstance(value, float) and not math.isfinite(value) else None
    return next((found for item, where in inner if (found := place_of_too_large(item, where)) is not None), None)
