"""What it costs to bend one word to another: slips of hands, ears and scanners cost less than others.

The cost is an edit distance (Damerau 1964) with weights, as Kernighan, Church & Gale (1990) weigh typing errors: a
letter more, less or another costs 1, two neighbours that changed places .75, a doubled letter .5; a key beside the
right one, a vowel for a vowel, what sounds alike and what a scanner takes for another .6.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from classifiers.names.real_words import is_common, is_real, neighbours
from classifiers.names.vocabulary import is_known, is_strange

__all__ = ["begins_alike", "cost", "slipped"]

_DOUBLED, _TURNED, _LIKE, _MUTE = 0.5, 0.75, 0.6, 0.4
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_LETTERS = ("ck", "kq", "cs", "sz", "vw", "ij", "bh", "ec", "gq", "il", "tf", "mn", "nh", "uv", "gs", "bg", "ag")
_SEVERAL = (
    *(("rn", "m"), ("ri", "n"), ("cl", "d"), ("vv", "w"), ("ii", "u"), ("li", "u")),
    *(("ph", "f"), ("ck", "k"), ("wh", "w"), ("sch", "sh"), ("qu", "kw"), ("x", "ks"), ("ee", "y"), ("ee", "ea")),
    *(("oo", "u"), ("oe", "ow"), ("ai", "ay"), ("er", "ur"), ("or", "aw"), ("ie", "y"), ("ou", "u")),
)
_LONGEST = 3  # letters of the longest of several
_VOWELS = "aeiouy"
_MOST_LONGER = 3  # letters that one word may have more than the other
_LEAST_LETTERS = 8  # of a name of several words that counts alone
_FOUND, _FOUND_WORD = 0.36, 0.55  # costs for each letter of a name, and of one of its words
_SURE_WORD = 0.4  # for each letter of one word, if the name counts alone
_FOUND_UNLIKE = 0.25  # of a name with a word that begins otherwise
_FOUND_COMMON = 0.15  # of a name with a word that is a common one now
_SURE, _SURE_BESIDE_RIGHT = 0.3, 0.36
_SHORT = 4  # letters of a first name: one other letter makes another
_LEAST_SINGLE = 5  # letters of a name of one word
_FOUND_SINGLE = {5: 1.0, 6: 1.6, 7: 2.0, 8: 2.4}
_SURE_SINGLE = {5: 0.0, 6: 1.2, 7: 1.5, 8: 1.75}
_SURE_OF_OTHER_LENGTH = 1.2  # with two letters more or fewer
_SURE_LONGER = 1.5  # with a letter more
_SURE_STRANGE_SINGLE = {5: 0.75, 6: 1.4, 7: 1.75, 8: 1.9}  # with letters side by side as in no common word
_FOUND_UNLIKE_SINGLE = 1.0  # of one that begins otherwise
_FOUND_LONG, _SURE_LONG, _SURE_STRANGE_LONG = 3.0, 2.0, 2.6  # of longer ones


def _both_ways(pairs: Sequence[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    return frozenset((*pairs, *((other, one) for one, other in pairs)))


_KEYS = [(one, other) for row in _ROWS for one, other in pairwise(row)]
_LIKES = _both_ways([*_KEYS, *((a, b) for a in _VOWELS for b in _VOWELS), *((pair[0], pair[1]) for pair in _LETTERS)])
_SEVERAL_LIKES = _both_ways(_SEVERAL)
_ENDS = frozenset((one[-1], other[-1]) for one, other in _SEVERAL_LIKES)


def cost(wanted: str, word: str, most: float) -> float:
    """What it costs to bend `wanted` to `word`; infinite if that is more than `most`."""
    return math.inf if abs(len(wanted) - len(word)) > _MOST_LONGER else _cost(wanted, word, most)


@lru_cache(maxsize=8192)
def _cost(wanted: str, word: str, most: float) -> float:
    if _LIKE * (_missing(wanted, word) - 1) > most:
        return math.inf
    rows = [[math.inf] * (len(word) + 1) for _ in range(len(wanted) + 1)]
    rows[0] = [float(j) for j in range(len(word) + 1)]
    for i in range(1, len(wanted) + 1):
        rows[i][0] = float(i)
        for j in range(max(1, i - _MOST_LONGER), min(len(word), i + _MOST_LONGER) + 1):
            rows[i][j] = _cell(rows, wanted, word, i, j)
        if min(rows[i]) > most and min(rows[i - 1]) > most:
            return math.inf
    return rows[-1][-1] if rows[-1][-1] <= most else math.inf


def _missing(wanted: str, word: str) -> int:
    """How many different letters one of the words has and the other lacks: each costs a slip, but two may go in one."""
    return max(len(set(wanted).difference(word)), len(set(word).difference(wanted)))


def _cell(rows: Sequence[Sequence[float]], wanted: str, word: str, i: int, j: int) -> float:
    one, other = wanted[i - 1], word[j - 1]
    changed = 0.0 if one == other else _LIKE if (one, other) in _LIKES else 1.0
    best = min(rows[i - 1][j - 1] + changed, rows[i - 1][j] + _alone(wanted, i), rows[i][j - 1] + _alone(word, j))
    if i > 1 and j > 1 and one != other and one == word[j - 2] and other == wanted[i - 2]:
        best = min(best, rows[i - 2][j - 2] + _TURNED)
    if (one, other) in _ENDS:
        for a in range(1, min(i, _LONGEST) + 1):
            for b in range(1, min(j, _LONGEST) + 1):
                if (wanted[i - a : i], word[j - b : j]) in _SEVERAL_LIKES:
                    best = min(best, rows[i - a][j - b] + _LIKE)
    return best


def _alone(word: str, end: int) -> float:
    """What the letter before `end` costs, which the other word lacks."""
    letter, before = word[end - 1], word[end - 2 : end - 1]
    if letter in (before, word[end : end + 1]):
        return _DOUBLED
    return _MUTE if letter == "h" and before and before in _VOWELS else 1


def begins_alike(wanted: str, word: str) -> bool:
    """With the same first letter, or the first two in turn."""
    return word[0] == wanted[0] or word[:2] == wanted[1::-1]


def slipped(wanted: Sequence[str], there: Sequence[str]) -> bool | None:
    """Whether words of a text surely are the words of a name with slips; None if they are hardly the name."""
    bent = [(one, word) for one, word in zip(wanted, there, strict=True) if one != word]
    if not bent or any(len(one) < 2 for one, _ in bent):
        return None
    if len(wanted) == 1:
        return _slipped_single(*bent[0])
    total = worst = 0.0
    for one, word in bent:
        price = cost(one, word, _FOUND_WORD * len(one))
        if math.isinf(price):
            return None
        total, worst = total + price, max(worst, price / len(one))
    sure = _slipped_words(wanted, bent, total)
    return sure and worst <= _SURE_WORD


def _slipped_words(wanted: Sequence[str], bent: Sequence[tuple[str, str]], total: float) -> bool | None:
    changed = [one for one, _ in bent]
    letters = sum(len(one) / (1 if one in changed or not is_known(one) else 2) for one in wanted)
    unlike = sum(not (begins_alike(one, word) or (one[0], word[0]) in _LIKES) for one, word in bent)
    if total > (_FOUND_UNLIKE if unlike else _FOUND) * letters or unlike > 1:
        return None
    common = [one for one, word in bent if is_common(word)]
    if common and (unlike or total > _FOUND_COMMON * letters):
        return None
    if common:  # Adam is no Ada
        return len(common) < len(bent) and letters >= _LEAST_LETTERS and min(map(len, common)) > _SHORT
    if unlike or letters < _LEAST_LETTERS or (len(bent) < len(wanted) and not _sure_beside_right(bent, total)):
        return False
    return total <= (_FOUND if any(_is_stranger(one, word) for one, word in bent) else _SURE) * letters


def _sure_beside_right(bent: Sequence[tuple[str, str]], total: float) -> bool:
    """Whether the bent words of a name that has right ones, too, are no other words, and make no other first name."""
    letters = len("".join(one for one, _ in bent))
    if letters <= _SHORT and total not in (_DOUBLED, _TURNED):
        return False
    return total <= _SURE_BESIDE_RIGHT * letters and not any(_may_be_other(one, word) for one, word in bent)


def _slipped_single(wanted: str, word: str) -> bool | None:
    letters = len(wanted)
    if letters < _LEAST_SINGLE or is_real(word):
        return None
    alike = begins_alike(wanted, word)
    found = _FOUND_SINGLE.get(letters, _FOUND_LONG) if alike else _FOUND_UNLIKE_SINGLE
    price = cost(wanted, word, found)
    if math.isinf(price):
        return None
    sure = _SURE_SINGLE.get(letters, _SURE_LONG) if abs(letters - len(word)) < 2 else _SURE_OF_OTHER_LENGTH
    if len(word) > letters:  # demonitor is no Dementor
        sure = min(sure, _SURE_LONGER)
    elif _is_stranger(wanted, word):
        sure = _SURE_STRANGE_SINGLE.get(letters, _SURE_STRANGE_LONG)
    return alike and price <= sure and not _may_be_other(wanted, word, price)


def _may_be_other(wanted: str, word: str, price: float | None = None) -> bool:
    """Whether a word is as near to a common word as it is to the wanted one, or nearer; of a `price`: as near."""
    others = neighbours(word).keys() - {wanted}
    if not others:
        return False
    paid = cost(wanted, word, _FOUND_LONG)
    nearest = min(cost(other, word, 1.0) for other in others)
    return nearest < paid or (price is not None and nearest <= paid)


def _is_stranger(wanted: str, word: str) -> bool:
    """Whether a word has letters side by side as in no common word, and the one that is wanted has not: it is hardly
    another name."""
    return any(is_strange(one + other) for one, other in set(pairwise(word)).difference(pairwise(wanted)))
