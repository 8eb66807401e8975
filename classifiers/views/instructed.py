"""Names that a text says how to make: 'remove foo from Brafoocken', 'replace X with a', 'Hog followed by warts'. For
the detector of names alone.

Nothing here understands an instruction: words are put together in each of the few ways that it may mean, and only a
name counts. What becomes of single words is the matter of `classifiers.views.remade`.
"""

import re
from collections.abc import Iterator
from itertools import islice, permutations

from classifiers.views.lines import lines
from classifiers.views.remade import remade
from classifiers.views.view import View
from classifiers.views.wording import cues

__all__ = ["instructed"]

_Reading = tuple[int, int, str]  # (start, end) of the words that it is made of
_ROOM = 3_000  # characters of all readings, beside half of the text
_LONGEST = 24  # letters of a word into which others are put
_LEAST = 4  # letters of what is made
_WORD_IN_QUOTES = r"[\"'`‘“*_]{0,2}([^\W\d_]{1,16})[\"'`’”*_]{0,2}"
_THE = r"(?:(?:the|an?|some|letters?|words?|strings?|characters?|syllables?|part|prefix|suffix|text)\s){0,3}"
_JOINT = (
    r"(?:,?[\s-](?:(?:and|which is|it is|is)\s)?(?:(?:immediately|directly|then|right)\s)?"
    r"(?:followed[\s-]by|plus|concatenated (?:with|to)|joined (?:with|to|by)|next to|combined with|glued to|attached to"
    r"|prefixed to|suffixed to|prepended to|appended to|succeeded by|preceded by|in front of)|\s?\+{1,2})[\s-]"
)
_JOINED = re.compile(rf"(?<![^\W_]){_WORD_IN_QUOTES}{_JOINT}{_THE}{_WORD_IN_QUOTES}(?![^\W_])", re.IGNORECASE)
_APPENDED = re.compile(
    r"(?<![^\W_])(?:append|prepend|add|attach|tack|glue|put|stick|place|write|prefix|suffix|insert|affix|join)(?:ing|ed)?"
    rf"\s{_THE}{_WORD_IN_QUOTES}\s(?:(?:on|right|directly|in|at|the|front|end|start|beginning|back|of|to|onto|after"
    rf"|before|behind|with|between|and|into)\s){{1,6}}{_THE}{_WORD_IN_QUOTES}(?:\s(?:and|,)\s?{_WORD_IN_QUOTES})?"
    r"(?![^\W_])",
    re.IGNORECASE,
)
_LISTED = re.compile(
    r"(?<![^\W_])(?:combin|join|concatenat|merg|fus|glu|blend|connect|stitch|link|put together)[a-z]*:?\s(?:\w+:\s)?"
    rf"{_THE}{_WORD_IN_QUOTES}(?:(?:,|\s/|\s&|\s\+)?\s(?:and\s|with\s|then\s)?{_WORD_IN_QUOTES})"
    rf"(?:(?:,|\s/|\s&|\s\+)?\s(?:and\s|with\s|then\s)?{_WORD_IN_QUOTES})?"
    rf"(?:(?:,|\s/|\s&|\s\+)?\s(?:and\s|with\s|then\s)?{_WORD_IN_QUOTES})?",
    re.IGNORECASE,
)
_ENDED = re.compile(
    rf"(?<![^\W_])(?:start|begin)[a-z]*\s(?:with|by|in|as)\s{_THE}{_WORD_IN_QUOTES}[^\n]{{1,60}}?"
    rf"(?<![^\W_])(?:end|finish|clos|conclud)[a-z]*\s(?:with|in|by|on|as)\s{_THE}{_WORD_IN_QUOTES}(?![^\W_])",
    re.IGNORECASE,
)
_ADDED = re.compile(
    rf"(?<![^\W_])(?:take|start(?:ing)? with|use|type|say|with|write|word|from)\s{_THE}{_WORD_IN_QUOTES},?\s"
    r"(?:and\s)?(?:then\s)?"
    rf"(?:add|append|attach|tack on|put|stick|write|say|type|with)\s{_THE}{_WORD_IN_QUOTES}(?![^\W_])",
    re.IGNORECASE,
)
_VALUE = re.compile(rf"(?<![^\W_])(?:is|be|are|equals|reads|[=:])\s{_THE}{_WORD_IN_QUOTES}(?![^\W_])", re.IGNORECASE)
_VARIABLE = re.compile(r"(?<![^\W_])[A-Za-z]\d?\s?(?:is|be|=|:|equals)\s")
_PARTS = frozenset("half halv syll part let piec pref suff root stem segm chun frag".split())
_VALUES_APART, _MOST_VALUES = 60, 5  # characters between two; values of a name
_JOINS = tuple(
    (pattern, frozenset(marks.split()))
    for pattern, marks in (
        (_JOINED, "foll plus conc join next comb glue atta pref suff prep appe prec succ fron"),
        (_APPENDED, "appe prep add addi adde atta tack glue glui put putt stic plac writ pref suff inse affi join"),
        (_ADDED, "add adds stuc glue adde appe atta tack put stic"),
        (_LISTED, "comb join conc merg fuse fusi glue blen conn stit link put"),
        (_ENDED, "star begi"),
    )
)
_NUMBERED = re.compile(r"(?<![^\W_])(\d{1,2})\s?(?:[=:.)]|->|is)\s?[\"']?([^\W\d_])(?![^\W_])")
_PLACED = re.compile(r"(?<![^\W_])[\"']?([^\W\d_])[\"']?\s?(?:=|:|->|is|at)\s?(\d{1,2})(?![^\W_])")
_THEN = re.compile(
    r"(?<![^\W_])[^\W\d_](?:[\"']?,?\s(?:and\s)?(?:then|next|followed[\s-]by|plus|after that)\s(?:an?\s)?[\"']?"
    r"[^\W\d_](?![^\W_])){3,40}+"
)
_FOLLOWED = re.compile(r"(?:followed by (?:an? )?\w\W{1,4}(?:and )?){3,40}+")
_SINGLE = re.compile(r"(?<![^\W_])[^\W\d_](?![^\W_])")
_DIGITS = re.compile(r"\d.{1,12}\d")
_FEWEST_NUMBERED, _MOST_NUMBERED = 4, 60


def instructed(view: View) -> View | None:
    """What the instructions of a view may make of its odd words, one reading a line; None if it has none."""
    text = view.text
    readings = {
        reading: None
        for some in (_joined(text), _values(text), remade(text), _numbered(text), _then(text))
        for reading in some
        if len(reading[2]) >= _LEAST
    }
    room, rows = _ROOM + len(text) // 2, []
    for start, end, said in readings:
        room -= len(said) + 1
        if room < 0:
            break
        rows.append((start, end, (said,)))
    return lines(view, "instructed", rows) if rows else None


def _joined(text: str) -> Iterator[_Reading]:
    """Words that are named to be joined, in every order; a short one is a letter that stands at an end."""
    there = cues(text)
    for pattern, marks in _JOINS:
        spoken_of = not marks.isdisjoint(there) or (pattern is _JOINED and "+" in text)
        for found in pattern.finditer(text) if spoken_of else ():
            said = [word for word in found.groups() if word]
            for some in (said, said[:2], said[:3], said[1:]):
                for row in permutations(some) if 2 <= len(some) <= 3 else (some,):
                    yield found.start(1), found.end(), "".join(row)
            if pattern is _ENDED:
                yield from ((found.start(1), found.end(), one) for one in _overlapping(*said))
            if len(said) == 2 and pattern is _APPENDED and len(said[1]) <= _LONGEST:
                inserted = (said[1][:place] + said[0] + said[1][place:] for place in range(1, len(said[1])))
                yield from ((found.start(1), found.end(), one) for one in inserted)


def _values(text: str) -> Iterator[_Reading]:
    """The first half is Bracken, the second is fold; let A be Bracken and B be fold."""
    if _PARTS.isdisjoint(cues(text)) and not _VARIABLE.search(text):
        return
    row: list[re.Match[str]] = []
    for value in _VALUE.finditer(text):
        row = row[1 - _MOST_VALUES :] if row and value.start() - row[-1].end() <= _VALUES_APART else []
        row.append(value)
        for first in range(len(row) - 1):
            said = [one.group(1) for one in row[first:]]
            yield row[first].start(1), value.end(), "".join(said)
            yield row[first].start(1), value.end(), "".join(said[::-1])
            if len(said) == 2:
                yield from ((row[first].start(1), value.end(), one) for one in _overlapping(*said))


def _overlapping(one: str, other: str) -> Iterator[str]:
    """Bracken and enfold are Brackenfold."""
    for shared in range(1, min(len(one), len(other))):
        if one[-shared:].lower() == other[:shared].lower():
            yield one + other[shared:]


def _numbered(text: str) -> Iterator[_Reading]:
    """Letters with the numbers of their places: 2=r, 1=B."""
    for pattern, number in ((_NUMBERED, 1), (_PLACED, 2)) if _DIGITS.search(text) else ():
        found = list(islice(pattern.finditer(text), _MOST_NUMBERED))
        if len(found) >= _FEWEST_NUMBERED:
            placed = sorted(found, key=lambda one: int(one.group(number)))
            yield found[0].start(), found[-1].end(), "".join(one.group(3 - number) for one in placed)


def _then(text: str) -> Iterator[_Reading]:
    """B, then r, then a."""
    for run in _THEN.finditer(text) if " then " in text or " next " in text or " plus " in text else ():
        yield run.start(), run.end(), "".join(_SINGLE.findall(run.group()))
    for run in _FOLLOWED.finditer(text) if "followed by" in text else ():
        yield run.start(), run.end(), "".join(_SINGLE.findall(run.group()))
