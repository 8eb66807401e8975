"""Words that say a name in other letters, so that a reader sees it: pig latin, ubbi dubbi, no vowels; and words with
more letters than they need (`HxAxRxRxY`, `Haaarry`)."""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate

from classifiers.leaks.named import LEAST_LETTERS, Named
from classifiers.leaks.runs import LEAST_DRESSED

__all__ = ["forms", "undressed"]

_VOWELS = re.compile("[aeiou]")
_BEFORE_VOWELS = re.compile("(?=[aeiou])")
_LEAST_CONSONANTS = 6
_LONGEST = 64  # letters: a longer word is no name, and an answer that repeats one letter must not wait for its end
_LONG_RUN = re.compile(r"(.)\1{2,}")


def forms(name: Named) -> Iterator[Named]:
    """A name in other letters, word by word."""
    words = name.words
    said = [[_piggish(word, ending) for word in words] for ending in ("way", "yay", "ay")]
    said.append([_BEFORE_VOWELS.sub("ub", word) for word in words])
    bare = [_VOWELS.sub("", word) for word in words]
    if all(bare) and len("".join(bare)) >= _LEAST_CONSONANTS:
        said.append(bare)
        said.append([word[0] + _VOWELS.sub("", word[1:]) for word in words])
    for one in dict.fromkeys(map(tuple, said)):
        if len(letters := "".join(one)) >= LEAST_LETTERS:
            yield name.said(letters, tuple(accumulate(map(len, one[:-1]))))


def _piggish(word: str, ending: str) -> str:
    vowel = _VOWELS.search(word)
    onset, rest = (word[: vowel.start()], word[vowel.start() :]) if vowel else (word, "")
    return rest + onset + ("ay" if onset else ending) if rest else word + ending


@lru_cache(maxsize=16384)
def undressed(word: str) -> tuple[str, ...]:
    """What a word says without the letters that it does not need. It begins with what the beginning of the word says,
    so far as that has some letters."""
    if not LEAST_DRESSED <= len(word) <= _LONGEST:
        return ()
    if word[0] == word[1]:
        width = 3 if word[1] == word[2] else 2
        parts = [word[at : at + width] for at in range(0, len(word), width)]
        if all(part == part[0] * len(part) for part in parts):
            return (word[::width],)
    found = []
    if word[1] == word[3] and len(set(word[1::2])) == 1:
        found.append(word[::2])
    if _LONG_RUN.search(word):
        found += [_LONG_RUN.sub(r"\1", word), _LONG_RUN.sub(r"\1\1", word)]
    return tuple(found)
