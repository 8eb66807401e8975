"""Names with signs in place of letters, one sign a letter: `Sh*rl*ck`, `M_r_ T_l_nd`, `H*rry P?tter`.

A phrase is some words in a row, masked or not, the first letter of each known. A name stands in a table under its first
letters and the lengths of its words, a name of one word under its length and each of its letters at its place. A text
without such a sign between letters costs one search.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from classifiers.names.text import normalise
from classifiers.names.vocabulary import is_known, known_words

__all__ = ["MARK", "Phrase", "key", "keys", "phrases"]

MARK = "#"
"""The first sign of the keys."""
_UNKNOWN = "."
_PLAIN = "._=+-"  # signs that stand between words, too
_SIGNS = r"*?#~^@$%&•·●○█■□▒░▪◦×…—–" + _PLAIN
_LETTER = r"[^\W\d_]"
_BETWEEN = re.compile(rf"[{_SIGNS}](?={_LETTER})|[*_#?•●█■□▒░]{{2}}")
_SIGN = re.compile(f"[{_SIGNS}]")
_TOKEN = re.compile(rf"(?:{_LETTER}|[{_SIGNS}])+")
_PIECE = re.compile(rf"{_LETTER}+")
_ELLIPSIS = re.compile(r"\.{3,}|…")
_LONGEST_ELLIPSIS = 6  # letters that it stands for
_COMPOUND = re.compile(rf"{_LETTER}+(?:[{_PLAIN}]{_LETTER}+)*")
_MOST_MASKED, _MOST_PHRASES = 1_000, 40  # words of a text, phrases with one of them
_MOST_READINGS = 32  # of a row of words
_MOST_WORDS, _LONGEST = 4, 32  # of a phrase; letters of a word
_GAP = 3  # characters between two words
_LEAST_KNOWN, _SURE_SINGLE, _LEAST_SINGLE = 4, 6, 5  # letters
_SURE_SHARE, _SURE_SHARE_OF_A_WORD, _LEAST_SHARE = 0.5, 0.4, 0.34  # of the letters that are known
_RARE_LAST = "etaoinsrhldcumfpgwybvkxjzq"


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words of a text at a half-open range of its characters, in small letters, with a dot for each masked one."""

    words: tuple[str, ...]
    start: int
    end: int

    def is_of(self, name: Sequence[str]) -> bool:
        """Whether these may be the words of a name."""
        return len(name) == len(self.words) and all(map(_fits, self.words, name))

    @property
    def sure(self) -> bool:
        """Whether so many letters are known that the name needs no second sign."""
        known = [len(word) - word.count(_UNKNOWN) for word in self.words]
        shares = [letters / len(word) for letters, word in zip(known, self.words, strict=True)]
        total = len("".join(self.words))
        if sum(known) < _SURE_SHARE * total or min(shares) < _SURE_SHARE_OF_A_WORD:
            return False
        if len(self.words) > 1:
            return True
        (word,) = self.words
        return total >= _SURE_SINGLE and not word.rstrip(_UNKNOWN).isalpha() and not _may_be_common(word)


def keys(name: Sequence[str]) -> Iterator[str]:
    """What a name stands under, by its words."""
    if len(name) > 1:
        yield _shape(name)
    elif len(name[0]) >= _LEAST_SINGLE:
        (word,) = name
        yield from (_single(word, place) for place in range(1, len(word)))


def key(phrase: Phrase) -> str:
    """Under what a phrase is looked up."""
    if len(phrase.words) > 1:
        return _shape(phrase.words)
    (word,) = phrase.words
    known = [place for place in range(1, len(word)) if word[place] != _UNKNOWN]
    return _single(word, max(known, key=lambda place: _RARE_LAST.find(word[place])))


def phrases(text: str) -> list[Phrase]:
    """The phrases of a text with a masked word. Each is told once; of very many only the first."""
    if not _BETWEEN.search(text):
        return []
    row = [(token.start(), token.end(), token.group()) for token in _TOKEN.finditer(text)]
    masked = [number for number, (_, _, token) in enumerate(row) if not token.isalpha() and _is_masked(token)]
    found: dict[Phrase, None] = {}
    before = -1
    for number in masked[:_MOST_MASKED]:
        first, end = number, number + 1
        while first > max(before + 1, end - _MOST_WORDS) and _is_gap(text[row[first - 1][1] : row[first][0]]):
            first -= 1
        while end < min(len(row), number + _MOST_WORDS) and _is_gap(text[row[end - 1][1] : row[end][0]]):
            end += 1
        near = [(start, stop, _readings(token)) for start, stop, token in row[first:end]]
        found |= dict.fromkeys(itertools.islice(_phrases(near, number - first), _MOST_PHRASES))
        before = number
    return list(found)


@lru_cache(maxsize=4096)
def _is_masked(token: str) -> bool:
    """Whether a sign may stand for a letter of a run of letters and signs: not in `foo_bar.Baz` or `well-known`."""
    word = token.lstrip(_SIGNS)
    if len(token) > _LONGEST or not _BETWEEN.search(word):
        return False
    if _COMPOUND.fullmatch(word.rstrip(_SIGNS)):
        pieces = _PIECE.findall(word)
        if not word.isupper() and any(piece[1:] != piece[1:].lower() or piece[0].isupper() for piece in pieces[1:]):
            return False
        longer = [piece for piece in pieces if len(piece) > 2]
        return not longer or not all(is_known(piece.lower()) for piece in longer)
    return True


def _is_gap(between: str) -> bool:
    return len(between) <= _GAP and not any(map(str.isalnum, between))


@lru_cache(maxsize=4096)
def _readings(token: str) -> tuple[str, ...]:
    """A run of letters and signs as words, with a dot for each masked letter: signs at its end may be punctuation, and
    an ellipsis may stand for several letters."""
    word = token.lstrip(_SIGNS)
    stripped = word.rstrip(_SIGNS)
    around, rest = token[: -len(word)], word[len(stripped) :]
    if around and rest.endswith(around[::-1]):
        rest = rest[: -len(around)]  # what stands on both sides is no mask
    several = dict.fromkeys((stripped, stripped + rest[:-1], stripped + rest))
    for letters in range(1, _LONGEST_ELLIPSIS + 1) if _ELLIPSIS.search(stripped) else ():
        several[_ELLIPSIS.sub(_UNKNOWN * letters, stripped)] = None
    return tuple(pattern for one in several if len(one) <= _LONGEST and (pattern := _pattern(one)))


def _pattern(word: str) -> str | None:
    if word.isascii():
        return _SIGN.sub(_UNKNOWN, word).lower()
    letters = [normalise(letter).text.strip() if letter.isalpha() else _UNKNOWN for letter in word]
    return "".join(letters) if all(len(one) == 1 and one.isascii() for one in letters) else None


def _phrases(row: Sequence[tuple[int, int, tuple[str, ...]]], masked: int) -> Iterator[Phrase]:
    """The phrases of a row of words that have the word number `masked`, the shortest first."""
    for first in range(masked, -1, -1):
        for last in range(masked, min(first + _MOST_WORDS, len(row))):
            words = row[first : last + 1]
            every = itertools.product(*(readings for _, _, readings in words))
            for readings in itertools.islice(every, _MOST_READINGS):
                if _is_worth(readings):
                    yield Phrase(readings, words[0][0], words[-1][1])


def _is_worth(words: Sequence[str]) -> bool:
    letters = "".join(words)
    known = len(letters) - letters.count(_UNKNOWN)
    return _LEAST_KNOWN <= known < len(letters) and known >= _LEAST_SHARE * len(letters)


def _fits(word: str, wanted: str) -> bool:
    return len(word) == len(wanted) and all(one in (other, _UNKNOWN) for one, other in zip(word, wanted, strict=True))


def _shape(words: Sequence[str]) -> str:
    return MARK + " ".join([f"{word[0]}{len(word)}" for word in words])


def _single(word: str, place: int) -> str:
    return f"{MARK}{len(word)}{word[0]}{place}{word[place]}"


def _may_be_common(word: str) -> bool:
    """Whether some common word fits: `p?tter` may be a putter."""
    pattern = re.compile(word)
    return any(map(pattern.fullmatch, known_words(len(word))))
