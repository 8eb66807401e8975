"""Vigenère's cipher (1586) with a key that stands in the text."""

import re
from collections.abc import Iterator

from classifiers.names.vocabulary import known_share
from classifiers.views.lines import lines
from classifiers.views.spelling import stretches
from classifiers.views.view import Decoded, Edit, View, rewritten
from classifiers.views.wording import cues, worded

__all__ = ["keyed"]

_CUES = frozenset(("vige", "key", "keyw", "pass", "code"))
_KEY = re.compile(
    r"(?:key(?:word)?|password|passphrase|codeword|vigen[eè]re(?!.{0,12}key))(?:\s?(?:is|of|to|word|=|:|was|used)){0,3}\s?"
    r"[\"'`(“*]{0,2}([A-Za-z]{2,16})",
    re.IGNORECASE,
)
_NO_KEYS = frozenset(
    "the is of to this that with cipher text word it and for message code in on a an below above".split()
)
_MOST_KEYS, _LONGEST = 4, 4_000
_KNOWN_SHARE, _LEAST_LETTERS = 0.55, 12


def keyed(view: View) -> Iterator[View]:
    """The view with its odd words as a key that it names deciphers them: for names alone, and as text where that is
    English."""
    if len(view.text) > _LONGEST or _CUES.isdisjoint(cues(view.text)) or not stretches(view.text):
        return
    found = [key.group(1).lower() for key in _KEY.finditer(view.text)]
    keys = [key for key in dict.fromkeys(found) if key not in _NO_KEYS][:_MOST_KEYS]
    for key in keys:
        rows = [(start, end, _deciphered(view.text[start:end], key)) for start, end in _coded(view.text)]
        edits: list[Edit] = []
        for start, end, said in rows:
            if (not edits or edits[-1].end <= start) and _is_english(words := worded(said)):
                edits.append(Edit(start, Decoded(words, (0,) * len(words), end - start)))
        if edits:
            yield rewritten(view, "keyed", edits)
        if rows:
            yield lines(view, "keyed", [(start, end, (said,)) for start, end, said in rows])


def _coded(text: str) -> Iterator[tuple[int, int]]:
    """The odd words in rows, what stands behind a colon or in quotes with them, and each of them: the key begins anew
    with the message."""
    for stretch in stretches(text):
        source = text[stretch.start : stretch.end]
        words = [word.span() for word in re.finditer(r"\S+", source)]
        begins = [0, *(found.end() for found in re.finditer(r"[:\"“]\s*", source))]
        for start, end in dict.fromkeys((*((one, len(source)) for one in begins[:_MOST_KEYS]), *words)):
            if start < end:
                yield stretch.start + start, stretch.start + end


def _is_english(said: str) -> bool:
    return sum(map(str.isalpha, said)) >= _LEAST_LETTERS and known_share(said) >= _KNOWN_SHARE


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
