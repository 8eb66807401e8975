"""Letters drawn with several signs: |-| is an h."""

import re

__all__ = ["holds_drawn", "redrawn"]

_LETTERS = {
    drawn: letter
    for letter, ways in {
        "m": r"/\/\,|\/|,|v|",
        "w": r"\/\/,|/\|",
        "h": "|-|,]-[,}{",
        "n": r"|\|,/\/",
        "a": "/-\\,/\\",
        "u": "|_|",
        "d": "|),|]",
        "o": "(),[],{}",
        "k": "|<,|{",
        "r": "|2,|?",
        "p": "|>,|*",
        "b": "|3",
        "f": "|=",
        "e": "[-",
        "t": "-|-",
        "x": "><",
        "v": r"\/",
        "l": "|_",
        "j": "_|",
        "c": "(_",
        "i": "][",
    }.items()
    for drawn in ways.split(",")
}
_DRAWN = re.compile("|".join(re.escape(one) for one in sorted(_LETTERS, key=lambda one: (-len(one), one))))
_INSIDE = re.compile(rf"[A-Za-z](?:{_DRAWN.pattern}){{1,4}}(?:[A-Za-z]|\Z)|(?<!\S)(?:{_DRAWN.pattern}){{1,4}}[A-Za-z]")


def holds_drawn(token: str) -> bool:
    """Whether a token may hold a drawn letter beside a usual one."""
    return bool(_INSIDE.search(token))


def redrawn(text: str) -> str:
    """The text with drawn letters as usual ones.

    Example:
        >>> redrawn("|-|0t/-\\ir")
        'h0tair'
    """
    return _DRAWN.sub(lambda drawn: _LETTERS[drawn.group()], text)
