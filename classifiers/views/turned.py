"""Codes that are written backwards, letters that stand on their heads, and signs for letters (ROT47)."""

import re
from collections.abc import Iterator

from classifiers.views.decoders import BASE64, HEX
from classifiers.views.view import Decoded, Edit, View, rewritten

__all__ = ["ON_THEIR_HEADS", "backwards", "rot47", "upside_down"]

_RUN = re.compile(
    r"(?<![A-Za-z0-9+/=])={0,2}(?=[A-Za-z+/]{0,24}(?:[a-z][A-Z]|[A-Z]{2}[a-z]|\d))[A-Za-z0-9+/]{8,}(?![A-Za-z0-9+/=])"
)
_ODD = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]|\d")
_HEAD = re.compile(r"\S[^\n]*")
ON_THEIR_HEADS = dict(zip("ɐqɔpǝɟƃɓɥᴉıɾſʞlןɯuodbɹsʇnʌʍxʎz", "abcdefgghiijjkllmnopqrstuvwxyz", strict=True))
"""Small letters that are upside down, and what they are."""
_TURNED = ON_THEIR_HEADS | dict(zip("¿¡∀ƎℲ⅁⅂ԀΛ⅄˙6", "?!AEFGLPVY.9", strict=True))
_ONLY_TURNED = frozenset("ɐɔǝɟƃɓɥᴉɾʞןɯɹʇʌʍʎ∀ƎℲ⅁⅂Ԁ⅄")
_FEWEST = 2
_TEXT_SHARE = 0.8  # of what a code says from its end are letters and spaces
# Small letters are these signs in ROT47; capitals are small letters and a few more signs.
_ROT47_RUN = re.compile(r"(?<!\S)[!-~]?[2-K]{2,}[!-~]?(?:[^\S\n][!-~]{0,2}[2-K]*[!-~]?(?!\S))*(?!\S)")
_ROT47_SIGNS, _ROT47_SIGNS_AND_DIGITS = re.compile("[:-@]"), re.compile("[2-@]")
_ROT47 = {code: 33 + (code - 33 + 47) % 94 for code in range(33, 127)}


def backwards(view: View) -> View | None:
    """The view with codes that say something only from their end; None if there are none."""
    if not _ODD.search(view.text):
        return None
    edits = [Edit(run.start(), said) for run in _RUN.finditer(view.text) if (said := _from_the_end(run.group()))]
    return rewritten(view, "codes backwards", edits) if edits else None


def _from_the_end(run: str) -> Decoded | None:
    for decoder in (HEX, BASE64):
        if decoder.pattern.fullmatch(run) and (said := decoder.decode(run)) and said.length == len(run):
            return None
        turned = run[::-1]
        if decoder.pattern.fullmatch(turned) and (said := decoder.decode(turned)) and said.length == len(run):
            if sum(letter.isalpha() or letter == " " for letter in said.text) < _TEXT_SHARE * len(said.text):
                continue  # by chance
            return Decoded(said.text, (0,) * len(said.text), len(run))
    return None


def upside_down(view: View) -> View | None:
    """The view with letters that stand on their heads as a reader sees them who turns the page; None without them."""
    if view.text.isascii():
        return None
    edits = [edit for line in _HEAD.finditer(view.text) for edit in _upright(line)]
    return rewritten(view, "upside down", edits) if edits else None


def _upright(line: re.Match[str]) -> Iterator[Edit]:
    """From the first word with such letters to the last of a line."""
    words = [word for word in re.finditer(r"\S+", line.group()) if not _ONLY_TURNED.isdisjoint(word.group())]
    if words:
        start, end = words[0].start(), words[-1].end()
        source = line.group()[start:end]
        if sum(letter in _ONLY_TURNED for letter in source) >= _FEWEST:
            said = "".join(_TURNED.get(letter, letter) for letter in reversed(source))
            yield Edit(line.start() + start, Decoded(said, (0,) * len(said), len(source)))


def rot47(view: View) -> View | None:
    """The view with runs of signs and digits that are words in ROT47; None if there are none."""
    edits = [
        Edit(run.start(), Decoded(run.group().translate(_ROT47), range(len(run.group())), len(run.group())))
        for run in _ROT47_RUN.finditer(view.text)
        if _ROT47_SIGNS.search(run.group()) and len(_ROT47_SIGNS_AND_DIGITS.findall(run.group())) >= _FEWEST
    ]
    return rewritten(view, "rot47", edits) if edits else None
