"""Which names are ordinary words of the language, and whether a text writes such a name as a name."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from classifiers.names.text import normalise
from classifiers.traffic import general_traffic

__all__ = ["Alias", "Match", "as_written", "decided", "is_ordinary", "name_of"]

Match = Literal["word", "exact", "confirmed"]

_WORD = re.compile(r"[^\W_]+")
_HYPHEN = re.compile(r"[-_\u2010-\u2015\u2212]")
_BY_CHANCE_ROWS = 0.1
_AROUND = " \t\"'“”‘’«»„([{}])*_#>-–—"  # between a sentence's end and the next word
_BRACKETS = ("(", "[", "{")
_NOTES = re.compile(r"(?:\s*\[[\w ]{1,12}\])+\s*$")  # as encyclopedias have them
_SENTENCE_ENDS = frozenset(".!?:;…\n\r。！？")


@dataclass(frozen=True, slots=True)
class Alias:
    """A name, and the rule of what counts as it.

    `word`: the name in any spelling. `exact`: the name with its capitals or its hyphens, as in `name`; another spelling
    needs a second sign. `confirmed`: the name always needs a second sign. A second sign is another name of the scope in
    the same text, or the scope's classifier.
    """

    name: str
    match: Match = "word"


def name_of(alias: str | Alias) -> str:
    """The text of an alias."""
    return alias if isinstance(alias, str) else alias.name


def decided(name: str) -> str | Alias:
    """The rule for a name without one in the scope file: ordinary words must be written as a name."""
    return Alias(name, "exact") if is_ordinary(name) else name


def is_ordinary(name: str) -> bool:
    """Whether general traffic holds these words in lower case, or would by chance.

    If the words of a name met by chance, they would meet in rows * product(share of rows with the word) rows. From a
    tenth of a row on they count as ordinary words. So 'You-Know-Who' is ordinary. 'Half-Blood Prince' is not, although
    its words are. A number has no capitals and is always ordinary.
    """
    words = normalise(name).text.split()
    if not any(character.isalpha() for character in name):
        return True
    rows, rows_with, together = _general_words()
    expected = float(rows)
    for word in words:
        expected *= rows_with[word] / rows
    return expected >= _BY_CHANCE_ROWS or f" {' '.join(words)} " in together


@lru_cache(maxsize=1)
def _general_words() -> tuple[int, Counter[str], str]:
    """Rows of the shipped general traffic, how many hold each lower-case word, and all lower-case words in a row.

    A row without any capital says nothing: its writer gives names no capitals either.
    """
    rows_with: Counter[str] = Counter()
    lines = []
    traffic = [row for row in general_traffic() if row != row.lower()]
    for row in traffic:
        words = [word if word.islower() else "|" for word in _WORD.findall(row)]
        rows_with.update({normalise(word).text.strip() for word in set(words)})
        lines.append(" ".join(words))
    return len(traffic), rows_with, f" {' | '.join(lines)} "


def as_written(name: str, text: str, start: int, end: int) -> bool:
    """Whether text[start:end] has the capitals or the hyphens of a name.

    A capital that opens a sentence does not count: any word has it there.

    Args:
        name: the name as the scope file writes it.
        text: the whole text.
        start: where the name begins in the text.
        end: where it ends, exclusive.
    """
    found = text[start:end]
    return _has_hyphens(name, found) or _has_capitals(name, found, opens=_opens_sentence(text, start))


def _has_hyphens(name: str, found: str) -> bool:
    wanted, given = _WORD.split(name)[1:-1], _WORD.split(found)[1:-1]
    if len(wanted) != len(given) or not any(_HYPHEN.search(gap) for gap in wanted):
        return False
    return all(_HYPHEN.search(other) for gap, other in zip(wanted, given, strict=True) if _HYPHEN.search(gap))


def _has_capitals(name: str, found: str, *, opens: bool) -> bool:
    wanted, given = _WORD.findall(name), _WORD.findall(found)
    if len(wanted) != len(given):
        return False
    told = [_written(word, other) for word, other in zip(wanted, given, strict=True) if word != word.lower()]
    if not told:
        return False
    if wanted[0] != wanted[0].lower():
        sure = told[0] and (not opens or any(letter.isupper() for letter in wanted[0][1:]))
        return all(told[1:]) and (sure or len(told) > 1)
    return all(told)


def _written(word: str, other: str) -> bool:
    return other in (word, word[0].upper() + word[1:])


def _opens_sentence(text: str, start: int) -> bool:
    before = _NOTES.sub("", text[max(0, start - 80) : start])
    if before.endswith(_BRACKETS):
        return True
    before = before.rstrip(_AROUND)
    return not before or before[-1] in _SENTENCE_ENDS
