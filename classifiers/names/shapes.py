"""Names whose words keep their letters and not their look: in another order, drawn out, or without their vowels.

`Qllhiaugnem` has the letters of Quellingham, which people read if the first and the last letter stay (Rawlinson 1976);
`Miiiira Toooolund` has its letters drawn out, `Mr Tlnd` has no vowels and `M0r0 T0l0nd` has digits for them. A word of
a name stands in a table under what is left of it in each of these ways, and a text's word is looked up under the same.
"""

import re
from collections.abc import Iterator, Sequence

from classifiers.names.vocabulary import is_known, is_strange, parted

__all__ = ["LEAST_SINGLE", "MARKS", "asked", "keys", "shaped"]

LEAST_SINGLE = 5
"""Letters of a name of one word that is found so."""
MARKS = frozenset("*+!")
"""The first signs of the keys."""
_LEAST_LETTERS = 4  # of a text's word
_RUN = re.compile(r"(.)\1+")
_DRAWN_OUT = re.compile(r"(.)\1\1|(?:(.)\2)+\Z")
_VOWELS = re.compile("[aeiou]")
_VOWELS_AND_DIGITS = re.compile("[aeiou0-9]")
_BARE = re.compile("[a-z][^aeiou]+")
_FOUND_SCRAMBLED = 6  # letters of a name of one word
_SURE_STRANGE, _SURE_SCRAMBLED = 8, 10  # if letters stand side by side as in no common word; if not
_SURE_NAME = 9  # letters of a scrambled name of several words
_SURE_DRAWN_OUT = 7  # letters of a name of several words
_SURE_BARE, _FOUND_BARE = 6, 5  # letters that are left of a name


def keys(word: str) -> Iterator[str]:
    """What a word of a name stands under."""
    yield f"*{''.join(sorted(word))}"
    yield f"+{_squeezed(word)}"
    bare = _bare(word)
    if len(bare) >= _LEAST_LETTERS - 1 and bare != word:
        yield f"!{bare}"


def asked(word: str) -> Iterator[str]:
    """Under what a word of a text is looked up."""
    if len(word) < _LEAST_LETTERS:
        return
    if word.isalpha():
        yield f"*{''.join(sorted(word))}"
        if _RUN.search(word):
            yield f"+{_squeezed(word)}"
    if _BARE.fullmatch(word):
        yield f"!{_VOWELS_AND_DIGITS.sub('', word)}"


def shaped(wanted: Sequence[str], there: Sequence[str]) -> bool | None:
    """Whether words of a text surely are the words of a name in one of these ways; None if they are not at all."""
    changed = [(one, word) for one, word in zip(wanted, there, strict=True) if one != word]
    if not changed:
        return None
    found = [
        sure
        for alike, judged in (
            (_is_scrambled, _surely_scrambled),
            (_is_drawn_out, _surely_drawn_out),
            (_is_bare, _bare_enough),
        )
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
    if word == _swapped(one) or word in one + one:
        return True
    return letters >= (_SURE_STRANGE if is_strange(word) else _SURE_SCRAMBLED)


def _swapped(word: str) -> str:
    return "".join(word[place : place + 2][::-1] for place in range(0, len(word), 2))


def _is_drawn_out(wanted: str, word: str) -> bool:
    return len(word) > len(wanted) and _squeezed(wanted) == _squeezed(word)


def _surely_drawn_out(wanted: Sequence[str], there: Sequence[str]) -> bool:
    letters = len("".join(wanted))
    drawn_out = any(_DRAWN_OUT.match(word) or _has_run(word) for word in there)
    return drawn_out and letters >= (_SURE_DRAWN_OUT if len(wanted) > 1 else LEAST_SINGLE)


def _has_run(word: str) -> bool:
    return any(len(run.group()) > 2 for run in _RUN.finditer(word))


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


def _squeezed(word: str) -> str:
    return _RUN.sub(r"\1", word)


def _bare(word: str) -> str:
    return word[0] + _VOWELS.sub("", word[1:])
