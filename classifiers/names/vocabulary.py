"""Which words are English, by the shipped general prompts."""

import math
import re
from collections import Counter
from functools import lru_cache
from itertools import pairwise

from classifiers.traffic import general_traffic

__all__ = ["common_pairs", "is_known", "is_strange", "known_share", "known_words", "parted"]

_LETTERS = re.compile(r"[a-z]+")
_ENDINGS = ("s", "es", "ed", "d", "ing", "ly", "er", "ers", "al", "ment", "ness", "less", "able", "ful")
_CHANGES = (("ies", "y"), ("ied", "y"), ("ing", "e"), ("ily", "y"))
# Such a word doubles its last letter before such an ending: 'poter' has nothing to do with a pot.
_DOUBLING = ("ed", "ing", "er", "ers")
_DOUBLED = re.compile("[^aeiou]+[aeiou][^aeiouwxy]")
_SHORT_ENDINGS = 2  # letters of a word in front of an ending
_LONGEST = 14
_NEIGHBOUR_WORDS = 3
_STRANGE = 9.0  # cost of a stretch of letters that is no word, and of each letter in it
_STRANGE_LETTER = 3.0
_LONGEST_RUN = 400
_LONGEST_KNOWN = 40  # letters; no common word is as long, and a memory of longer ones would have no bound


@lru_cache(maxsize=1)
def _counts() -> Counter[str]:
    """How often each word stands in small letters."""
    return Counter(word for row in general_traffic() for word in re.findall(r"(?<![A-Za-z])[a-z]+", row))


def is_known(word: str) -> bool:
    """Whether a word in small letters is common in English, alone or before a common ending."""
    return len(word) <= _LONGEST_KNOWN and _is_known(word)


@lru_cache(maxsize=65536)
def _is_known(word: str) -> bool:
    counts = _counts()
    if word in counts:
        return True
    for ending in _ENDINGS:
        stem = word[: -len(ending)]
        if word.endswith(ending) and len(stem) > _SHORT_ENDINGS:
            doubled = stem[-1] == stem[-2] and stem[:-1] in counts
            if doubled or (stem in counts and not (ending in _DOUBLING and _DOUBLED.fullmatch(stem))):
                return True
    return any(word.endswith(end) and word[: -len(end)] + other in counts for end, other in _CHANGES)


@lru_cache(maxsize=64)
def known_words(letters: int) -> tuple[str, ...]:
    """The common words of so many letters."""
    return tuple(word for word in _counts() if len(word) == letters)


def is_strange(text: str) -> bool:
    """Whether letters stand beside each other in its words as in hardly any common word."""
    neighbours = _neighbours()
    return any(pair not in neighbours for word in _LETTERS.findall(text.lower()) for pair in pairwise(word))


@lru_cache(maxsize=1)
def _neighbours() -> frozenset[tuple[str, str]]:
    found = Counter(pair for word in _counts() for pair in set(pairwise(word)))
    return frozenset(pair for pair, words in found.items() if words >= _NEIGHBOUR_WORDS)


def known_share(text: str) -> float:
    """The share of a text's letters that stand in common words of two letters and more."""
    words = _LETTERS.findall(text.lower())
    letters = sum(map(len, words))
    return sum(len(word) for word in words if len(word) > 1 and is_known(word)) / letters if letters else 0.0


def common_pairs(text: str) -> int:
    """How many words of a text stand beside each other in general prompts, too: of the same words in another order,
    fewer do."""
    words = _LETTERS.findall(text.lower())
    return sum(pair in _pairs() for pair in pairwise(words))


@lru_cache(maxsize=1)
def _pairs() -> frozenset[tuple[str, str]]:
    return frozenset(pair for row in general_traffic() for pair in pairwise(_LETTERS.findall(row.lower())))


def parted(letters: str) -> list[str]:
    """A run of small letters as the likeliest words. What is no common word stays together."""
    if len(letters) > _LONGEST_RUN:
        return [
            part for start in range(0, len(letters), _LONGEST_RUN) for part in parted(letters[start:][:_LONGEST_RUN])
        ]
    counts = _counts()
    total = math.log(counts.total())
    best = [(0.0, 0, True)]  # cost, where the last word begins, whether it is common
    for end in range(1, len(letters) + 1):
        found = []
        for start in range(max(0, end - _LONGEST), end):
            cost, _, common = best[start]
            count = counts[letters[start:end]]
            if count and (end - start > 1 or letters[start:end] in "ai"):
                found.append((cost + total - math.log(count), start, True))
            if common:
                found.append((cost + _STRANGE + _STRANGE_LETTER * (end - start), start, False))
        best.append(min(found) if found else (best[-1][0] + _STRANGE, end - 1, True))
    words, end = [], len(letters)
    while end:
        start = best[end][1]
        words.append(letters[start:end])
        end = start
    return words[::-1]
