"""Words that are cut by what a reader skips: `Bracken (cough) fold`, `Brack... uh ...enfold`. For names alone."""

import re
from collections.abc import Iterator

from classifiers.views.spelling import is_small_word
from classifiers.views.view import View
from classifiers.views.wording import words_of

__all__ = ["without_fillers"]

_SOUNDS = r"u+h+m*|u+m+|e+r+m*|a+h+|h+m+|eh|cough|ahem|lol|haha|hic|sigh|gasp|gulp|sneeze|achoo|sniff|redacted|censored"
_SOUND = rf"(?:{_SOUNDS}|pause|sorry|beat|wait|sic|like|you know|i mean|well|blank|space|dash|hyphen|break|gap|dot)"
_DASH = r"(?:\.{2,4}|…|,|-{1,2}|–|—|/|~)"
# In these patterns a gap can be read in one way.
_FILLER = re.compile(
    r"-?\s(?:\([^()\n]{1,24}\)|\[[^\[\]\n]{1,24}\]|\{[^{}\n]{1,24}\}|<[^<>\n]{1,24}>|\*{1,2}[^*\n]{1,24}\*{1,2}|_[^_\n]{1,24}_"
    r"|~[^~\n]{1,24}~|\"[^\"\n]{1,16}\")\s-?"
    rf"|\s?{_DASH}\s?{_SOUND}(?:[ ,-]{{1,2}}{_SOUND})?!?\s?{_DASH}\s?|\s(?:{_SOUNDS})\s|\s?(?:\.{{2,4}}|…)\s?",
    re.IGNORECASE,
)
_SIGNS = re.compile(r"[(\[{<*_~…–—\"]|\.\.")
_SPOKEN = re.compile(rf"{_SOUND}\Z")
_BEFORE = re.compile(r"(?<![^\W_])[^\W\d_]{2,20}\Z")
_BEHIND = re.compile(r"[^\W\d_]{2,20}(?![^\W_])")
_LONGEST, _MOST, _MOST_PARTS = 20, 2_000, 5  # letters of a part; fillers of a text; parts of a name


def without_fillers(view: View) -> View | None:
    """What words that fillers part are together, each row on a line; None if there are none."""
    text = view.text
    if not _SIGNS.search(text) and not any(map(_SPOKEN.match, words_of(text))):
        return None
    rows = [part for row in _rows(text) for part in _parts(row) if not _has_small_word(text, part)]
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


def _parts(row: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    for start in range(len(row) - 1):
        yield from (row[start:end] for end in range(start + 2, min(len(row), start + _MOST_PARTS) + 1))


def _has_small_word(text: str, row: list[tuple[int, int]]) -> bool:
    return any(is_small_word(text[start:end]) for start, end in row)


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
