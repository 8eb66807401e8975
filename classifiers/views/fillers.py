"""Words that are cut by what a reader skips: `Bracken (cough) fold`, `Brack... uh ...enfold`. For names alone."""

import re
from collections.abc import Iterator

from classifiers.views.spelling import is_small_word
from classifiers.views.view import View

__all__ = ["without_fillers"]

_SOUND = (
    r"(?:u+h+m*|u+m+|e+r+m*|a+h+|h+m+|eh|cough|ahem|lol|haha|pause|sorry|beat|wait|sic|hic|sigh|gasp|gulp|sneeze|achoo"
    r"|sniff|like|you know|i mean|well|redacted|censored|blank|space|dash|hyphen|break|gap|dot|spoiler)"
)
_DASH = r"(?:\.{2,4}|…|,|-{1,2}|–|—|/|~)"
# In these patterns a gap can be read in one way.
_FILLER = re.compile(
    r"\s(?:\([^()\n]{1,24}\)|\[[^\[\]\n]{1,24}\]|\{[^{}\n]{1,24}\}|<[^<>\n]{1,24}>|\*{1,2}[^*\n]{1,24}\*{1,2}|_[^_\n]{1,24}_"
    r"|~[^~\n]{1,24}~)\s"
    rf"|\s?{_DASH}\s?{_SOUND}(?:[ ,-]{{1,2}}{_SOUND})?!?\s?{_DASH}\s?|\s{_SOUND}\s|\s?(?:\.{{2,4}}|…)\s?",
    re.IGNORECASE,
)
_SIGN = re.compile(rf"[(\[{{<*_~…]|\.\.|(?<![^\W_]){_SOUND}(?![^\W_])", re.IGNORECASE)
_BEFORE = re.compile(r"(?<![^\W_])[^\W\d_]{2,20}\Z")
_BEHIND = re.compile(r"[^\W\d_]{2,20}(?![^\W_])")
_LONGEST, _MOST = 20, 2_000  # letters of a part; fillers of a text


def without_fillers(view: View) -> View | None:
    """What words that fillers part are together, each row on a line; None if there are none."""
    text = view.text
    if not _SIGN.search(text):
        return None
    rows = [row for row in _rows(text) if not any(is_small_word(text[start:end]) for start, end in row)]
    if not rows:
        return None
    said: list[str] = []
    places: list[int] = []
    for row in rows:
        for start, end in row:
            said += text[start:end] if start == row[0][0] else text[start:end].lower()
            places += range(start, end)
        said.append("\n")
        places.append(row[-1][1] - 1)
    starts, ends = ([bounds[place] for place in places] for bounds in (view.starts, view.ends))
    return View("without fillers", "".join(said), starts, ends, names_alone=True)


def _rows(text: str) -> Iterator[list[tuple[int, int]]]:
    """The parts (start, end) of a word, fillers between them."""
    row: list[tuple[int, int]] = []
    for number, filler in enumerate(_FILLER.finditer(text)):
        if number == _MOST:
            break
        before = _BEFORE.search(text, max(0, filler.start() - _LONGEST - 1), filler.start())
        behind = _BEHIND.match(text, filler.end())
        if before is None or behind is None:
            continue
        if row and row[-1] == before.span():
            row.append(behind.span())
            continue
        if row:
            yield row
        row = [before.span(), behind.span()]
    if row:
        yield row
