"""Odd words changed as the words around them may say: without letters, with others for them, or turned.

Nothing here understands an instruction: a word is changed in each of the few ways that it may mean.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from classifiers.views.spelling import AROUND, stretches
from classifiers.views.wording import cues, words_of

__all__ = ["remade"]

_BEFORE, _BEHIND, _MOST_WINDOWS = 100, 160, 48  # characters around a word that instructs; such words of a text
_MOST_ODD, _LEAST, _LONGEST = 6, 4, 48  # odd words of a window; letters of one
_REMOVES = re.compile(
    r"(?<![^\W_])(?:remov|delet|drop|strip|eras|omit|without|ignor|minus|skip|discard|disregard|leav(?:e|ing) out"
    r"|(?:take|taking|leave|leaving) (?:out|away|off)|sub\(|split|trim|translate|cut|cross out|except|subtract|filter)"
    r"[a-z]*",
    re.IGNORECASE,
)
_PLACES = re.compile(
    r"(?<![^\W_])(?:(?:first|last|initial|final|leading|trailing|opening|ending|starting|beginning|outer)\s(?:\w+\s)?"
    r"(?:letters?|characters?|chars?|syllables?)|(?:every|each)\s\w+\s(?:letter|character|char)|rhymes?"
    r"|(?:starts?|begins?|ends?) (?:with|in)|\[-?\d{0,2}:|both ends|either end|the (?:front|end|start|back)\b)",
    re.IGNORECASE,
)
_SLICE = re.compile(r"\[-?\d{0,2}:")
_SWAPPED = re.compile(
    r"(?<![^\W_])(?:swap|switch|interchang|exchang)[a-z]*\s(?:(?:the|all|every|letters?|each)\s){0,3}"
    r"[\"'`‘“]?([^\W\d_])[\"'`’”]?(?:s|['’]s)?\s(?:and|with|for)\s(?:(?:the|all|every|letters?|each)\s){0,3}[\"'`‘“]?([^\W\d_])(?![^\W_])",
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
    r"(?:\s(?:(?:turned|changed|swapped|replaced|read)\s)?"
    r"(?:with|for|by|to|into|is|means|represents|becomes|stands for|instead of|as)\s"
    rf"|\s?(?:=|:|->|=>|→)\s?){_EVERY}{_LETTERS_SAID}",
    re.IGNORECASE,
)
_REPLACES = re.compile(
    r"(?<![^\W_])(?:replac|swap|substitut|chang|exchang|switch|turn|convert|where|let|with|instead|read|stands? for"
    r"|means|represents)[a-z]*",
    re.IGNORECASE,
)
_MOST_PAIRS = 12
_ARTICLES = "ai"
_LETTERS = re.compile(r"[^\W\d_]{6,}")


def remade(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, what it may be) of the odd words near an instruction."""
    if not stretches(text):
        return
    there, sliced = cues(text) | (words_of(text) & {"without"}), _SLICE.search(text) is not None
    changes = [one for one in _CHANGES if not one[2].isdisjoint(there) or (sliced and one[0] is _PLACES)]
    odd = list(_odd(text)) if changes else []
    starts = [start for start, _, _ in odd]
    for pattern, change, _ in changes if odd else ():
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
            for said in (word,) if word.isalpha() else (word, *_LETTERS.findall(word)):
                if _LEAST <= len(said) <= _LONGEST:
                    first = stretch.start + token.start() + token.group().index(said)
                    yield first, first + len(said), said


def _without(word: str, window: str) -> Iterator[str]:
    """Without what the window has as a word of its own, and without digits and signs."""
    for said in (word, *_without_parts(word, window)):
        yield said
        yield "".join(filter(str.isalpha, said))


def _without_parts(word: str, window: str) -> Iterator[str]:
    small = word.lower()
    parts = dict.fromkeys(
        part
        for token in re.findall(r"[^\W_]+|[^\w\s]+", window.lower())
        for part in (token, token.removesuffix("s"))
        if part and len(part) < len(small) and part in small
    )
    letters = [part for part in parts if len(part) == 1 and part not in _ARTICLES]
    for some in ([[part] for part in parts], [list(parts), letters]):
        yield from (_translated(word, dict.fromkeys(one, "")) for one in some if one)
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
    for step in (2, 3, 4):
        for first in range(step):
            yield from (word[first::step], word[::-1][first::step])


def _turned(word: str, window: str) -> Iterator[str]:
    """Its end before its beginning."""
    for place in range(1, len(word)):
        yield word[place:] + word[:place]


def _replaced(word: str, window: str) -> Iterator[str]:
    """With the letters that stand for others: all of them, one by one, or the first alone."""
    pairs = [(found.group(1), found.group(2)) for found in islice(_FOR.finditer(window), _MOST_PAIRS)]
    for some in (pairs, [pair[::-1] for pair in pairs]):
        known = {one.lower(): other for one, other in some if one.lower() in word.lower()}
        for table in (known, *({one: other} for one, other in known.items())) if known else ():
            yield _translated(word, table)
        for one, other in known.items():
            at = word.lower().index(one)
            yield word[:at] + other + word[at + len(one) :]
    for swapped in islice(_SWAPPED.finditer(window), _MOST_PAIRS):
        one, other = (letter.lower() for letter in swapped.groups())
        yield _translated(word, {one: other, other: one})


def _translated(word: str, table: Mapping[str, str]) -> str:
    every = "|".join(re.escape(one) for one in sorted(table, key=len, reverse=True))
    return re.sub(every, lambda found: table.get(found.group().lower(), ""), word, flags=re.IGNORECASE)


# Each with the beginnings of the words that it needs: most texts have none, and a pattern takes longer to say so.
_CHANGES: Sequence[tuple[re.Pattern[str], Callable[[str, str], Iterator[str]], frozenset[str]]] = tuple(
    (pattern, change, frozenset(words.split()))
    for pattern, change, words in (
        (
            _REMOVES,
            _without,
            "remo dele drop stri eras omit without igno minu skip disc disr leav taki take sub spli trim lstr rstr tran"
            " cut cros exce subt filt",
        ),
        (_PLACES, _cut, "lett char syll rhym star begi end ends both eith fron back"),
        (_TURNS, _turned, "move movi rota shif swap swit exch cycl halv half"),
        (_REPLACES, _replaced, "repl swap subs chan exch swit inte turn conv wher let inst read stan mean repr"),
    )
)
