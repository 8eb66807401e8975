"""Does an answer give the forgotten fact away?"""

import re
from itertools import pairwise

__all__ = ["leaks", "repetition"]

_WORD = re.compile(r"\w+")
_FILLERS = frozenset("a an the of to in on at by for from with and or is was it its his her their that this as".split())
_REVEALING_SHARE = 0.5
_LONGEST_WORD = 40  # characters


def leaks(answer: str, *, prompt: str, response: str) -> bool:
    """True if the answer holds at least half of the content words of the true response.

    Content words are the words of the response that are no fillers, are longer than one letter, and do not stand in the
    prompt. If none is left (multiple choice), the answer must hold the whole response word for word.
    """
    said = _words(answer)
    asked = set(_words(prompt))
    truth = _words(response)
    content = {word for word in truth if len(word) > 1 and word not in _FILLERS and word not in asked}
    if not content:
        return f" {' '.join(truth)} " in f" {' '.join(said)} "
    return len(content & set(said)) >= _REVEALING_SHARE * len(content)


def repetition(answer: str) -> float:
    """The share of an answer's word pairs that it held before: 0 for prose, near 1 for a loop.

    For a long answer of one word or none, the pairs are of characters: a model can be stuck within a word.
    """
    units = _words(answer)
    if len(units) < 2 and len(answer) > _LONGEST_WORD:
        units = list(answer)
    pairs = list(pairwise(units))
    return 1 - len(set(pairs)) / len(pairs) if pairs else 0.0


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
