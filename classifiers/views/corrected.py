"""Sentences with several misspelt words, with the words that are meant: an encoder makes little of `the drk lrod`.

A word that nobody writes is misspelt if one slip makes a common word of it: of several, the one that is frequent and
near (Kernighan, Church & Gale 1990). Names are the matter of `classifiers.names.near`.
"""

import re
from collections.abc import Sequence

from classifiers.names.real_words import is_real, load, neighbours
from classifiers.names.slips import cost
from classifiers.views.view import Decoded, Edit, View, rewritten

__all__ = ["corrected"]

_SENTENCE = re.compile(r"[^.!?\n]+")
_WORD = re.compile(r"(?<![^\W_])[A-Za-z]{2,}(?![^\W_])")
_FEWEST, _LEAST_SHARE = 2, 1 / 8  # misspelt words of a sentence
_FREQUENT, _LEAST_FREQUENT = 12.5, 0.25  # logarithm of the count of English words such as `does`, and their share
_LEAST_READ = 0.75  # of its words are English, or misspelt English
_LEAST_LETTERS, _LONGEST = 3, 24
_COST = 4.0  # how much a slip weighs against the logarithm of a word's frequency


def corrected(view: View) -> View | None:
    """The view with the words that are meant; None if no sentence has several misspelt ones."""
    edits = [edit for sentence in _SENTENCE.finditer(view.text) for edit in _edits(view.text, *sentence.span())]
    return rewritten(view, "corrected", edits) if edits else None


def _edits(text: str, start: int, end: int) -> list[Edit]:
    words = list(_WORD.finditer(text, start, end))
    unread = [word for word in words if not is_real(word.group().lower())]
    if len(unread) < _FEWEST or not _is_english([word.group().lower() for word in words]):
        return []
    meant = [(word, _meant(word.group().lower())) for word in unread if word.group().islower() or word is words[0]]
    edits = [Edit(word.start(), Decoded(other, [0] * len(other), len(word.group()))) for word, other in meant if other]
    read = len(words) - len(unread) + len(edits)
    enough = len(edits) >= max(_FEWEST, _LEAST_SHARE * len(words)) and read >= _LEAST_READ * len(words)
    return edits if enough else []


def _is_english(words: Sequence[str]) -> bool:
    """Whether so many of the words are the most frequent ones of English: nobody misspells all of these."""
    return int((load().counts_of(words) > _FREQUENT).sum()) >= _LEAST_FREQUENT * len(words)


def _meant(word: str) -> str | None:
    """The common word that a misspelt one is meant to be."""
    if not _LEAST_LETTERS <= len(word) <= _LONGEST:
        return None
    likely = {other: count for other, count in neighbours(word).items() if len(other) > 1}
    return max(likely, key=lambda other: likely[other] - _COST * cost(other, word, 1.0), default=None)
