"""Names that a text says how to make: 'remove foo from Brafoocken', 'replace X with a', 'Hog followed by warts'. For
the detector of names alone.

Nothing here understands an instruction. Near a word that gives one, each odd word is changed in the few ways that the
words around it may mean, and only a name counts.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, permutations

from classifiers.views.lines import lines
from classifiers.views.spelling import AROUND, stretches
from classifiers.views.view import View
from classifiers.views.wording import cues

__all__ = ["instructed"]

_Reading = tuple[int, int, str]  # (start, end) of the words that it is made of
_BEFORE, _BEHIND, _MOST_WINDOWS = 100, 160, 48  # characters around a word that instructs; such words of a text
_ROOM = 3_000  # characters of all readings, beside half of the text
_MOST_ODD, _LONGEST = 6, 24  # odd words of a window; letters of one
_LEAST = 4  # letters of what is made
_WORD_IN_QUOTES = r"[\"'`‘“*_]{0,2}([^\W\d_]{1,16})[\"'`’”*_]{0,2}"
_THE = r"(?:(?:the|an?|some|letters?|words?|strings?|characters?|syllables?|part|prefix|suffix|text)\s){0,3}"
_REMOVES = re.compile(
    r"(?<![^\W_])(?:remov|delet|drop|strip|eras|omit|without|ignor|minus|skip|discard|disregard|leav(?:e|ing) out"
    r"|take (?:out|away|off)|cut|cross out|except|subtract|filter)[a-z]*",
    re.IGNORECASE,
)
_PLACES = re.compile(
    r"(?<![^\W_])(?:(?:first|last|initial|final|leading|trailing|opening|ending|starting|beginning|outer)\s(?:\w+\s)?"
    r"(?:letters?|characters?|chars?|syllables?)|both ends|either end|the (?:front|end|start|back)\b)",
    re.IGNORECASE,
)
_TURNS = re.compile(
    r"(?<![^\W_])(?:mov(?:e|ed|ing)|rotat\w+|shift\w*|swap\w*|switch\w*|exchang\w+|cycl\w+|halves|half)", re.IGNORECASE
)
_SIGN_OR_LETTERS = r"[\"'`‘“]?([^\s\"'`‘“’”,.;()]{1,4})[\"'`’”]?(?:s|['’]s)?"
_LETTERS_SAID = r"[\"'`‘“]?([^\W\d_]{1,4})[\"'`’”]?(?![^\W_])"
_EVERY = (
    r"(?:(?:all|every|each|any|the|an?(?=\s(?:letter|char))|letters?|characters?|signs?|symbols?|numbers?|digits?"
    r"|instances|of)\s){0,5}"
)
_FOR = re.compile(
    rf"(?<![^\s\"'(]){_SIGN_OR_LETTERS}"
    r"(?:\s(?:with|for|by|to|into|is|means|represents|becomes|stands for|instead of|as)\s"
    rf"|\s?(?:=|:|->|=>|→)\s?){_EVERY}{_LETTERS_SAID}",
    re.IGNORECASE,
)
_REPLACES = re.compile(
    r"(?<![^\W_])(?:replac|swap|substitut|chang|exchang|switch|turn|convert|where|let|with|instead|read|stands? for"
    r"|means|represents)[a-z]*",
    re.IGNORECASE,
)
_MOST_PAIRS = 12
_JOINT = (
    r"(?:,?\s(?:(?:and|which is|it is|is)\s)?(?:(?:immediately|directly|then|right)\s)?"
    r"(?:followed by|plus|concatenated (?:with|to)|joined (?:with|to|by)|next to|combined with|glued to|attached to"
    r"|prefixed to|suffixed to|prepended to|appended to|succeeded by|preceded by|in front of)|\s?\+{1,2})\s"
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
_JOINS = tuple(
    (pattern, frozenset(marks.split()))
    for pattern, marks in (
        (_JOINED, "foll plus conc join next comb glue atta pref suff prep appe prec succ fron"),
        (_APPENDED, "appe prep add addi adde atta tack glue glui put putt stic plac writ pref suff inse affi join"),
        (_LISTED, "comb join conc merg fuse fusi glue blen conn stit link put"),
        (_ENDED, "star begi"),
    )
)
_CHANGE_CUES = (
    "remo dele drop stri eras omit with igno minu skip disc disr leav take cut cros exce subt filt firs last init fina"
    " lead trai open endi star begi oute both eith fron end back move movi rota shif swap swit exch cycl halv half repl"
    " subs chan turn conv wher let inst read stan mean repr"
)
_CHANGES_SOMETHING = frozenset(_CHANGE_CUES.split())
_NUMBERED = re.compile(r"(?<![^\W_])(\d{1,2})\s?(?:[=:.)]|->|is)\s?[\"']?([^\W\d_])(?![^\W_])")
_PLACED = re.compile(r"(?<![^\W_])[\"']?([^\W\d_])[\"']?\s?(?:=|:|->|is|at)\s?(\d{1,2})(?![^\W_])")
_THEN = re.compile(
    r"(?<![^\W_])[^\W\d_](?:[\"']?,?\s(?:and\s)?(?:then|next|followed by|plus|after that)\s(?:an?\s)?[\"']?"
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
        for some in (_joined(text), _from_odd_words(text), _numbered(text), _then(text))
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


def _overlapping(one: str, other: str) -> Iterator[str]:
    """Bracken and enfold are Brackenfold."""
    for shared in range(1, min(len(one), len(other))):
        if one[-shared:].lower() == other[:shared].lower():
            yield one + other[shared:]


def _from_odd_words(text: str) -> Iterator[_Reading]:
    odd = [] if _CHANGES_SOMETHING.isdisjoint(cues(text)) else list(_odd(text))
    if not odd:
        return
    starts = [start for start, _, _ in odd]
    for pattern, change in ((_REMOVES, _without), (_PLACES, _cut), (_TURNS, _turned), (_REPLACES, _replaced)):
        for start, end in _windows(text, pattern):
            first = bisect_left(starts, start)
            near = [word for word in odd[first : first + _MOST_ODD] if word[1] <= end]
            for begin, stop, word in near:
                yield from ((begin, stop, said) for said in change(word, text[start:end]))


def _windows(text: str, pattern: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """The characters around what a pattern finds; near ones together."""
    start = end = -1
    for found in islice(pattern.finditer(text), _MOST_WINDOWS):
        if found.start() - _BEFORE <= end and end - start < 4 * _BEHIND:
            end = found.end() + _BEHIND
            continue
        if end >= 0:
            yield max(0, start), end
        start, end = found.start() - _BEFORE, found.end() + _BEHIND
    if end >= 0:
        yield max(0, start), end


def _odd(text: str) -> Iterator[tuple[int, int, str]]:
    """The odd words of a text, without the signs around them."""
    for stretch in stretches(text):
        for token in re.finditer(r"\S+", text[stretch.start : stretch.end]):
            word = token.group().strip(AROUND)
            if _LEAST <= len(word) <= _LONGEST:
                first = stretch.start + token.start() + token.group().index(word)
                yield first, first + len(word), word


def _without(word: str, window: str) -> Iterator[str]:
    """Without what the window has as a word of its own, and without digits and signs."""
    small = word.lower()
    parts = dict.fromkeys(
        part
        for token in re.findall(r"[^\W_]+|[^\w\s]+", window.lower())
        for part in (token, token.removesuffix("s"))
        if part and len(part) < len(small) and part in small
    )
    bare = "".join(filter(str.isalpha, word))
    if bare != word:
        yield bare
    for part in parts:
        yield re.sub(re.escape(part), "", word, flags=re.IGNORECASE)
    if len(parts) > 1:
        yield re.sub("|".join(map(re.escape, parts)), "", word, flags=re.IGNORECASE)
    for letter in re.findall(r"(?<![^\W_])([A-Za-z])(?![^\W_])", window):
        yield from (word.removeprefix(letter), word.removesuffix(letter))


def _cut(word: str, window: str) -> Iterator[str]:
    """Without letters at an end, or with another letter there."""
    for letters in range(1, 5):
        yield from (word[letters:], word[:-letters])
    yield word[1:-1]
    for letter in dict.fromkeys(re.findall(r"(?<![^\W_])([A-Za-z])(?![^\W_])", window)):
        yield from (letter + word[1:], word[:-1] + letter, letter + word, word + letter)
    yield word[-1] + word[1:-1] + word[0]


def _turned(word: str, window: str) -> Iterator[str]:
    """Its end before its beginning."""
    for place in range(1, len(word)):
        yield word[place:] + word[:place]


def _replaced(word: str, window: str) -> Iterator[str]:
    """With the letters that stand for others: all of them, or one by one."""
    pairs = [(found.group(1), found.group(2)) for found in islice(_FOR.finditer(window), _MOST_PAIRS)]
    for some in (pairs, [pair[::-1] for pair in pairs]):
        yield from _with_pairs(word, some)


def _with_pairs(word: str, pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    known = {one.lower(): other for one, other in pairs if one.lower() in word.lower()}
    if not known:
        return
    for table in (known, *({one: other} for one, other in known.items())):
        yield _translated(word, table)


def _translated(word: str, table: Mapping[str, str]) -> str:
    every = "|".join(re.escape(one) for one in sorted(table, key=len, reverse=True))
    return re.sub(every, lambda found: table[found.group().lower()], word, flags=re.IGNORECASE)


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
