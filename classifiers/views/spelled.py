"""Letters that are said by words: a spelling alphabet, the names of the letters, 'H as in hotel', 'letter H'; and the
first letters of lines, and letters in columns."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

from classifiers.views.lines import lines
from classifiers.views.view import Decoded, Edit, View, rewritten
from classifiers.views.wording import words_of

__all__ = ["SPELLING", "in_columns", "spelled"]

_Saying = tuple[re.Match[str], str]  # a part of a text, and the letters that it says
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)?")
_FEWEST, _FEWEST_LINES = 4, 4
_UNITS = "one two three four five six seven eight nine".split()
_CARDINALS = [
    *_UNITS,
    *"ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty".split(),
    *(f"twenty-{unit}" for unit in _UNITS[:6]),
]
_ORDINALS = [
    *"first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split(),
    *(f"{number}th" for number in _CARDINALS[12:19]),
    *("twentieth", *(f"twenty-{unit}" for unit in "first second third fourth fifth sixth".split())),
]
# Places in the alphabet, in words.
_NUMBERS = {
    word: letter
    for words in (_CARDINALS, _ORDINALS)
    for letter, word in zip("abcdefghijklmnopqrstuvwxyz", words, strict=True)
}
_WIDEST_GAP = 5
# ICAO's alphabet with its usual other spellings; each word says its first letter.
_SPELLING_ALPHABET = {
    word: word[0]
    for word in (
        "alfa alpha bravo charlie delta echo foxtrot golf hotel india juliett juliet kilo lima mike november oscar "
        "papa quebec romeo sierra tango uniform victor whiskey whisky xray x-ray yankee zulu"
    ).split()
}
_LETTER_NAMES = {
    name: letter
    for letter, names in zip(
        "abcdefghijklmnopqrstuvwxyz",
        "ay|eh,bee|be,cee|see|sea,dee|de,ee,ef|eff,gee|jee,aitch|haitch|ach,eye|i,jay,kay|kaye,el|ell,em,en,oh|o,pee|pea,"
        "cue|queue|kew,ar|are|arr,ess|es,tee|tea,you|yu|u,vee,double-u|doubleyou|double-you,ex,why|wye|wy,zee|zed".split(
            ","
        ),
        strict=True,
    )
    for name in names.split("|")
}
_AS_IN = re.compile(
    r"(?<![^\W_])([A-Za-z])[\"')]?\s{0,2}"
    r"(?:,?\s?(?:as in|as|is for|for|like|stands for)\s|[=:(]\s?)\s?[\"']?[A-Za-z]{2,}"
)
_NAMED = re.compile(r"(?:LETTER|[Ll]etter|indicator)[\s_]{1,2}[\"']?([A-Za-z])(?![^\W_])")
_AS_IN_MARKS, _NAMED_MARKS = (" as ", " for ", " like ", "=", ":", "("), ("ETTER", "etter", "indicator")
SPELLING = _SPELLING_ALPHABET.keys() | _LETTER_NAMES.keys()
"""Words that say a letter, in small letters."""
_TWENTY = re.compile(r"twenty\s")
_NUMBER_WORD = re.compile(
    rf"twenty\s(?:{'|'.join((*_UNITS[:6], *_ORDINALS[:6]))})(?![^\W_])|{_WORD.pattern}", re.IGNORECASE
)
_SAID_NUMBERS = frozenset(_NUMBERS)
_CLOSE = 24  # characters between two that follow each other
_BETWEEN = re.compile(r"[\s,;.:/|_–—&+()\"'>-]*")
_LINE = re.compile(r"[^\n]+")
_BULLET = re.compile(r"\s*(?:\d{1,2}[.)]|[-*•#>]+)?\s*[\"'(]?")
_LONGEST_NAME = 40
_COLUMN = re.compile(r"(?:^[ \t]*\S(?:[ \t|,]+\S){1,5}[ \t]*(?:\n|\Z)){3,}", re.MULTILINE)


def spelled(view: View) -> View | None:
    """The view with each run of words that say letters as those letters; None if it has none."""
    words = words_of(view.text)
    says = len(SPELLING & words) > 1 or len(_SAID_NUMBERS & words) > 2
    runs = list(_by_words(view.text)) if says else []
    for pattern, marks in ((_AS_IN, _AS_IN_MARKS), (_NAMED, _NAMED_MARKS)):
        if any(view.text.count(mark) >= _FEWEST for mark in marks):
            runs += _by_pattern(view.text, pattern)
    edits: list[Edit] = []
    for edit in sorted(runs, key=lambda edit: (edit.start, -edit.end)):
        if not edits or edits[-1].end <= edit.start:
            edits.append(edit)
        elif edits[-1].start == edit.start and edits[-1].decoded.text != edit.decoded.text:
            edits[-1] = _both(edits[-1], edit)  # twenty two: one letter or two
    return rewritten(view, "spelled", edits) if edits else None


def _both(one: Edit, other: Edit) -> Edit:
    text = f"{one.decoded.text}\n{other.decoded.text}"
    places = [*one.decoded.starts, one.decoded.length - 1, *other.decoded.starts]
    return Edit(one.start, Decoded(text, places, one.decoded.length))


def _by_words(text: str) -> Iterator[Edit]:
    """Runs of words of the alphabet, or of letters' names."""
    for names, words in (
        *((names, _WORD) for names in (_SPELLING_ALPHABET, _LETTER_NAMES, _NUMBERS)),
        (_NUMBERS, _NUMBER_WORD),
    ):
        said = ((word, _letters(_TWENTY.sub("twenty-", word.group().lower()), names)) for word in words.finditer(text))
        yield from _runs([(word, letters) for word, letters in said if letters], _follows_as_word)


def _letters(word: str, names: Mapping[str, str]) -> str:
    """What a word says: one letter, or several if it is made of such words; '' if nothing."""
    parts = [word] if word in names else word.split("-")
    return "".join(names[part] for part in parts) if all(part in names for part in parts) else ""


def _follows_as_word(before: re.Match[str], after: re.Match[str]) -> bool:
    gap = after.start() - before.end()
    return gap <= _WIDEST_GAP and _BETWEEN.fullmatch(after.string, before.end(), after.start()) is not None


def _by_pattern(text: str, pattern: re.Pattern[str]) -> Iterator[Edit]:
    return _runs([(found, found.group(1)) for found in pattern.finditer(text)], _is_close)


def _is_close(before: re.Match[str], after: re.Match[str]) -> bool:
    return after.start() - before.end() <= _CLOSE


def _runs(found: Sequence[_Saying], follows: Callable[[re.Match[str], re.Match[str]], bool]) -> Iterator[Edit]:
    """Those that follow each other, if they are enough."""
    run: list[_Saying] = []
    for one in found:
        if run and not follows(run[-1][0], one[0]):
            if len(run) >= _FEWEST:
                yield _said(run)
            run = []
        run.append(one)
    if len(run) >= _FEWEST:
        yield _said(run)


def _said(run: Sequence[_Saying]) -> Edit:
    """A wider gap parts words."""
    start, end = run[0][0].start(), run[-1][0].end()
    gaps = [after.start() - before.end() for (before, _), (after, _) in pairwise(run)]
    usual = sorted(gaps)[len(gaps) // 2]
    text, places = run[0][1], [0] * len(run[0][1])
    for gap, (before, _), (found, letters) in zip(gaps, run, run[1:], strict=False):
        if gap > usual + 1:
            text += " "
            places.append(before.end() - 1 - start)
        text += letters
        places += [found.start() - start] * len(letters)
    return Edit(start, Decoded(text, places, end - start))


def in_columns(view: View) -> View | None:
    """For names alone: the first letters of lines in a row, and letters in columns; None without such lines."""
    if view.text.count("\n") < _FEWEST_LINES - 1:
        return None
    rows = [*_first_letters(view.text), *_columns(view.text)]
    return lines(view, "columns", rows) if rows else None


def _first_letters(text: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Of each block of lines: all of it, and without its first or last lines, which may ask the question."""
    for block in re.finditer(r"(?:[^\n]*\S[^\n]*(?:\n|\Z))+", text):
        firsts = [
            line.group()[bullet.end()]
            for line in _LINE.finditer(block.group())
            if (bullet := _BULLET.match(line.group())) and bullet.end() < len(line.group())
        ]
        if len(firsts) >= _FEWEST_LINES:
            said = "".join(firsts[:_LONGEST_NAME]), "".join(firsts[-_LONGEST_NAME:])
            variants = [one[first : len(one) - last] for one in said for first in (0, 1, 2) for last in (0, 1)]
            yield block.start(), block.end(), tuple(dict.fromkeys(variants))


def _columns(text: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    for block in _COLUMN.finditer(text):
        rows = [re.findall(r"[^\s|,]", line) for line in block.group().splitlines()]
        rows = [row for row in rows if len(row) == len(rows[0])]
        columns = ["".join(letter for letter in column if letter.isalnum()) for column in zip(*rows, strict=True)]
        yield block.start(), block.end(), (" ".join(columns), *columns)
