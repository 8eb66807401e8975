"""Names of a scope, found as whole words in one pass over the text, however many scopes there are."""

import copy
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from classifiers.names.beginnings import is_open, open_from
from classifiers.names.boundaries import (
    Boundary,
    Letters,
    beginning_fits,
    ending_fits,
    is_joiner,
    is_loose,
)
from classifiers.names.by_sound import by_sound
from classifiers.names.forms import Form, forms
from classifiers.names.index import WordIndex
from classifiers.names.near import NearNames
from classifiers.names.ordinary import Alias, as_written, name_of
from classifiers.names.prose import Prose, open_word
from classifiers.names.text import is_mark, warm_up
from classifiers.types import Span, Verdict

__all__ = ["LEANING", "LexicalDetector", "Sighting", "check_alias", "confirmed"]

_SHORT_KATAKANA = 2  # letters
# Behind a last name that stands first; a salutation ends its line with a comma.
_BEFORE_A_FIRST_NAME = re.compile(r"\s*,[^\S\n]*|\s+|[_-]")
LEANING = 0.0
"""The classifier's own boundary: a score above it is a second sign of a doubtful name (`confirmed`)."""
_LEANING_DETECTORS = ("classifier", "multilingual")
_CARRIERS = {
    "CJK": "请告诉我{}的故事",
    "HIRAGANA": "これは{}についてです",
    "KATAKANA": "これは{}についてです",
    "THAI": "ใครรู้จัก{}บ้าง",
    "LAO": "ໃຜຮູ້ຈັກ{}ແດ່",
    "KHMER": "តើ{}ជានរណា",
    "MYANMAR": "ဒါက{}အကြောင်း",
    "HANGUL": "이 책은 {}의 이야기",
}


@dataclass(frozen=True, slots=True)
class _Owned:
    """A form that belongs to an alias of a scope."""

    form: Form
    scope: str
    alias: Alias

    @property
    def letters(self) -> str:
        """See `classifiers.names.index.Owned`."""
        return self.form.letters

    @property
    def breaks(self) -> tuple[int, ...]:
        """See `classifiers.names.index.Owned`."""
        return self.form.breaks

    @property
    def glued(self) -> bool:
        """See `classifiers.names.index.Owned`."""
        return self.form.glued


@dataclass(frozen=True, slots=True)
class Sighting:
    """A name of a scope at a half-open range of a text's characters. `counts`: it needs no second sign."""

    scope: str
    name: str
    start: int
    end: int
    counts: bool


@dataclass(frozen=True, slots=True)
class _Hit:
    """A form found in a text: a half-open range of the text's characters. `counts`: it needs no second sign."""

    alias: Alias
    start: int
    end: int
    counts: bool


class LexicalDetector:
    """Finds the aliases of all scopes in one pass over a text, misspelt ones too (see `classifiers.names.near`).
    Immutable and thread-safe."""

    name = "lexical"

    def __init__(self, aliases: Mapping[str, Sequence[str | Alias]]) -> None:
        """`aliases` maps a scope's id to its names; a bare text is an Alias that counts in any spelling.

        Raises ValueError for an alias without a letter or digit.
        """
        self._index = _EMPTY.updated(_spelled(aliases), ())
        self._near = NearNames().updated(aliases, ())

    def updated(self, added: Mapping[str, Sequence[str | Alias]], removed: Collection[str]) -> "LexicalDetector":
        """The detector with the names of further scopes and without those of others; most of it is shared.

        A scope in `added` that is there already is replaced. Raises ValueError as the constructor does.
        """
        changed = copy.copy(self)
        changed._index = self._index.updated(_spelled(added), removed)
        changed._near = self._near.updated(added, removed)
        return changed

    def detect(self, texts: Sequence[str], *, misspelt: bool = True) -> list[list[Verdict]]:
        """Verdicts of the scopes whose aliases occur; spans merged where aliases overlap. Without `misspelt`, letters
        must be right.

        A verdict that is not matched needs a second sign: see `confirmed`.
        """
        found = (self._hits(text, misspelt=misspelt) for text in texts)
        return [[_verdict(scope, hits) for scope, hits in sorted(of_text.items())] for of_text in found]

    def counted(self, text: str) -> Mapping[str, frozenset[str]]:
        """For each scope that the text names, the names that flag it."""
        found = {
            scope: frozenset(hit.alias.name for hit in hits if hit.counts) for scope, hits in self._hits(text).items()
        }
        return {scope: names for scope, names in found.items() if names}

    def open_from(self, letters: Letters) -> int:
        """The first character of a text that may belong to a name, or decide about one, if the text goes on; its length
        if none may. See `classifiers.names.beginnings`."""
        return open_from(self._index, letters)

    def open_word(self, prose: Prose) -> int | None:
        """The same of prose, as the number of a word. See `classifiers.names.prose`."""
        return open_word(self._index, prose)

    def first_beginning(self, letters: str) -> int | None:
        """From which of some normalised letters on they are the beginning of a name, or a name; None if from none."""
        return min(self._index.beginnings(letters), default=None)

    def sightings(self, letters: Letters, *, ended: bool) -> list[Sighting]:
        """Where names stand in a text, in the order in which they begin. Without `ended` the text may go on: then names
        are left out about which the next characters decide."""
        found = []
        for last, owned in self._index.occurrences(letters.text):
            place = _place(owned.form, letters, last + 1 - len(owned.form.letters))
            if place and (ended or not is_open(letters, last + 1)):
                hit = _hit(owned, letters, *place)
                found.append(Sighting(owned.scope, owned.alias.name, hit.start, hit.end, hit.counts))
        return sorted(found, key=lambda sighting: (sighting.start, sighting.end))

    def _hits(self, text: str, *, misspelt: bool = True) -> dict[str, list[_Hit]]:
        hits = self._hits_of(text, misspelt=misspelt)
        respelt = by_sound(text) if misspelt else None
        if respelt:
            for scope, found in self._hits_of(respelt.text).items():
                for hit in found:
                    start, end = respelt.source_range(hit.start, hit.end)
                    hits.setdefault(scope, []).append(replace(hit, start=start, end=end))
        return hits

    def _hits_of(self, text: str, *, misspelt: bool = True) -> dict[str, list[_Hit]]:
        hits: dict[str, list[_Hit]] = {}
        letters = Letters(text)
        for last, owned in self._index.occurrences(letters.text):
            start = last + 1 - len(owned.form.letters)
            found = _place(owned.form, letters, start)
            if found:
                hits.setdefault(owned.scope, []).append(_hit(owned, letters, *found))
        for near in self._near.found(letters.words) if misspelt else ():
            start, end = letters.words_range(near.first, near.last)
            hits.setdefault(near.scope, []).append(_Hit(near.alias, start, end, near.counts))
        for masked in self._near.masked(text) if misspelt else ():
            hits.setdefault(masked.scope, []).append(_Hit(masked.alias, masked.start, masked.end, masked.counts))
        return hits


def confirmed(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts of all detectors on one text. The detector of names counts where it is sure or has a second sign.

    A name that needs a second sign has it if the scope's classifier leans to the scope: its score lies above its
    own boundary, 0, whether or not its threshold is higher. Other detectors must match. Names without a second sign are
    left out.
    """
    leaning = {
        verdict.scope
        for verdict in verdicts
        if verdict.detector != LexicalDetector.name and (verdict.matched or _leans(verdict))
    }
    return [
        replace(verdict, matched=True, score=1.0) if verdict.detector == LexicalDetector.name else verdict
        for verdict in verdicts
        if verdict.detector != LexicalDetector.name or verdict.matched or verdict.scope in leaning
    ]


def check_alias(alias: str | Alias) -> None:
    """Raises ValueError for an alias that could never be found in a sentence of its script."""
    name = name_of(alias)
    form = forms(Alias(name))[0]
    carrier = _CARRIERS.get(form.script, "Tell me about {} today").format(name)
    if not LexicalDetector({"scope": [name]}).detect([carrier])[0]:
        raise ValueError(f"alias {name!r} is never found in a sentence, such as {carrier!r}; write the name otherwise")


def _leans(verdict: Verdict) -> bool:
    return verdict.detector in _LEANING_DETECTORS and not verdict.score <= LEANING


def _verdict(scope: str, hits: Sequence[_Hit]) -> Verdict:
    matched = any(hit.counts for hit in hits)
    spans = tuple(Span(0, a, b) for a, b in _merged((hit.start, hit.end) for hit in hits))
    return Verdict(scope, LexicalDetector.name, 1.0 if matched else 0.0, 0.5, matched, spans)


def _hit(owned: _Owned, letters: Letters, start: int, end: int, whole: bool) -> _Hit:
    """`whole`: the form stands between spaces or punctuation, and no letter touches it."""
    alias = owned.alias
    first, last = letters.source_range(start, end)
    counts = alias.match == "word" and (not owned.form.turned or _is_a_name(owned.form, letters, start))
    if alias.match == "exact":
        counts = whole and as_written(alias.name, letters.source, first, last)
    return _Hit(alias, first, last, counts)


def _place(form: Form, letters: Letters, start: int) -> tuple[int, int, bool] | None:
    """(first letter, last letter + 1, stands alone) of a form in a text that has the letters of the form; None if the
    form is only a part of other words."""
    end = start + len(form.letters)
    if not _parts_fit(form, letters, start, end) or (form.turned and not _is_turned(form, letters, start)):
        return None
    before, after = letters.edge(start), letters.edge(end)
    if before == Boundary.INSIDE or (
        after == Boundary.INSIDE and (is_loose(form.script) or not is_mark(letters.text[end]))
    ):
        return None
    stop = _stop(form, letters, end, after) if _begins(form, letters, start, before) else None
    if stop is not None:
        return start, stop, before == Boundary.HARD and after == Boundary.HARD
    joined = letters.places[end - 1] - letters.places[start] == end - start - 1
    return (start, end, False) if form.glued and joined else None


def _parts_fit(form: Form, letters: Letters, start: int, end: int) -> bool:
    """Whether the text has spaces only where the form may have them."""
    places = letters.places
    if places[end - 1] - places[start] == end - start - 1:
        return True
    loose = is_loose(form.script) or form.script == "HANGUL"
    return all(
        index - start in form.breaks or (loose and is_joiner(letters.gap(index)))
        for index in range(start + 1, end)
        if places[index] - places[index - 1] > 1
    )


def _is_turned(form: Form, letters: Letters, start: int) -> bool:
    """Whether the last name ends before a space or a comma: the end of a sentence is none."""
    return _BEFORE_A_FIRST_NAME.fullmatch(letters.gap(start + form.turned)) is not None


def _is_a_name(form: Form, letters: Letters, start: int) -> bool:
    """Whether all words have a capital; or none has, if the form allows that: 'by the brook, Oona' names two."""
    words = [letters.source_range(start + place, start + place + 1)[0] for place in (0, *form.breaks)]
    capitals = {letters.source[word].isupper() for word in words}
    return capitals == {True} or (capitals == {False} and not form.capitals)


def _begins(form: Form, letters: Letters, start: int, before: int) -> bool:
    if before >= Boundary.SOFT or _anywhere(form, form.first_script):
        return True
    prefix = letters.prefix(start)
    return prefix is not None and len(form.letters) > 3 and beginning_fits(form.first_script, prefix)


def _stop(form: Form, letters: Letters, end: int, after: int) -> int | None:
    """Where the name with its ending ends; None if the word goes on as a different word."""
    if not form.stem and (after >= Boundary.SOFT or _anywhere(form, form.script)):
        return end
    tail = letters.tail(end)
    if not tail:
        return None
    fits = (form.plural and tail == "s") or ending_fits(form.script, len(form.letters), tail)
    return end + len(tail) if fits else None


def _anywhere(form: Form, script: str) -> bool:
    if script == "HANGUL":
        return form.glued
    return is_loose(script) and not (script == "KATAKANA" and len(form.letters) <= _SHORT_KATAKANA)


_EMPTY: WordIndex[_Owned] = WordIndex()


def _spelled(aliases: Mapping[str, Sequence[str | Alias]]) -> dict[str, list[tuple[str, _Owned]]]:
    """Each scope's words: the letters of every form of its names."""
    if aliases:
        warm_up()
    return {
        scope: [
            (form.letters, _Owned(form, scope, alias))
            for alias in dict.fromkeys(Alias(name) if isinstance(name, str) else name for name in names)
            for form in forms(alias)
        ]
        for scope, names in aliases.items()
    }


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
