"""Words that are cut in parts: by signs or emoji, by the end of a line, or by the commands of markup.

A reader puts them together, and so does a model that is asked about pasted text.
"""

import re
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import replace

from classifiers.names.vocabulary import is_known
from classifiers.views.spelling import is_small_word, stretches
from classifiers.views.view import Decoded, Edit, View, rewritten
from classifiers.views.wording import words_of

__all__ = ["uncut"]

_PART = r"[^\W\d_]{1,24}+"
_SIGN = r"(?:[^\w\s]|_)"
_HYPHEN = "[-\u00ad\u2010-\u2015\u2212]"
# Har[blue]ry, Har(x)ry, Har{x}ry, Har<b>ry, Har/* x */ry, Har<!-- x -->ry, Har\\kern0pt ry, and what colours a terminal
_INSET = (
    r"(?:\[[^\[\]\n]{0,120}\]|\([^()\n]{0,120}\)|\$?\{[^{}\n]{0,120}\}|<!--[^>]{0,400}?-->|<[^<>]{0,200}>\n?"
    r"|/\*[^*]{0,200}\*/|\x1b\[[0-9;]{0,12}m|\\[A-Za-z]{1,12}[0-9]{0,3}(?:pt|em|ex)? ?)"
)
_GAP = (
    rf"(?=[^\w\s]|_|\x1b|\s\+)(?:(?:{_SIGN}{{0,3}}{_INSET}){{1,6}}{_SIGN}{{0,3}}"
    rf"|{_SIGN}(?:{_SIGN}|\d){{0,400}}+\n?|{_HYPHEN}\s{{1,3}}|\s\+\s)"
)
_CUT = re.compile(rf"(?<![^\W_]){_PART}(?:{_GAP}{_PART})+(?![^\W_])")
_LETTERS = re.compile(rf"(?P<letters>{_PART})")
_PIECE = re.compile(rf"{_INSET}|{_LETTERS.pattern}")
_INSET_THERE = re.compile(_INSET)
_SYLLABLES = re.compile(r"(?<![^\W_])[^\W\d_]{1,6}(?: [^\W\d_]{1,6}(?![^\W_])){2,}+")
_LONGEST_SYLLABLE, _TWO = 6, 2  # letters
_MOST_SYLLABLES, _MOST_ROWS = 5, 1_000
_NEAR = 40  # characters
_ENDS = ",;:.!?"
_MANY = 4  # cut English words: the text is meant to be read without the cuts
# Not over what parts clauses: 'Snap, eBay' is no Snape.
_WORD_BEFORE = re.compile(r"(?<![^\W_])([^\W\d_]{1,20})[^\w,;:.!?]{1,6}\Z")
_WORD_BEHIND = re.compile(r"[^\w,;:.!?]{0,6}(?<![^\W_])([^\W\d_]{1,20})(?![^\W_])")
# \textbf{Har}ry: the command is no part of the word
_COMMAND = re.compile(r"\\[A-Za-z]{2,12}(?=\{)")
_TAG = re.compile(r"</?[A-Za-z!][^<>]{0,400}>|\[/?[A-Za-z]{1,10}(?:=[^\]\n]{0,40})?\]")
_APOSTROPHES = frozenset("'’")
_CONTRACTED = frozenset("s t d m re ve ll".split())
_PLAIN_GAPS = frozenset("-/_.'’")


def uncut(view: View) -> Iterator[View]:
    """For names alone: the view with words put together that signs cut, unless there are none but ordinary compounds,
    such as well-known; and its odd words with the words beside them ('Hog warts')."""
    for pieces in (_PIECE, _LETTERS) if _INSET_THERE.search(view.text) else (_LETTERS,):
        if found := _without_signs(view, pieces):
            yield found
    if syllables := _syllables(view.text):
        yield _joined(view, syllables)
    odd = [row for stretch in stretches(view.text) for row in _with_neighbours(view.text, stretch.start, stretch.end)]
    if odd and (found := _joined(view, odd)).text:
        yield found


def _without_signs(view: View, pieces: re.Pattern[str]) -> View | None:
    """The letters of Har(ry)son are Harson or Harryson."""
    text = view.text
    for kind in (_COMMAND, _TAG):
        text = kind.sub(lambda found: "{" * len(found.group()), text)
    edits = [edit for run in _CUT.finditer(text) if (edit := _together(run, pieces))]
    if not edits:
        return None
    ends = [edit.end for edit in edits]
    for command in _COMMAND.finditer(view.text):
        behind = bisect(ends, command.start())
        if behind == len(ends) or command.end() <= edits[behind].start:
            edits.append(Edit(command.start(), Decoded(" ", [0], len(command.group()))))
    english = sum(is_known(edit.decoded.text.lower()) for edit in edits)
    found = rewritten(view, "cut words", sorted(edits, key=lambda edit: edit.start))
    return replace(found, names_alone=english < _MANY)


def _together(run: re.Match[str], pieces: re.Pattern[str]) -> Edit | None:
    parts = [piece for piece in pieces.finditer(run.group()) if piece["letters"]]
    ends = [part.end() for part in parts]
    gaps = [run.group()[end : part.start()] for end, part in zip(ends, parts[1:], strict=False)]
    cut = [
        gap not in _APOSTROPHES or part.group() not in _CONTRACTED for gap, part in zip(gaps, parts[1:], strict=True)
    ]
    if not any(cut) or (_PLAIN_GAPS.issuperset(gaps) and all(is_known(part.group().lower()) for part in parts)):
        return None
    places = [place for part in parts for place in range(*part.span())]
    said = "".join(part.group() for part in parts)
    return Edit(run.start(), Decoded(said, places, len(run.group())))


def _syllables(text: str) -> list[tuple[int, int]]:
    """Three short parts or more in a row with spaces between them, one of which is no word: Brac ken fold."""
    found: list[tuple[int, int]] = []
    if not any(len(word) <= _LONGEST_SYLLABLE and _is_odd(word) for word in words_of(text)):
        return found
    for run in _SYLLABLES.finditer(text):
        odd = [_is_odd(part) for part in run.group().lower().split(" ")]
        if not any(odd):
            continue
        parts = [part.span() for part in _LETTERS.finditer(run.group())]
        for first in range(len(parts) - 2):
            for last in range(first + 2, min(len(parts), first + _MOST_SYLLABLES)):
                if any(odd[first : last + 1]):
                    found.append((run.start() + parts[first][0], run.start() + parts[last][1]))
    return found[:_MOST_ROWS]


def _is_odd(part: str) -> bool:
    return part not in "aist" if len(part) < _TWO else not part.isdecimal() and not is_known(part)


def _with_neighbours(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    before = _WORD_BEFORE.search(text, max(0, start - _NEAR), start)
    after = None if text[end - 1] in _ENDS else _WORD_BEHIND.match(text, end)
    before = None if before and is_small_word(before.group(1)) else before
    after = None if after and is_small_word(after.group(1)) else after
    first = before.start(1) if before else start
    last = after.end(1) if after else end
    first_end, last_start = _edges(text, start, end)
    if before:
        yield first, first_end
    if after:
        yield last_start, last
    if before and after and last_start == start:
        yield first, last


def _edges(text: str, start: int, end: int) -> tuple[int, int]:
    """Where the first word of a stretch ends, and where its last one begins."""
    first, *_ = text[start:end].split(maxsplit=1)
    last = text[start:end].rsplit(maxsplit=1)[-1]
    return start + len(first), end - len(last)


def _joined(view: View, parts: Sequence[tuple[int, int]]) -> View:
    """The letters of some parts of a view, each part on a line, with no capital inside: it would begin a word."""
    text: list[str] = []
    places: list[int] = []
    for start, end in parts:
        own = [place for place in range(start, end) if view.text[place].isalnum()]
        said = "".join(view.text[place] for place in own)
        if said.isalpha():
            text += [said[0], *said[1:].lower(), "\n"] if len(said.lower()) == len(said) else [*said, "\n"]
            places += [*own, own[-1]]
    starts, ends = ([bounds[place] for place in places] for bounds in (view.starts, view.ends))
    return View("joined words", "".join(text), starts, ends, names_alone=True)
