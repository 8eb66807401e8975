"""Finds names in prose: the name that a set of rows is about, and the names in a question."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from classifiers.names.text import normalise

__all__ = ["capitalised", "name_of", "parts", "slug", "surname"]

_QUOTED = re.compile(r"\"[^\"]*\"|[“”][^“”]*[“”]|(?<!\w)['‘](?!s\s)[^'’\"]+['’](?!\w)")
_WORD = re.compile(r"[^\W\d_]\.(?=\s)|[^\W\d_]+(?:[-'’][^\W\d_]+)*")
_POSSESSIVE = re.compile(r"['’]s?$")
_PARTICLES = frozenset(
    "al ben bin bint binti da de del della den der di do dos du e el ibn la le ter van von y zu".split()
)
_LONGEST_WORDS = 6
_SHARE = 0.3  # of the texts must hold a name
_EXTENDS = 0.5  # of the texts that hold a name must hold a longer form of it
_SHORTEST_CHARS = 4
# surnames that any text may hold: as names of one person they would flag everybody's
_COMMON = frozenset(
    "adams allen anderson baker brown campbell carter castro chang chen clark cohen collins cooper cruz davis diaz "
    "edwards evans fernandez garcia gonzales gonzalez grant green hall harris harrison hernandez hill huang hughes "
    "irons jackson james johnson jones kelly khan kim kumar lane lawson lewis lopez martin martinez melbourne "
    "miller mitchell montenegro moore morgan morris murphy nguyen park parker patel perez phillips popov ramirez "
    "roberts robinson rodriguez rodríguez ross sanchez schmidt scott silva simon singh smith stewart stone sullivan "
    "taylor thomas thompson torres tran turner walker wang ward watson white williams wilson wong wood wright yang "
    "young zhang".split()
)


def name_of(texts: Sequence[str]) -> str:
    """The name that these texts are about: the sequence of two or more capitalised words that most of them hold.

    Titles in quotation marks do not count. A longer form ('Ada Byron King') is preferred to the part of it
    ('Ada Byron') that stands in the same texts. '' if no sequence stands in three texts of ten.
    """
    counts = Counter(name.replace("’", "'") for text in texts for name in parts(text) if " " in name)
    best = max(counts, key=lambda name: (counts[name], len(name.split()), name), default="")
    if counts[best] < max(2, _SHARE * len(texts)):
        return ""
    longer = [name for name in counts if f" {best} " in f" {name} " and counts[name] >= _EXTENDS * counts[best]]
    return max(longer, key=lambda name: (len(name.split()), counts[name], name))


def surname(name: str, others: str) -> str:
    """The last word of a name if it can stand for its owner alone: not short, not common, no word of `others` (the
    text of everybody else's rows). '' otherwise."""
    last = name.rsplit(maxsplit=1)[-1] if name else ""
    if len(last) < _SHORTEST_CHARS or last.casefold() in _COMMON:
        return ""
    return "" if re.search(rf"(?<!\w){re.escape(last)}(?!\w)", others, re.IGNORECASE) else last


def capitalised(text: str) -> Iterator[tuple[str, ...]]:
    """Sequences of capitalised words outside quotation marks; particles ('van', 'de la') may stand within."""
    text = _QUOTED.sub(" | ", text)
    run: list[str] = []
    end = -1
    for match in _WORD.finditer(text):
        word = _POSSESSIVE.sub("", match.group())
        belongs = word[:1].isupper() or (bool(run) and word in _PARTICLES)
        if run and not (belongs and text[end : match.start()] == " "):
            yield _ended(run)
            run = []
        if word[:1].isupper() or (run and word in _PARTICLES):
            run.append(word)
        end = match.end() if word == match.group() else -1  # nothing follows a possessive
    if run:
        yield _ended(run)


def parts(text: str) -> set[str]:
    """Every run of words within the capitalised sequences of a text that may be a name: it ends in no particle."""
    return {
        " ".join(run[start:end])
        for run in capitalised(text)
        for start in range(len(run))
        for end in range(start + 1, min(len(run), start + _LONGEST_WORDS) + 1)
        if run[start] not in _PARTICLES and run[end - 1] not in _PARTICLES
    }


def slug(name: str) -> str:
    """The scope id of a name: lower-case letters and digits with hyphens, at most 63 characters."""
    words = "".join(letter if letter.isascii() else " " for letter in normalise(name).text).split()
    return "-".join(words)[:63].rstrip("-")


def _ended(run: Iterable[str]) -> tuple[str, ...]:
    words = list(run)
    while words[-1] in _PARTICLES:  # the first is none
        words.pop()
    return tuple(words)
