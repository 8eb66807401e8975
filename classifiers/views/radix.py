"""Whole texts that are one number: in base 62, 58 or 36, or in decimal digits."""

import re
from collections.abc import Iterator

from classifiers.views.view import Decoded, Edit, View, rewritten

__all__ = ["as_one_number"]

_DIGITS, _SMALL = "0123456789", "abcdefghijklmnopqrstuvwxyz"
_CAPITALS = _SMALL.upper()
_BITCOIN = "".join(sign for sign in _DIGITS + _CAPITALS + _SMALL if sign not in "0OIl")
_BASES = (
    _BITCOIN,
    _DIGITS + _CAPITALS + _SMALL,
    _DIGITS + _SMALL + _CAPITALS,
    _CAPITALS + _SMALL + _DIGITS,
)
_RUN = re.compile(
    r"(?<![A-Za-z0-9])(?:\d{14,600}|(?=[A-Za-z]{0,24}(?:[a-z][A-Z]|[A-Z]{2}[a-z]|\d))[A-Za-z0-9]{9,600})(?![A-Za-z0-9])"
)
_WORTH_A_LOOK = re.compile(r"[A-Za-z0-9]{9}")
_TEXT_SHARE = 0.9  # of what is said are letters and spaces: by chance hardly ever
_PRINTED = frozenset(range(32, 127)) | {10}
_SAMPLE = 6  # bytes that decide, of a long number


def as_one_number(view: View) -> View | None:
    """The view with runs of letters and digits as the bytes of the number that they are; None if none says a text."""
    if not _WORTH_A_LOOK.search(view.text):
        return None
    edits = [Edit(run.start(), said) for run in _RUN.finditer(view.text) if (said := _said(run.group()))]
    return rewritten(view, "one number", edits) if edits else None


def _said(run: str) -> Decoded | None:
    for number in _numbers(run):
        said = number.to_bytes(-(-number.bit_length() // 8), "big")
        if _PRINTED.issuperset(said) and _is_text(said):
            return Decoded(said.decode("ascii"), (0,) * len(said), len(run))
    return None


def _is_text(said: bytes) -> bool:
    letters = sum(chr(value).isalpha() or value == 32 for value in said)
    return len(said) >= _SAMPLE and letters >= _TEXT_SHARE * len(said)


def _numbers(run: str) -> Iterator[int]:
    if run.isdecimal() and run.isascii():
        yield int(run)
        return
    if run == run.lower() or run == run.upper():
        yield int(run, 36)
    for alphabet in _BASES:
        values = {sign: value for value, sign in enumerate(alphabet)}
        if all(sign in values for sign in run):
            number = 0
            for sign in run:
                number = number * len(alphabet) + values[sign]
            yield number
