"""Names whose words keep their letters and not their look: in another order, drawn out, without their vowels; and names
as they sound or as a scanner misreads them.

`Qllhiaugnem` has the letters of Quellingham, which people read if the first and the last letter stay (Rawlinson 1976);
`Miiiira Toooolund` has its letters drawn out, `Mr Tlnd` has no vowels and `M0r0 T0l0nd` has digits for them. A word of
a name stands in a table under what is left of it in each of these ways, and a text's word is looked up under the same.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from classifiers.names.real_words import is_real, neighbours
from classifiers.names.vocabulary import is_known, is_strange, parted

__all__ = ["LEAST_SINGLE", "MARKS", "asked", "keys", "shaped", "squeezed"]

LEAST_SINGLE = 5
"""Letters of a name of one word that is found so."""
MARKS = frozenset("*+!&|")
"""The first signs of the keys."""
_LEAST_LETTERS = 4  # of a text's word
_SPELLINGS = (
    *(("ph", "f"), ("gh", "g"), ("ck", "k"), ("sch", "sh"), ("kw", "qu"), ("x", "ks")),
    *(("ee", "i"), ("ea", "i"), ("oo", "u"), ("ay", "ai")),
)
_SAME_SOUND = str.maketrans("cqzyvw", "kksiff")
_SEEN = (("rn", "m"), ("ri", "n"), ("cl", "d"), ("vv", "w"), ("ii", "u"), ("li", "u"))
_SAME_LOOK = str.maketrans("0o15i6bcgt4", "aalslhheqfa")
_FOUND_HEARD, _SURE_HEARD = 6, 8  # letters of a name of one word
_RUN = re.compile(r"(.)\1+")
_DOUBLED = re.compile(r"(?:(.)\1)+\Z")
_VOWELS = re.compile("[aeiou]")
_VOWELS_AND_DIGITS = re.compile("[aeiou0-9]")
_BARE = re.compile("[a-z][^aeiou]+")
_FOUND_SCRAMBLED = 6  # letters of a name of one word
_SURE_STRANGE, _SURE_SCRAMBLED = 8, 10  # if letters stand side by side as in no common word; if not
_SURE_NAME = 9  # letters of a scrambled name of several words
_SURE_DRAWN_OUT = 7  # letters of a name of several words
_SURE_DOUBLED = 7  # letters of a name of one word, some of them doubled
_SURE_BARE, _FOUND_BARE = 6, 5  # letters that are left of a name


def keys(word: str) -> Iterator[str]:
    """What a word of a name stands under."""
    yield f"*{''.join(sorted(word))}"
    yield f"+{squeezed(word)}"
    bare = _bare(word)
    if len(bare) >= _LEAST_LETTERS - 1 and bare != word:
        yield f"!{bare}"
    yield f"&{_heard(word)}"
    yield f"|{_scanned(word)}"


def asked(word: str) -> Iterator[str]:
    """Under what a word of a text is looked up."""
    if len(word) < _LEAST_LETTERS:
        return
    if word.isalpha():
        yield f"*{''.join(sorted(word))}"
        if _RUN.search(word):
            yield f"+{squeezed(word)}"
    if _BARE.fullmatch(word):
        yield f"!{_VOWELS_AND_DIGITS.sub('', word)}"
    yield f"&{_heard(word)}"
    yield f"|{_scanned(word)}"


def shaped(wanted: Sequence[str], there: Sequence[str]) -> bool | None:
    """Whether words of a text surely are the words of a name in one of these ways; None if they are not at all."""
    changed = [(one, word) for one, word in zip(wanted, there, strict=True) if one != word]
    if not changed or (len(wanted) == 1 and wanted[0] in there[0] and not _is_long_drawn(there)):
        return None  # what holds the whole name was judged by its borders
    found = [
        sure
        for alike, judged in _WAYS
        if all(alike(one, word) for one, word in changed) and (sure := judged(wanted, there)) is not None
    ]
    return any(found) if found else None


def _is_scrambled(wanted: str, word: str) -> bool:
    return len(wanted) == len(word) and sorted(wanted) == sorted(word)


def _surely_scrambled(wanted: Sequence[str], there: Sequence[str]) -> bool | None:
    letters = len("".join(wanted))
    if len(wanted) > 1:
        return letters >= _SURE_NAME
    if letters < _FOUND_SCRAMBLED:
        return None
    (one,), (word,) = wanted, there
    if all(map(is_known, parted(word))):
        return False  # a bridge of stone is no Stonebridge
    if word == _swapped(one) or word in (one + one)[2:-2]:  # one letter alone is moved by chance: smuggle, Muggles
        return True
    if word[0] == one[0] and word[-1] == one[-1] and not is_real(word) and not neighbours(word).keys() - {one}:
        return True  # people read it so, and mean nothing else
    return letters >= (_SURE_STRANGE if is_strange(word) else _SURE_SCRAMBLED)


def _swapped(word: str) -> str:
    return "".join(word[place : place + 2][::-1] for place in range(0, len(word), 2))


def _is_drawn_out(wanted: str, word: str) -> bool:
    return len(word) > len(wanted) and squeezed(wanted) == squeezed(word)


def _surely_drawn_out(wanted: Sequence[str], there: Sequence[str]) -> bool:
    letters = len("".join(wanted))
    if _is_long_drawn(there):
        return letters >= (_SURE_DRAWN_OUT if len(wanted) > 1 else LEAST_SINGLE)
    return letters >= (_SURE_NAME if len(wanted) > 1 else _SURE_DOUBLED)


def _is_long_drawn(words: Sequence[str]) -> bool:
    """Whether a letter stands three times in a row in one of the words, or each letter twice."""
    return any(_DOUBLED.match(word) or any(len(run.group()) > 2 for run in _RUN.finditer(word)) for word in words)


def _is_bare(wanted: str, word: str) -> bool:
    if len(word) == len(wanted):
        pairs = zip(wanted, word, strict=True)
        return all(one == other or (one in "aeiou" and other.isdigit()) for one, other in pairs)
    return word == _bare(wanted)


def _bare_enough(wanted: Sequence[str], there: Sequence[str]) -> bool | None:
    letters = sum(map(str.isalpha, "".join(there)))
    if len(wanted) == 1 and letters < _FOUND_BARE:
        return None
    return letters >= _SURE_BARE


def _is_heard(wanted: str, word: str) -> bool:
    return _heard(wanted) == _heard(word)


def _surely_heard(wanted: Sequence[str], there: Sequence[str]) -> bool | None:
    letters = len("".join(wanted))
    if len(wanted) > 1:
        return letters >= _SURE_NAME
    same_first = wanted[0][0] == there[0][0]  # Katherine is no Catherine
    return same_first and letters >= _SURE_HEARD if letters >= _FOUND_HEARD else None


def _is_scanned(wanted: str, word: str) -> bool:
    return _scanned(wanted) == _scanned(word)


def squeezed(word: str) -> str:
    """A word with no letter twice in a row."""
    return _RUN.sub(r"\1", word)


def _bare(word: str) -> str:
    return word[0] + _VOWELS.sub("", word[1:])


@lru_cache(maxsize=16384)
def _heard(word: str) -> str:
    """How a word sounds, with its vowels: the common ways to write one sound are one."""
    for written, said in _SPELLINGS:
        word = word.replace(written, said)
    first, rest = word[0], word[1:].replace("h", "")
    return squeezed((first + rest).translate(_SAME_SOUND))


def _scanned(word: str) -> str:
    """How a word looks to a scanner: letters that it takes for each other are one."""
    for written, read in _SEEN:
        word = word.replace(written, read)
    return word.translate(_SAME_LOOK)


_WAYS = (
    (_is_scrambled, _surely_scrambled),
    (_is_drawn_out, _surely_drawn_out),
    (_is_bare, _bare_enough),
    (_is_heard, _surely_heard),
    (_is_scanned, _surely_heard),
)
