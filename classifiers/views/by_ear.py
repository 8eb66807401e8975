"""Names as dictionaries and newspapers say how they are spoken: BRAK-un-fohld, TAM-zin ROHK."""

import re
from collections.abc import Iterator, Sequence

from classifiers.views.view import Decoded, Edit, View, rewritten

__all__ = ["by_ear"]

_SYLLABLE = r"(?:[A-Z]{2,7}|[a-z]{1,7})"
_SAID = re.compile(
    rf"(?<![\w-])(?=\S{{0,60}}[A-Z]{{2}})(?=\S{{0,60}}(?<![A-Za-z])[a-z]){_SYLLABLE}(?:[-·•]{_SYLLABLE}){{1,7}}+(?![\w-])"
)
_MARK = re.compile(r"[A-Z]{2}[-·•]|[-·•][A-Z]{2}")
_NEIGHBOUR = re.compile(r" ([A-Z]{2,9})(?![\w-])")
_BEFORE = re.compile(r"(?<![\w-])([A-Z]{2,9}) \Z")
_LONGEST = 10
# What is written for a sound, and how names mostly spell it.
_SPELT = (
    *(("uhr", "er"), ("ur", "er"), ("uh", "a"), ("ah", "a"), ("aw", "o"), ("oh", "o"), ("ow", "ou"), ("oo", "u")),
    *(("ee", "i"), ("eh", "e"), ("ih", "i"), ("ay", "a"), ("eye", "i"), ("zh", "s"), ("kw", "qu"), ("ks", "x")),
    *(("dg", "j"), ("ck", "k"), ("uu", "u")),
)
# The same in phonetic letters: other detectors hear those.
_HEARD = (
    *(("uhr", "ɜr"), ("ur", "ɜr"), ("uh", "ə"), ("ah", "ɑ"), ("aw", "ɔ"), ("oh", "oʊ"), ("ow", "aʊ"), ("oo", "u")),
    *(("ee", "i"), ("eh", "ɛ"), ("ih", "ɪ"), ("ay", "eɪ"), ("eye", "aɪ"), ("igh", "aɪ"), ("zh", "ʒ"), ("sh", "ʃ")),
    *(("tch", "tʃ"), ("ch", "tʃ"), ("th", "θ"), ("ng", "ŋ"), ("ck", "k"), ("c", "k"), ("j", "dʒ"), ("dg", "dʒ")),
    *(("uu", "ʊ"), ("x", "ks"), ("qu", "kw"), *((f"{one}y", f"{one}aɪ") for one in "bdhlmnrst")),
)
_STRESS = "ˈ"


def by_ear(view: View) -> Iterator[View]:
    """The view with such words as names would be spelt, roughly, so that a misspelt name is found; and with those words
    in phonetic letters."""
    if not _MARK.search(view.text):
        return
    places: list[tuple[int, int]] = []
    for word in _SAID.finditer(view.text):
        start, end = word.span()
        before = _BEFORE.search(view.text, max(0, start - _LONGEST), start)
        behind = _NEIGHBOUR.match(view.text, end)
        if not places or places[-1][1] <= start:
            free = before and (not places or places[-1][1] <= before.start(1))
            places.append((before.start(1) if before and free else start, behind.end() if behind else end))
    for name, table, first in (("by ear", _SPELT, ""), ("by ear, phonetic", _HEARD, _STRESS)) if places else ():
        yield rewritten(view, name, [Edit(start, _said(view.text[start:end], table, first)) for start, end in places])


def _said(source: str, table: Sequence[tuple[str, str]], first: str) -> Decoded:
    """Sound by sound, each word with a capital or with a sign of stress in front."""
    sounds, written = re.compile("|".join((*(one for one, _ in table), "."))), dict(table)
    said: list[str] = []
    places: list[int] = []
    for word in re.finditer(r"\S+", source):
        letters = [place for place in range(*word.span()) if source[place].isalpha()]
        text = "".join(source[place].lower() for place in letters)
        if said:
            said.append(" ")
            places.append(word.start() - 1)
        for sound in sounds.finditer(text):
            one = written.get(sound.group(), sound.group())
            if sound.start() == 0:
                one = first + one if first else one.capitalize()
            said.append(one)
            places += [letters[sound.start()]] * len(one)
    return Decoded("".join(said), places, len(source))
