"""What the gate reads of one text: the text itself, its other spellings, and its clauses, each with its place."""

from collections.abc import Sequence
from dataclasses import dataclass

from classifiers.types import Span
from classifiers.views.clauses import clauses
from classifiers.views.view import View
from classifiers.views.views import views

__all__ = ["Unit", "units"]


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
