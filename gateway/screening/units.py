"""What the gate reads of one text: the text itself, its other spellings, and its clauses, each with its place."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from classifiers.names.aliases import LexicalDetector
from classifiers.types import Span, Verdict
from classifiers.views.clauses import clauses
from classifiers.views.view import View
from classifiers.views.views import views

__all__ = ["Kind", "Unit", "merged", "units"]


Kind = Literal["text", "long view", "odd words", "clause"]
_LONG_CHARS = 4_000
_AROUND = 200  # characters on each side of what differs in a long view
_LONGEST_WORD = 64
_LONG_CLAUSE = 1_000
_MOST_SHARE = 0.6  # of a view that is read in excerpts


@dataclass(frozen=True, slots=True)
class Unit:
    """A text for the detectors: the whole of another text, a view of it, or a clause, which begins at `start` of the
    text or of the view and is one of `of` different ones.

    The detectors of names read all but clauses, since a name is found wherever it stands; of a long view, what differs
    there. The others read texts, and some of them clauses; odd words say nothing to them, and of a long view they read
    the clauses that differ.
    """

    text: str
    kind: Kind = "text"
    view: View | None = None
    start: int = 0
    of: int = 1

    def source(self, span: Span) -> Span:
        """The place of a span in the text that the unit was made of."""
        start, end = self.start + span.start_char, self.start + span.end_char
        return Span(span.message, *(self.view.source_range(start, end) if self.view else (start, end)))

    @property
    def place(self) -> Span:
        """The place of the unit."""
        return self.source(Span(0, 0, len(self.text)))

    @property
    def is_source(self) -> bool:
        """Whether it is the text that the others were made of."""
        return self.view is None and self.kind == "text"


def units(text: str, *, parted: bool = True) -> list[Unit]:
    """The units of a text, itself first; without `parted`, no clauses."""
    found = [Unit(text), *(_clauses(text, None) if parted else ())]
    known = frozenset(unit.text for unit in found)
    for view in views(text):
        if view.names_alone:
            found.append(Unit(view.text, "odd words", view))
            continue
        own = _clauses(view.text, view) if parted else []
        if len(view.text) > _LONG_CHARS:
            own = _excerpts(view, own)
        if own and len(view.text) > _LONG_CHARS:
            found += _differing(view)
        else:
            found.append(Unit(view.text, "text", view))
        found += [unit for unit in own if unit.text not in known]
    return found


def _differing(view: View) -> list[Unit]:
    """What differs in a long view, with the words around it; all of it if that is most of it. Who sends a book would
    wait while its names are looked for again in each view."""
    places = _around(view, view.changed or ())
    if not places or sum(end - start for start, end in places) > _MOST_SHARE * len(view.text):
        return [Unit(view.text, "long view", view)]
    return [Unit(view.text[start:end], "long view", view, start) for start, end in places]


def _around(view: View, changed: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges of a view with the words around them, where these overlap together."""
    places: list[tuple[int, int]] = []
    for first, last in changed:
        start = _at_a_gap(view.text, max(0, first - _AROUND), -1)
        end = _at_a_gap(view.text, min(len(view.text), last + _AROUND), 1)
        if places and start <= places[-1][1]:
            start = places.pop()[0]
        places.append((start, end))
    return places


def _at_a_gap(text: str, place: int, step: int) -> int:
    """The place, or one a few characters away where no word is cut: half a word may be a name."""
    for there in range(place, place + step * _LONGEST_WORD, step):
        if not 0 < there < len(text) or not (text[there - 1].isalnum() and text[there].isalnum()):
            return there
    return place


def _clauses(text: str, view: View | None) -> list[Unit]:
    places = clauses(text)
    parts = [(start, text[start:end]) for start, end in places]
    different = len({part for _, part in parts})
    return [Unit(part, "clause", view, start, different) for start, part in parts]


def _excerpts(view: View, own: list[Unit]) -> list[Unit]:
    """The clauses of a long view, with excerpts in the place of long ones: what differs there, and the words around it.
    Noise holds runs that are read as codes by chance, and each would have all of it read once more. If most of the view
    differs, the clauses stay what they are."""
    short = [unit for unit in own if len(unit.text) <= _LONG_CLAUSE]
    outside = [
        (first, last)
        for first, last in view.changed or ()
        if not any(unit.start <= first and last <= unit.start + len(unit.text) for unit in short)
    ]
    places = _around(view, outside)
    if not view.changed or sum(end - start for start, end in places) > _MOST_SHARE * len(view.text):
        return own
    different = len({unit.text for unit in short}) + len(places)
    return [*short, *(Unit(view.text[start:end], "clause", view, start, different) for start, end in places)]


def merged(found: Iterable[tuple[Unit, Verdict]]) -> list[Verdict]:
    """One verdict for each scope and detector, on the text that the units were made of. A unit that matches counts
    before one that does not, then the higher score; the spans are those of all units that count as much, and
    those of all names."""
    groups: dict[tuple[str, str], list[tuple[Unit, Verdict]]] = {}
    for unit, verdict in found:
        groups.setdefault((verdict.scope, verdict.detector), []).append((unit, verdict))
    return [_merged(group) for group in groups.values()]


def _merged(group: Sequence[tuple[Unit, Verdict]]) -> Verdict:
    if len(group) == 1 and group[0][0].is_source:
        return group[0][1]
    matched = [(unit, verdict) for unit, verdict in group if verdict.matched] or list(group)
    # max() keeps a first value that is not a number, and a NaN is a match
    best = next((one for _, one in matched if one.score != one.score), max((v for _, v in matched), key=_score))
    # a name that counts is the second sign of the others: all are covered (`confirmed`)
    placing = group if best.detector == LexicalDetector.name else matched
    placed = {span for unit, verdict in placing for span in _spans(unit, verdict)}
    if any(not verdict.spans and unit.is_source for unit, verdict in matched):
        return replace(best, spans=())  # the whole text is flagged, and no word stands out
    return replace(best, spans=tuple(sorted(placed)))


def _score(verdict: Verdict) -> float:
    return verdict.score


def _spans(unit: Unit, verdict: Verdict) -> Iterable[Span]:
    return [unit.source(span) for span in verdict.spans] or [unit.place]
