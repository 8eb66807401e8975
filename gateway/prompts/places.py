"""Where a rendered prompt holds the messages of a request, whatever a chat template or a tokenizer does to them.

A client can send any characters in any order. What a template trims, cuts, repeats, moves or leaves out must not change
the plan: a refusal in place of a corrupted answer would tell the client that its request is flagged.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from classifiers.names.text import normalise

__all__ = ["Marks", "Place", "find_words"]

Range = tuple[int, int]
_OPENING, _CLOSING, _END = "\ue000", "\ue001", "\ue002"


@dataclass(frozen=True, slots=True)
class Place:
    """Characters [start, end) of a rendered text that repeat a message from its character `first` on. `first` is None
    if the template altered the message, so that no character of one is known to be a certain character of the other."""

    message: int
    start: int
    end: int
    first: int | None

    def ranges(self, of_message: Iterable[Range]) -> list[Range]:
        """Half-open ranges of the message as ranges of the rendered text, cut at the ends of this place. `first` must
        not be None."""
        shift = self.start - (self.first or 0)
        return [(max(self.start, a + shift), min(self.end, b + shift)) for a, b in of_message]


class Marks:
    """Two words for each message that stand around its text while it is rendered once more.

    They stand inside of the white space around the text, because templates trim it. A blank text gets none. They hold
    a hash of all texts, so that no client can send them, and digits alone, which no template spells otherwise.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        digest = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).digest()
        self._hash = f"{int.from_bytes(digest[:12]):029}"
        self._pattern = re.compile(f"([{_OPENING}{_CLOSING}]){self._hash}([0-9]+){_END}")

    def around(self) -> list[str]:
        """The texts with their marks."""
        return [self._marked(number, text) for number, text in enumerate(self._texts)]

    def places(self, marked: str, text: str) -> tuple[Place, ...] | None:
        """The places of the messages in `text`, read off the same prompt rendered with marks. A message without a place
        is not in the text. None if the marks changed what the template does, so that nothing is known."""
        clean, seen = self._without_marks(marked)
        if clean != text:
            return None
        return tuple(self._paired(text, seen))

    def _marked(self, number: int, text: str) -> str:
        if not text.strip():
            return text
        lead, trail = _blank_ends(text)
        end = len(text) - trail
        opening, closing = self._mark(_OPENING, number), self._mark(_CLOSING, number)
        return f"{text[:lead]}{opening}{text[lead:end]}{closing}{text[end:]}"

    def _mark(self, side: str, number: int) -> str:
        return f"{side}{self._hash}{number}{_END}"

    def _without_marks(self, marked: str) -> tuple[str, list[tuple[int, str, int]]]:
        """The text without marks; of each mark the message, the side, and where it stood in that text."""
        pieces, seen, cursor, length = [], [], 0, 0
        for match in self._pattern.finditer(marked):
            pieces.append(marked[cursor : match.start()])
            length += len(pieces[-1])
            seen.append((int(match.group(2)), match.group(1), length))
            cursor = match.end()
        return "".join([*pieces, marked[cursor:]]), seen

    def _paired(self, text: str, seen: Sequence[tuple[int, str, int]]) -> Iterator[Place]:
        """A template may cut off one end of a message, and with it one of the two marks."""
        open_at: dict[int, int] = {}
        for number, side, position in seen:
            if side == _OPENING:
                if number in open_at:
                    yield self._begun(number, open_at[number], text)
                open_at[number] = position
            elif number in open_at:
                yield self._whole(number, open_at.pop(number), position, text)
            else:
                yield self._ended(number, position, text)
        for number, start in open_at.items():
            yield self._begun(number, start, text)

    def _core(self, number: int) -> tuple[str, int]:
        """A message without the white space around it, and where that begins."""
        text = self._texts[number]
        lead, trail = _blank_ends(text)
        return text[lead : len(text) - trail], lead

    def _whole(self, number: int, start: int, end: int, text: str) -> Place:
        core, lead = self._core(number)
        return Place(number, start, end, lead if text[start:end] == core else None)

    def _begun(self, number: int, start: int, text: str) -> Place:
        core, lead = self._core(number)
        return Place(number, start, start + _alike(core, text[start : start + len(core)]), lead)

    def _ended(self, number: int, end: int, text: str) -> Place:
        core, lead = self._core(number)
        kept = _alike(core[::-1], text[max(0, end - len(core)) : end][::-1])
        return Place(number, end - kept, end, lead + len(core) - kept)


def find_words(text: str, words: Iterable[str]) -> list[Range] | None:
    """The ranges of a text that hold one of the words, in whatever case, accents and spacing. None if it does not hold
    one of them."""
    found: list[Range] = []
    normal = normalise(text)
    for word in {normalise(word).text.strip() for word in words}:
        starts = [match.start() for match in re.finditer(re.escape(word), normal.text)] if word else []
        if not starts:
            return None
        found += [normal.source_range(start, start + len(word)) for start in starts]
    return found


def _blank_ends(text: str) -> tuple[int, int]:
    """How many characters of white space stand before and behind a text that is not blank."""
    return len(text) - len(text.lstrip()), len(text) - len(text.rstrip())


def _alike(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginnings."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
