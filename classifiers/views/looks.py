"""Letters of all scripts as the Latin letters that they look like, one for one: words in fancy writing for the detector
of names."""

import re
import string
from collections.abc import Iterable, Iterator

from classifiers.views.fancy import SIGNS
from classifiers.views.folding import latin_of
from classifiers.views.lines import lines
from classifiers.views.view import View

__all__ = ["fancy_names", "is_fancy", "looks"]

_ODD = re.compile("[^\x00-\u017f\u02b0-\u02ff\u0300-\u036f\u2000-\u206f\u20ac\u3000-\u3002]")
_TOKEN = re.compile(r"\S+")
_WORD = re.compile("[a-z][a-z'’-]{2,}")
_STROKES = frozenset("łŁꓲІӀӏΙιІіן丨ɭı")
_AROUND = string.punctuation + "’“”«»…"


class _Looks(dict[int, str]):
    """What each character looks like, filled as characters are met. Capitals are small: most signs are, too."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        said = SIGNS.get(character) or latin_of(character) or character
        self[code] = found = said.lower() if len(said) == 1 and len(said.lower()) == 1 else character
        return found


class _OtherLooks(dict[int, str]):
    """The same, but a stroke, which may be an i or an l, is the other one of them."""

    def __missing__(self, code: int) -> str:
        looks = _LOOKS[code]
        self[code] = found = {"i": "l", "l": "i"}.get(looks, looks) if chr(code) in _STROKES else looks
        return found


_LOOKS, _OTHER_LOOKS = _Looks(), _OtherLooks()


def is_fancy(text: str) -> bool:
    """Whether a text holds letters beyond those that languages of Europe write in Latin script."""
    return not text.isascii() and _ODD.search(text) is not None


def looks(text: str) -> Iterable[str]:
    """The text in the Latin letters that its characters look like, of the same length; twice if some look like two.

    Example:
        >>> list(looks("Who is ꓧꓮꓣꓣꓬ?"))
        ['who is harry?']
    """
    return dict.fromkeys((text.translate(_LOOKS), text.translate(_OTHER_LOOKS)))


def fancy_names(view: View) -> Iterator[View]:
    """The words of a text that fancy letters may be, in rows as they stand there."""
    if is_fancy(view.text):
        rows = [(start, end, looks(fancy)) for start, end, fancy in _rows(view.text)]
        if rows:
            yield lines(view, "fancy letters", rows)


def _rows(text: str) -> Iterator[tuple[int, int, str]]:
    """Tokens with fancy letters that follow each other, without the signs around each: their place and their text."""
    row: tuple[int, int, str] | None = None
    for token in _TOKEN.finditer(text):
        fancy = token.group().strip(_AROUND)
        is_word = is_fancy(fancy) and _WORD.fullmatch(fancy.translate(_LOOKS)) is not None
        if row and (not is_word or token.start() > row[1] + 1):
            yield row
            row = None
        if is_word:
            row = (row[0], token.end(), f"{row[2]} {fancy}") if row else (token.start(), token.end(), fancy)
    if row:
        yield row
