"""Vigenère's cipher (1586) with a key that stands in the text."""

import re
from collections.abc import Iterator

from classifiers.names.vocabulary import known_share
from classifiers.views.lines import lines
from classifiers.views.spelling import AROUND, stretches
from classifiers.views.view import Decoded, Edit, View, rewritten

__all__ = ["keyed"]

_CUE = re.compile(r"(?<![^\W_])(?:vigen|key|cipher|password|passphrase|codeword)", re.IGNORECASE)
_KEY = re.compile(
    r"(?:key(?:word)?|password|passphrase|codeword|vigen[eè]re)(?:\s?(?:is|of|to|word|=|:|was|used)){0,3}\s?"
    r"[\"'`(“*]{0,2}([A-Za-z]{2,16})",
    re.IGNORECASE,
)
_NO_KEYS = frozenset("the is of to this that with cipher text word it and for message code in on a an below above".split())
_MOST_KEYS, _LONGEST = 4, 4_000
_KNOWN_SHARE, _LEAST_LETTERS = 0.55, 12


def keyed(view: View) -> Iterator[View]:
    """The view with its odd words as a key that it names deciphers them: for names alone, and as text where that is
    English."""
    if len(view.text) > _LONGEST or not _CUE.search(view.text):
        return
    found = [key.group(1).lower() for key in _KEY.finditer(view.text)]
    keys = [key for key in dict.fromkeys(found) if key not in _NO_KEYS][:_MOST_KEYS]
    for key in keys:
        places = [(one.start, one.end) for one in stretches(view.text)] if keys else []
        rows = [(start, end, (_deciphered(view.text[start:end], key),)) for start, end in places]
        edits = [
            Edit(start, Decoded(said, range(end - start), end - start))
            for start, end, (said,) in rows
            if sum(map(str.isalpha, said)) >= _LEAST_LETTERS and known_share(said) >= _KNOWN_SHARE
        ]
        if edits:
            yield rewritten(view, "keyed", edits)
        words = [(start, end, tuple(_each(view.text[start:end], key))) for start, end in places]
        if rows:
            yield lines(view, "keyed", [*rows, *words])


def _each(stretch: str, key: str) -> Iterator[str]:
    for word in stretch.split():
        yield _deciphered(word.strip(AROUND), key)


def _deciphered(text: str, key: str) -> str:
    """Each letter less the letter of the key that stands over it; other characters have none."""
    said, turn = [], 0
    for letter in text:
        if letter.isascii() and letter.isalpha():
            base = 65 if letter.isupper() else 97
            said.append(chr((ord(letter) - base - ord(key[turn % len(key)]) + 97) % 26 + base))
            turn += 1
        else:
            said.append(letter)
    return "".join(said)
