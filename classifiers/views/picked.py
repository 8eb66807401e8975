"""Letters and words that a text says to pick: the first letters of words, the capitals, every second word.

The text must say so: a cue such as 'initials' or 'every third word' stands in it.
"""

import re
from collections.abc import Callable, Iterator, Sequence

from classifiers.views.lines import lines
from classifiers.views.view import View
from classifiers.views.wording import cues

__all__ = ["picked_letters", "picked_words"]

_LETTER = r"\s(?:letter|character|char)s?"
_FIRST = re.compile(
    rf"(?:first|initial|1st|leading|starting){_LETTER}|initials|acrostic|acronym|initialism", re.IGNORECASE
)
_LAST = re.compile(rf"(?:last|final|ending){_LETTER}|telestich", re.IGNORECASE)
_OTHER = re.compile(rf"(?:second|third|2nd|3rd|middle|fourth|4th|nth){_LETTER}", re.IGNORECASE)
_CAPITALS = re.compile(r"capital|upper[- ]?case", re.IGNORECASE)
_CUES = frozenset("lett char init acro tele capi uppe".split())
_WORD_CUES = frozenset("word sent ques prom inst mess".split())
_MOST_SEGMENTS, _ROOM = 40, 2_000  # of a text; characters of all readings
_SEGMENT = re.compile(r"(?:[^.:;?!\"“”‘()\n']|(?<=\w)'(?=\w)){8,}")
_WORD = re.compile(r"[^\W\d_](?:[^\W_]|['’-](?=[^\W_]))*")
_FEWEST, _MOST = 5, 48  # letters of a row
_SHORT_ROW, _MOST_CUT = 20, 3  # letters of one whose every part is read; letters that are cut from another's ends
_EVERY = re.compile(
    r"(?<![^\W_])(?:(?:every|each)\s(?P<step>other|second|third|fourth|fifth|2nd|3rd|4th|5th|nth)\sword"
    r"|(?:odd|even|odd-numbered|even-numbered)\swords|alternate words|skip\w*\s(?:every|a)\s(?:\w+\s)?word)",
    re.IGNORECASE,
)
_STEPS = {"third": 3, "3rd": 3, "fourth": 4, "4th": 4, "fifth": 5, "5th": 5}
_TEXT = r"(?:words?|sentences?|questions?|prompts?|instructions?|message)"
_BACKWARDS = re.compile(
    rf"(?<![^\W_])(?:{_TEXT}\s(?:order\s)?(?:\w+\s){{0,4}}?(?:revers|backward)"
    rf"|(?:revers|backward)\w*\s(?:\w+\s){{0,3}}?(?:{_TEXT}|word order))",
    re.IGNORECASE,
)
_LONGEST = 4_000  # characters of a text whose words are picked


def picked_letters(view: View) -> View | None:
    """For names alone: letters that a cue says to pick of each word, of all the segments between full stops."""
    text = view.text
    if _CUES.isdisjoint(cues(text)):
        return None
    picks = [pick for cue, some in _PICKS if cue.search(text) for pick in some]
    rows = [*(_of_segments(text, picks) if picks else ()), *_ends_of_lines(text), *_capitals(text)]
    return lines(view, "picked letters", rows) if rows else None


def _of_segments(text: str, picks: Sequence[Callable[[str], str]]) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    room = _ROOM + len(text)
    for number, segment in enumerate(_segments(text)):
        words = list(_WORD.finditer(text, *segment))
        if number >= _MOST_SEGMENTS or len(words) < _FEWEST:
            continue
        said = ["".join(pick(word.group()) for word in words[-_MOST:]) for pick in picks]
        variants = tuple(dict.fromkeys(one for letters in said for one in _ends_cut(letters)))
        room -= sum(map(len, variants))
        if room < 0:
            return
        yield words[0].start(), words[-1].end(), variants


def _segments(text: str) -> Iterator[tuple[int, int]]:
    """What stands between full stops, colons and quotes, and all lines together."""
    yield from (found.span() for found in _SEGMENT.finditer(text))
    if "\n" in text:
        yield text.index("\n"), len(text)
        yield 0, text.rindex("\n")


def _ends_cut(letters: str) -> Iterator[str]:
    """Words of the instruction, or of the question, may stand before and behind: of a short row any number of them."""
    most = len(letters) if len(letters) <= _SHORT_ROW else _MOST_CUT
    for first in range(most + 1):
        for last in range(most + 1 - first if most > _MOST_CUT else most):
            if len(said := letters[first : len(letters) - last]) >= _FEWEST:
                yield said


def _letter(place: int) -> Callable[[str], str]:
    return lambda word: word[place] if -len(word) <= place < len(word) else ""


_PICKS: Sequence[tuple[re.Pattern[str], Sequence[Callable[[str], str]]]] = (
    (_FIRST, (_letter(0),)),
    (_LAST, (_letter(-1),)),
    (_OTHER, (_letter(1), _letter(2), lambda word: word[len(word) // 2], lambda word: word[(len(word) - 1) // 2])),
)


def _ends_of_lines(text: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    if "\n" in text and _LAST.search(text):
        last = "".join(letters[-1] for line in text.split("\n") if (letters := [*filter(str.isalpha, line)]))
        if len(last) >= _FEWEST:
            yield 0, len(text), tuple(_ends_cut(last[-_MOST:]))


def _capitals(text: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Capitals of each segment, those that begin a word and those inside of words."""
    if not _CAPITALS.search(text):
        return
    for number, found in enumerate(_SEGMENT.finditer(text)):
        capitals = [letter for letter in found.group() if letter.isupper()]
        if number < _MOST_SEGMENTS and _FEWEST <= len(capitals) <= _MOST:
            yield *found.span(), tuple(_ends_cut("".join(capitals)))


def picked_words(view: View) -> Iterator[View]:
    """The view with every second word and so on, or with its words in reverse order, if it says so."""
    if len(view.text) > _LONGEST or _WORD_CUES.isdisjoint(cues(view.text)):
        return
    for step in sorted({_STEPS.get((found["step"] or "").lower(), 2) for found in _EVERY.finditer(view.text)}):
        words = list(re.finditer(r"\S+", view.text))
        yield _of(view, [words[first::step] for first in range(step) if len(words) > first])
    if _BACKWARDS.search(view.text):
        segments = [list(re.finditer(r"[^\s\"“”]+", line.group())) for line in re.finditer(r"[^\n:\"“”]+", view.text)]
        yield _of(view, [words[::-1] for words in segments if words])


def _of(view: View, rows: Sequence[Sequence[re.Match[str]]]) -> View:
    """Words in another order, each row on a line."""
    places: list[int] = []
    text: list[str] = []
    for row in rows:
        for word in row:
            text += [*_whole(word), " "]
            places += [*range(word.start(), word.start() + len(_whole(word))), word.end() - 1]
        text[-1] = "\n"
    starts, ends = ([bounds[place] for place in places] for bounds in (view.starts, view.ends))
    return View("picked words", "".join(text), starts, ends)


def _whole(word: re.Match[str]) -> str:
    return str(word.group())
