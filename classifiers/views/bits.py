"""Bytes of signs that hold some bits each: base64, base32, hexadecimal and binary digits."""

from collections.abc import Iterator, Mapping

__all__ = ["BASE32_VALUES", "BASE64_VALUES", "HEX_VALUES", "bits"]

BASE64_VALUES: Mapping[str, int] = {
    letter: value
    for value, letters in enumerate(
        zip(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
            strict=True,
        )
    )
    for letter in letters
}
BASE32_VALUES: Mapping[str, int] = {letter: value for value, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")}
HEX_VALUES: Mapping[str, int] = {digit: int(digit, 16) for digit in "0123456789ABCDEFabcdef"}


def bits(run: str, values: Mapping[str, int], width: int) -> Iterator[tuple[int, int, int]]:
    """Bytes of signs that hold `width` bits each. Other characters stand between them, padding among them."""
    held = bits = 0
    begins = 0
    for place, letter in enumerate(run):
        if letter not in values:
            continue
        if bits == 0:
            begins = place
        held, bits = (held << width | values[letter]) & 0xFFFF, bits + width
        if bits >= 8:
            bits -= 8
            yield held >> bits & 0xFF, begins, place + 1
            begins = place
