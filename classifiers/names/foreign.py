"""Latin names written in another script: words that sound like a name, for all scopes in one pass over the words.

No list of transliterations is made: the text's words are romanised and compared with the names by their consonants, so
that one way serves every script and every pack, and a spelling that nobody foresaw is found, too. In Chinese the
renderings that follow the table of syllables are found (`han`); others are a matter of custom: name them as aliases.
"""

import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from classifiers.names.aliases import LexicalDetector, Sighting
from classifiers.names.boundaries import script_of
from classifiers.names.by_sound import in_cyrillic
from classifiers.names.han import Run, last_run, runs
from classifiers.names.ordinary import Alias
from classifiers.names.romanised import latin_words
from classifiers.names.sounds import (
    ALIKE,
    CLOSELY,
    LONG_VOWELS,
    READ_SCRIPTS,
    ROUGHLY,
    Sound,
    coarse,
    heard_in,
    heard_in_han,
    likeness,
    name_sounds,
    word_sound,
)
from classifiers.names.table import KeyTable
from classifiers.names.text import is_invisible, is_mark
from classifiers.types import Span, Verdict

__all__ = ["ForeignNames"]

_LEAST = 2  # consonants of a name, h not among them
_TELLING = 4  # with fewer the vowels must fit, too
_SURE, _SURE_OF_SEVERAL = 5, 4  # consonants from which a name counts alone, if its vowels fit
_SURE_IF_CLOSE = 4  # and if they fit closely
_SURE_CHARACTERS = 3  # Chinese ones: two are a word as often as a name
_MOST_WORDS = 3
_UNKNOWN = 0
_JOINED = frozenset({"HANGUL", "KATAKANA", "HIRAGANA"})  # scripts in which a name of several words may stand as one
_WRITES_H = _JOINED | {"ARABIC", "HEBREW", "DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "TELUGU", "KANNADA"}
_WRITES_H |= {"MALAYALAM", "SINHALA"}
_HAN = "HAN"
_LATIN_ONLY = re.compile("[\u0000-\u036f\u1e00-\u1eff\u2000-\u206f]*")
_LETTERS = re.compile(r"[^\W\d_]+")
_CYRILLIC_END = re.compile("(?:ами|ями|ого|его|ому|ему|ом|ем|ём|ов|ев|ам|ям|ах|ях|ой|ей|ый|ий|ым|им|ых|их)$")
_HANGUL_END = re.compile("(?:에게서|에게|에서|으로|이라는|라는|은|는|이|가|을|를|의|에|와|과|도|만|로|랑|야|님)$")
_HANGUL_SURE_END = re.compile("(?:에게서|에게|에서|으로|이라는|라는|은|는|을|를)$")  # no name ends so
_GEORGIAN_END = re.compile("(?:ისთვის|ისგან|თან|ზე|ში|ის|ით|მა|ს|ად|ო|ი)$")
_ARMENIAN_END = re.compile("(?:ից|ով|ում|ին|ի|ը|ն)$")
_BENGALI_END = re.compile("(?:েরা|ের|কে|তে|র)$")
_TAMIL_END = re.compile("(?:ின்|ுக்கு|க்கு|ை)$")
_HIRAGANA_END = re.compile("(?:について|という|とは|って|から|さん|は|が|を|に|の|と|も|で|へ|や)$")
_ARABIC_BEGINNING = re.compile("^(?:[وفبلك]?ال|لل|[وفبلك])")
_HEBREW_BEGINNING = re.compile("^[והבלמשכ]")
_ADDED = {
    "CYRILLIC": _CYRILLIC_END,
    "HANGUL": _HANGUL_END,
    "GEORGIAN": _GEORGIAN_END,
    "ARMENIAN": _ARMENIAN_END,
    "BENGALI": _BENGALI_END,
    "TAMIL": _TAMIL_END,
    "HIRAGANA": _HIRAGANA_END,
    "ARABIC": _ARABIC_BEGINNING,
    "HEBREW": _HEBREW_BEGINNING,
}
# Egypt writes every g so; and who writes a name letter for letter takes one letter for each c, and in Greek a g before
# what is a w otherwise.
_ALSO_READ = {"ARABIC": ("ج", "غ"), "GREEK": ("γου", "γοου"), "CYRILLIC": ("ц", "к"), "HEBREW": ("כ", "ק")}
_SYLLABLES = frozenset({"HANGUL", "HIRAGANA"})
_SHORT, _SHORT_SYLLABLES = 3, 1  # letters that are left without an ending
_GAP = 8  # characters between two words of a name
_LONGEST = 64  # characters of a word that may become one: who repeats a letter on and on writes none
_BEGINS = "^"  # in front of the beginning of a coarse form
_CHINESE = "+"  # in front of what Chinese leaves of a sound
_UNSURE = 2  # consonants at the end of a text that an ending or the next letters may change


@dataclass(frozen=True, slots=True, eq=False)
class _Named:
    """A name. It stands in the table under the coarse forms of its sounds, which it does not keep: they would take more
    memory than all else."""

    scope: str
    alias: Alias
    words: int

    @property
    def sounds(self) -> Sequence[Sound]:
        """How it sounds, where that tells enough."""
        return _telling_sounds(self.alias.name)


class _Word(NamedTuple):
    """A word of a text at a half-open range: `whole`, in the ways in which its letters may be read, and `forms`: these,
    and others without what may be an ending or a beginning."""

    start: int
    end: int
    script: str
    whole: tuple[str, ...]
    forms: tuple[str, ...]


class _Heard(NamedTuple):
    """Some words of a text at their place, without their endings or with them: how they sound (in Chinese what
    `heard_in` leaves of it), and what is said, vowels and all. Of Chinese without points nobody knows how many words of
    the name they are (`_UNKNOWN`)."""

    sound: str
    said: str
    script: str
    words: int
    place: Span


class ForeignNames:
    """The names of all scopes by how they sound. Its verdicts are those of a detector of names: a name that is like it
    in its vowels, too, and has many consonants counts alone; others need a second sign (`confirmed`).

    Immutable and thread-safe; `updated` makes another one.
    """

    name = LexicalDetector.name

    def __init__(self, table: KeyTable[_Named] | None = None) -> None:
        self._table: KeyTable[_Named] = table or KeyTable()

    def updated(self, added: Mapping[str, Sequence[str | Alias]], removed: Collection[str]) -> "ForeignNames":
        """With the names of further scopes and without those of others; see KeyTable."""
        rows = {scope: _named(scope, names) for scope, names in added.items()}  # one at a time: all take much memory
        return ForeignNames(self._table.updated(rows, removed))

    def detect(self, texts: Sequence[str]) -> list[list[Verdict]]:
        """See `classifiers.types.Detector`."""
        return [self._verdicts(text) for text in texts]

    def read(self, text: str, *, ended: bool) -> tuple[list[Sighting], int]:
        """(where names stand in a text, its first character that may yet belong to one, or its length). Without `ended`
        the last word may go on: then no name ends with it."""
        if not self._table or _LATIN_ONLY.fullmatch(text):
            return [], len(text)
        words = list(_words(text))
        return self._sightings(text, words, ended=ended), len(text) if ended else self._open_from(text, words)

    def _sightings(self, text: str, words: Sequence[_Word], *, ended: bool) -> list[Sighting]:
        heard = [one for one in _heard(text, words) if ended or one.place.end_char < len(text)]
        pairs = [(named, heard[number]) for number, named in self._table.found([coarse(one.sound) for one in heard])]
        for run in runs(text):
            pairs += [(named, one) for named, one in self._in_chinese(run) if ended or one.place.end_char < len(text)]
        return [
            Sighting(named.scope, named.alias.name, one.place.start_char, one.place.end_char, sure)
            for named, one in pairs
            for sure in _fits(named, one)
        ]

    def _romanised(self, text: str) -> Iterator[Sighting]:
        """Names in Latin letters in sentences that are not English. In small letters they are words as often, and need
        a second sign."""
        if not self._table:
            return
        for script, found in latin_words(text):
            words = [_Word(one.start, one.end, script, (one.whole,), (one.whole, one.shorter)) for one in found]
            least = ALIKE if script in LONG_VOWELS else CLOSELY
            heard = list(_heard(text, words))
            for number, named in self._table.found([coarse(one.sound) for one in heard]):
                one = heard[number]
                start, end = one.place.start_char, one.place.end_char
                capital = all(word[0].isupper() for word in _LETTERS.findall(text[start:end]))
                for sound, alike in _likenesses(named, one):
                    if alike >= least and one.words == named.words and _is_sure(named, sound, one, alike):
                        yield Sighting(named.scope, named.alias.name, start, end, capital)

    def _in_chinese(self, run: Run) -> Iterator[tuple[_Named, _Heard]]:
        """Names with the parts of a run that may be they."""
        parts = [(first, last, sound) for first, last in run.parts() for sound in run.sounds(first, last)]
        for number, named in self._table.found([_CHINESE + sound for _, _, sound in parts]):
            first, last, sound = parts[number]
            start, end, words, roman = run.part(first, last)
            yield named, _Heard(sound, roman, _HAN, words, Span(0, start, end))

    def _open_from(self, text: str, words: Sequence[_Word]) -> int:
        """The sound of the last words is known but for their last consonants, so that a few words wait that begin no
        name."""
        some: list[_Word] = []
        after, found = len(text), len(text)
        for word in reversed(words):
            if (
                len(some) == _MOST_WORDS
                or not _is_gap(text[word.end : after])
                or (some and some[0].script != word.script)
            ):
                break
            if word.end - word.start > _LONGEST:
                break
            some.insert(0, word)
            after = word.start
            ended = some[-1].end < len(text)
            if self._may_begin(some, len(some) + ended):
                found = word.start
        return min([found, *self._begun_in_chinese(text)])

    def _begun_in_chinese(self, text: str) -> Iterator[int]:
        """Where names may begin that the text's end interrupts."""
        if run := last_run(text):
            parts = [(first, sound) for first, last in run.ends() for sound in run.sounds(first, last)]
            keys = [_BEGINS + _CHINESE + sound[:-_UNSURE] for _, sound in parts]
            yield from (run.places[parts[number][0]] for number in self._table.held(keys))

    def _may_begin(self, words: Sequence[_Word], least: int) -> bool:
        """Whether these words may be the beginning of a name of at least so many words."""
        read = itertools.product(words[0].forms, *(word.whole for word in words[1:]))
        sounds = {coarse("".join(word_sound(part, words[0].script)[0] for part in parts))[:-_UNSURE] for parts in read}
        return any(named.words >= least for _, named in self._table.found([_BEGINS + sound for sound in sounds]))

    def _verdicts(self, text: str) -> list[Verdict]:
        hits: dict[str, list[tuple[bool, Span]]] = {}
        for one in self.read(text, ended=True)[0]:
            hits.setdefault(one.scope, []).append((one.counts, Span(0, one.start, one.end)))
        for one in self._romanised(text):
            hits.setdefault(one.scope, []).append((one.counts, Span(0, one.start, one.end)))
        respelt = in_cyrillic(text)
        if respelt:
            for one in self.read(respelt.text, ended=True)[0]:
                place = Span(0, *respelt.source_range(one.start, one.end))
                hits.setdefault(one.scope, []).append((one.counts, place))
        return [_verdict(scope, found) for scope, found in sorted(hits.items())]


def _heard(text: str, words: Sequence[_Word]) -> Iterator[_Heard]:
    """What the words of a text may be, each alone and up to `_MOST_WORDS` in a row."""
    row: list[_Word] = []
    for word in words:
        follows = row and row[-1].script == word.script and _is_gap(text[row[-1].end : word.start])
        row = [*row[1 - _MOST_WORDS :], word] if follows else [word]
        for first in range(len(row)):
            yield from _together(row[first:])


def _is_gap(between: str) -> bool:
    return len(between) <= _GAP and not any(map(str.isalnum, between))


def _together(words: Sequence[_Word]) -> Iterator[_Heard]:
    script, place = words[0].script, Span(0, words[0].start, words[-1].end)
    last = [words[-1].forms] if len(words) > 1 else []
    for parts in itertools.product(words[0].forms, *(word.whole for word in words[1:-1]), *last):
        heard = [word_sound(part, script) for part in parts]
        sound, said = "".join(one for one, _ in heard), "".join(letters for _, letters in heard)
        yield _Heard(sound, said, script, len(words), place)


def _fits(named: _Named, heard: _Heard) -> Iterator[bool]:
    """For each sound of a name that some words may be, whether they surely are."""
    for sound, alike in _likenesses(named, heard):
        if alike >= ROUGHLY or _is_telling(heard):
            whole = heard.words in (_UNKNOWN, named.words) or heard.script in _JOINED
            yield whole and _is_sure(named, sound, heard, alike)


def _likenesses(named: _Named, heard: _Heard) -> Iterator[tuple[Sound, int]]:
    """The sounds of a name that have the consonants of some words, each with how alike these are."""
    if heard.words > named.words:
        return
    for sound in named.sounds:
        if (sound.every_r or heard.script in LONG_VOWELS) and _is_heard(sound.consonants, heard):
            yield sound, likeness(named.alias.name, sound, heard.said, heard.script)


def _is_heard(sound: str, heard: _Heard) -> bool:
    if heard.script == _HAN:
        return heard.sound in heard_in_han(sound)
    return heard_in(heard.script, sound) == heard_in(heard.script, heard.sound)


def _is_telling(heard: _Heard) -> bool:
    """Whether there are so many consonants that the vowels need not fit; in Chinese, which has no spaces between words,
    each in a character of its own."""
    characters = heard.place.end_char - heard.place.start_char
    return len(heard.sound.replace("h", "")) >= _TELLING and (heard.script != _HAN or characters >= _TELLING)


def _named(scope: str, names: Sequence[str | Alias]) -> Iterator[tuple[_Named, Sequence[str]]]:
    """Each name with what it stands under."""
    for alias in dict.fromkeys(Alias(name) if isinstance(name, str) else name for name in names):
        if alias.match == "word":
            sounds = _telling_sounds(alias.name)
            if sounds:
                under = {coarse(sound.consonants) for sound in sounds}
                under |= {_CHINESE + one for sound in sounds for one in heard_in_han(sound.consonants)}
                begun = {_BEGINS + sound[:letters] for sound in under for letters in range(len(sound) + 1)}
                yield _Named(scope, alias, len(alias.name.split())), [*under, *begun]


def _telling_sounds(name: str) -> Sequence[Sound]:
    return [one for one in name_sounds(name) if len(one.consonants.replace("h", "")) >= _LEAST]


def _is_sure(named: _Named, sound: Sound, heard: _Heard, alike: int) -> bool:
    consonants = len(sound.consonants.replace("h", ""))
    if heard.script != _HAN:
        consonants = min(consonants, len(heard.sound.replace("h", "")))
    if heard.script in _WRITES_H and sound.consonants[0] == heard.sound[0] == "h":
        consonants += 1
    if heard.script == _HAN and heard.place.end_char - heard.place.start_char < _SURE_CHARACTERS:
        return False
    if heard.script == _HAN and heard.words == named.words > 1:
        consonants += 1  # nobody but a foreigner has a point in the name
    if consonants >= (_SURE if named.words == 1 else _SURE_OF_SEVERAL):
        return alike >= ALIKE
    return consonants >= _SURE_IF_CLOSE and alike >= CLOSELY


def _verdict(scope: str, hits: Sequence[tuple[bool, Span]]) -> Verdict:
    matched = any(sure for sure, _ in hits)
    spans = tuple(sorted({span for _, span in hits}))
    return Verdict(scope, ForeignNames.name, 1.0 if matched else 0.0, 0.5, matched, spans)


def _words(text: str) -> Iterator[_Word]:
    """The runs of letters of one of the scripts that are read."""
    start, script = 0, ""
    for place, letter in enumerate(text):
        if letter in "ーｰ" or is_mark(letter) or is_invisible(letter) or (script == "HEBREW" and letter in "'׳’"):
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
    word = "".join(letter for letter in text[start:end] if not is_invisible(letter))
    if script == "HANGUL":
        word = _HANGUL_SURE_END.sub("", word) or word
    shorter = _ADDED[script].sub("", word) if script in _ADDED else word
    least = _SHORT if script not in _SYLLABLES else _SHORT_SYLLABLES
    whole = _read(word, script)
    return _Word(
        start, end, script, whole, whole + _read(shorter, script) if len(shorter) in range(least, len(word)) else whole
    )


def _read(word: str, script: str) -> tuple[str, ...]:
    """A word, and with those letters written otherwise that some writers use for another sound."""
    written, said = _ALSO_READ.get(script, ("", ""))
    return (word, word.replace(written, said)) if written and written in word else (word,)
