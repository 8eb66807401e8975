"""A text written in another way, with the place in the source of each of its characters."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

__all__ = ["Decoded", "Edit", "View", "plain", "rewritten"]

_FEWEST_WORDS = 4


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a run of a text says: for each character of `text`, where in the run the part begins that gives it. The
    decoder has read `length` characters of the run, and leaves the rest alone."""

    text: str
    starts: Sequence[int]
    length: int

    @property
    def ends(self) -> list[int]:
        """Where the part of each character ends: where the next one begins, in a run that is read from its end the one
        before. Several characters may come from one part."""
        parts = [(start, len(list(same))) for start, same in groupby(self.starts)]
        found: list[int] = []
        for number, (start, characters) in enumerate(parts):
            behind = parts[number + 1][0] if number + 1 < len(parts) else self.length
            before = parts[number - 1][0] if number else self.length
            end = behind if behind > start else before if before > start else self.length
            found += [max(end, start + 1)] * characters
        return found


@dataclass(frozen=True, slots=True)
class Edit:
    """Puts what was decoded in the place of the characters from `start` on."""

    start: int
    decoded: Decoded

    @property
    def end(self) -> int:
        """Where the text goes on as it was."""
        return self.start + self.decoded.length


@dataclass(frozen=True, slots=True)
class View:
    """`starts[i]` and `ends[i]` bound the source characters behind `text[i]`. With `names_alone` the text holds nothing
    that a classifier could read, only words that may be names. `changed` are half-open ranges of the text that differ
    from what it was made of, in order; None if nobody knows."""

    name: str
    text: str
    starts: Sequence[int]
    ends: Sequence[int]
    names_alone: bool = False
    changed: Sequence[tuple[int, int]] | None = None

    def source_range(self, start: int, end: int) -> tuple[int, int]:
        """The half-open source range behind the half-open range [start, end) of the view, which is not empty."""
        if isinstance(self.starts, range):  # the text itself
            return self.starts[start], self.ends[end - 1]
        return min(self.starts[start:end]), max(self.ends[start:end])


def plain(text: str) -> View:
    """The text itself."""
    return View("text", text, range(len(text)), range(1, len(text) + 1), changed=())


def rewritten(view: View, name: str, edits: Iterable[Edit]) -> View:
    """The view with edits, which follow each other and do not overlap. What an edit says stands on lines of its own if
    it has several words: it is a clause, whatever stands around. What was changed in the view before counts as changed,
    too."""
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    changed: list[tuple[int, int]] = []
    cursor = 0
    earlier = deque(view.changed or ())
    for edit in edits:
        several = len(edit.decoded.text.split()) >= _FEWEST_WORDS
        before = "\n" if several and edit.start > 0 else ""
        after = "\n" if several and edit.end < len(view.text) else ""
        pieces += (view.text[cursor : edit.start], before, edit.decoded.text, after)
        starts += view.starts[cursor : edit.start]
        ends += view.ends[cursor : edit.start]
        begins = len(starts)
        changed += _moved(earlier, cursor, edit.start, begins - edit.start)
        places = list(_places(view, edit))
        places = [*places[:1] * len(before), *places, *places[-1:] * len(after)]
        starts += [start for start, _ in places]
        ends += [end for _, end in places]
        changed.append((begins, len(starts)))
        cursor = edit.end
    pieces.append(view.text[cursor:])
    starts += view.starts[cursor:]
    ends += view.ends[cursor:]
    changed += _moved(earlier, cursor, len(view.text), len(starts) - len(view.text))
    return View(name, "".join(pieces), starts, ends, changed=None if view.changed is None else changed)


def _moved(changed: deque[tuple[int, int]], start: int, end: int, by: int) -> Iterator[tuple[int, int]]:
    """What of some ranges lies between two places, moved; it is taken out. What lies before, an edit has taken."""
    while changed and changed[0][0] <= end:
        first, last = changed.popleft()
        if last >= start:
            yield max(first, start) + by, min(last, end) + by
        if last > end:
            changed.appendleft((end, last))
            return


def _places(view: View, edit: Edit) -> Iterator[tuple[int, int]]:
    """The source range of each character that an edit says. Many in a row may come from one part."""
    before: tuple[int, int] | None = None
    place = (0, 0)
    for part in zip(edit.decoded.starts, edit.decoded.ends, strict=True):
        if part != before:
            place = view.source_range(edit.start + part[0], edit.start + part[1])
            before = part
        yield place
