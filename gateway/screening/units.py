"""What the gate reads of one text: the text itself, its other spellings, and its clauses, each with its place."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from classifiers.types import Span, Verdict
from classifiers.views.clauses import clauses
from classifiers.views.view import View
from classifiers.views.views import views

__all__ = ["Unit", "merged", "units"]


@dataclass(frozen=True, slots=True)
class Unit:
    """A text for the detectors. It is the whole of another text, or a view of it, or a clause, which begins at `start`
    of the text or of the view. `clause` is one of `of` clauses, 0 for a whole text; the detectors of names read no
    clause, and with `names_alone` the others do not read the unit."""

    text: str
    view: View | None = None
    start: int = 0
    of: int = 0

    @property
    def is_clause(self) -> bool:
        """Whether the unit is a part of a text."""
        return self.of > 0

    @property
    def names_alone(self) -> bool:
        """Whether there is nothing but words that may be names."""
        return self.view is not None and self.view.names_alone

    def source(self, span: Span) -> Span:
        """The place of a span in the text that the unit was made of."""
        start, end = self.start + span.start_char, self.start + span.end_char
        return Span(span.message, *(self.view.source_range(start, end) if self.view else (start, end)))

    @property
    def place(self) -> Span:
        """The place of the unit."""
        return self.source(Span(0, 0, len(self.text)))


def units(text: str, *, parted: bool = True) -> list[Unit]:
    """The units of a text, itself first; without `parted`, no clauses."""
    found = [Unit(text), *(Unit(view.text, view) for view in views(text))]
    return found + [clause for unit in found for clause in _clauses(unit)] if parted else found


def _clauses(unit: Unit) -> Sequence[Unit]:
    if unit.names_alone:
        return ()
    places = clauses(unit.text)
    return [Unit(unit.text[start:end], unit.view, start, len(places)) for start, end in places]


def merged(found: Iterable[tuple[Unit, Verdict]]) -> list[Verdict]:
    """One verdict for each scope and detector, on the text that the units were made of. A unit that matches counts
    before one that does not, then the higher score; the spans are those of all units that count as much."""
    groups: dict[tuple[str, str], list[tuple[Unit, Verdict]]] = {}
    for unit, verdict in found:
        groups.setdefault((verdict.scope, verdict.detector), []).append((unit, verdict))
    return [_merged(group) for group in groups.values()]


def _merged(group: Sequence[tuple[Unit, Verdict]]) -> Verdict:
    if len(group) == 1 and group[0][0].view is None and not group[0][0].is_clause:
        return group[0][1]
    matched = [(unit, verdict) for unit, verdict in group if verdict.matched] or list(group)
    # max() keeps a first value that is not a number, and a NaN is a match
    best = next((one for _, one in matched if one.score != one.score), max((v for _, v in matched), key=_score))
    placed = {span for unit, verdict in matched for span in _spans(unit, verdict)}
    if any(not verdict.spans and unit.view is None and not unit.is_clause for unit, verdict in matched):
        return replace(best, spans=())  # the whole text is flagged, and no word stands out
    return replace(best, spans=tuple(sorted(placed)))


def _score(verdict: Verdict) -> float:
    return verdict.score


def _spans(unit: Unit, verdict: Verdict) -> Iterable[Span]:
    return [unit.source(span) for span in verdict.spans] or [unit.place]
