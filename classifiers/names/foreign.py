"""Latin names written in another script: words that sound like a name, for all scopes in one pass over the words.

No list of transliterations is made: the text's words are romanised and compared with the names by their consonants, so
that one way serves every script and every pack, and a spelling that nobody foresaw is found, too. Chinese is left out:
its renderings are a matter of custom; name them as aliases.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from classifiers.names.aliases import LexicalDetector
from classifiers.names.boundaries import script_of
from classifiers.names.index import WordIndex
from classifiers.names.ordinary import Alias
from classifiers.names.sounds import LONG_VOWELS, READ_SCRIPTS, coarse, is_alike, name_sounds, same_in, word_sound
from classifiers.names.text import is_mark
from classifiers.types import Span, Verdict

__all__ = ["ForeignNames"]

_LEAST = 2  # consonants of a name, h not among them
_TELLING = 4  # with fewer the vowels must fit, too
_SURE, _SURE_OF_SEVERAL = 5, 4  # consonants from which a name counts alone, if its vowels fit
_SURE_IF_CLOSE = 4  # and if they fit closely
_MOST_WORDS = 3
_LATIN_ONLY = re.compile("[\u0000-\u036f\u1e00-\u1eff\u2000-\u206f]*")
_CYRILLIC_END = re.compile("(?:ами|ями|ого|его|ому|ему|ом|ем|ём|ов|ев|ам|ям|ах|ях|ой|ей|ый|ий|ым|им|ых|их)$")
_HANGUL_END = re.compile("(?:에게서|에게|에서|으로|이라는|라는|은|는|이|가|을|를|의|에|와|과|도|만|로|랑|야|님)$")
_ARABIC_BEGINNING = re.compile("^(?:[وفبلك]?ال|لل|[وفبلك])")
_HEBREW_BEGINNING = re.compile("^[והבלמשכ]")
_SHORT = 3  # letters that are left without an ending


@dataclass(frozen=True, slots=True, eq=False)
class _Named:
    """A name by one of its sounds. Its index has the coarse form of that."""

    scope: str
    alias: Alias
    sound: str
    every_r: bool
    words: int

    @property
    def letters(self) -> str:
        """See `classifiers.names.index.Owned`."""
        return coarse(self.sound)

    @property
    def breaks(self) -> tuple[int, ...]:
        """Nobody looks for the beginning of such a name."""
        return ()

    @property
    def glued(self) -> bool:
        """Nor for one inside a longer word."""
        return False


class _Word(NamedTuple):
    """A word of a text at a half-open range: as it is, and without what may be an ending or a beginning."""

    start: int
    end: int
    script: str
    forms: tuple[str, ...]


class ForeignNames:
    """The names of all scopes by how they sound. Its verdicts are those of a detector of names: a name that is like it
    in its vowels, too, and has many consonants counts alone; others need a second sign (`confirmed`).

    Immutable and thread-safe; `updated` makes another one.
    """

    name = LexicalDetector.name

    def __init__(self, index: WordIndex[_Named] | None = None) -> None:
        self._index: WordIndex[_Named] = index or WordIndex()

    def updated(self, added: Mapping[str, Sequence[str | Alias]], removed: Collection[str]) -> "ForeignNames":
        """With the names of further scopes and without those of others; see WordIndex."""
        keyed = {scope: [(named.letters, named) for named in _named(scope, names)] for scope, names in added.items()}
        return ForeignNames(self._index.updated(keyed, removed))

    def detect(self, texts: Sequence[str]) -> list[list[Verdict]]:
        """See `classifiers.types.Detector`."""
        return [self._verdicts(text) if self._index and not _LATIN_ONLY.fullmatch(text) else [] for text in texts]

    def _verdicts(self, text: str) -> list[Verdict]:
        hits: dict[str, list[tuple[bool, Span]]] = {}
        words = list(_words(text))
        for first in range(len(words)):
            for count in range(1, _MOST_WORDS + 1):
                some = words[first : first + count]
                if len(some) == count and len({word.script for word in some}) == 1:
                    for named, sure in self._found(some):
                        hits.setdefault(named.scope, []).append((sure, Span(0, some[0].start, some[-1].end)))
        return [_verdict(scope, found) for scope, found in sorted(hits.items())]

    def _found(self, words: Sequence[_Word]) -> Iterator[tuple[_Named, bool]]:
        """The names that these words may be, and whether that is sure."""
        script = words[0].script
        heads = [word.forms[0] for word in words[1:-1]]
        for begun in words[0].forms:
            for ended in words[-1].forms if len(words) > 1 else (None,):
                parts = [begun, *heads, *([ended] if ended is not None else [])]
                heard = [word_sound(part, script) for part in parts]
                sound, roman = "".join(one for one, _ in heard), "".join(letters for _, letters in heard)
                for named in self._index.owners(coarse(sound)):
                    fits = len(words) <= named.words and (named.every_r or script in LONG_VOWELS)
                    if fits and same_in(script, named.sound, sound):
                        alike = is_alike(named.alias.name, roman, script)
                        if alike or len(sound.replace("h", "")) >= _TELLING:
                            yield named, alike and len(words) == named.words and _is_sure(named, roman, script)


def _named(scope: str, names: Sequence[str | Alias]) -> Iterator[_Named]:
    for alias in dict.fromkeys(Alias(name) if isinstance(name, str) else name for name in names):
        if alias.match == "word":
            for sound, every_r in name_sounds(alias.name):
                if len(sound.replace("h", "")) >= _LEAST:
                    yield _Named(scope, alias, sound, every_r, len(alias.name.split()))


def _is_sure(named: _Named, roman: str, script: str) -> bool:
    consonants = len(named.sound.replace("h", ""))
    if consonants >= (_SURE if named.words == 1 else _SURE_OF_SEVERAL):
        return True
    return consonants >= _SURE_IF_CLOSE and is_alike(named.alias.name, roman, script, closely=True)


def _verdict(scope: str, hits: Sequence[tuple[bool, Span]]) -> Verdict:
    matched = any(sure for sure, _ in hits)
    spans = tuple(sorted({span for _, span in hits}))
    return Verdict(scope, ForeignNames.name, 1.0 if matched else 0.0, 0.5, matched, spans)


def _words(text: str) -> Iterator[_Word]:
    """The runs of letters of one of the scripts that are read."""
    start, script = 0, ""
    for place, letter in enumerate(text):
        if letter in "ーｰ" or is_mark(letter) or (script == "HEBREW" and letter in "'׳’"):
            own = script
        else:
            own = _read_script(letter) if letter.isalpha() else ""
        if own != script:
            if script:
                yield _word(text, start, place, script)
            start, script = place, own
    if script:
        yield _word(text, start, len(text), script)


def _read_script(letter: str) -> str:
    script = script_of(letter)
    return script if script in READ_SCRIPTS else ""


def _word(text: str, start: int, end: int, script: str) -> _Word:
    word = text[start:end]
    shorter = word
    if script == "CYRILLIC":
        shorter = _CYRILLIC_END.sub("", word)
    elif script == "HANGUL":
        shorter = _HANGUL_END.sub("", word)
    elif script == "ARABIC":
        shorter = _ARABIC_BEGINNING.sub("", word)
    elif script == "HEBREW":
        shorter = _HEBREW_BEGINNING.sub("", word)
    least = _SHORT if script != "HANGUL" else 1
    return _Word(start, end, script, (word, shorter) if shorter != word and len(shorter) >= least else (word,))
