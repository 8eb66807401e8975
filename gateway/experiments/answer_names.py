"""The leak screen: does an answer name the scope of its flagged question? It is counted, and never enforced."""

from collections.abc import Collection

from gateway.core import Event, Finding, Request
from gateway.screening.gate import Gate
from gateway.screening.texts import screened_texts

__all__ = ["Excerpt", "leak_hits"]

_CHARS = 4_000
_EVENT_BYTES = 262_144  # that many characters of a stream, a token an event


class Excerpt:
    """The beginning of an answer, kept in memory until it is screened."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._size = 0

    def add(self, event: Event) -> None:
        """Keeps an event. Cheap: it parses nothing."""
        if self._size < _EVENT_BYTES:
            self._events.append(event)
            self._size += len(event.data) if event.data is not None else sum(len(d.text) for d in event.deltas)

    def texts(self) -> list[str]:
        """The first 4,000 characters of each choice. Raises UpstreamError for bytes of no known shape.

        Slow for a long answer: not for the event loop.
        """
        by_choice: dict[int, list[str]] = {}
        for event in self._events:
            for delta in event.deltas:
                by_choice.setdefault(delta.index, []).append(delta.text)
        return ["".join(parts)[:_CHARS] for _, parts in sorted(by_choice.items())]


def leak_hits(gate: Gate, request: Request, scopes: Collection[str], excerpt: Excerpt) -> tuple[str, ...]:
    """The scopes whose names stand in an answer though the request did not hold them.

    The classifiers have no say: they were calibrated on questions. An answer that a forgetting model makes up about the
    same subject looks to them like the subject. Slow: call it off the event loop.

    Args:
        gate: the detectors that screened the request.
        request: what the client asked.
        scopes: those that the request is inside.
        excerpt: of the answer.
    """
    asked = "\n".join(text.text for text in screened_texts(request)).casefold()
    texts = [text for text in excerpt.texts() if text.strip()]
    found = set()
    for text, findings in zip(texts, gate.named(texts), strict=True):
        told = (finding for finding in findings if finding.scope in scopes)
        found |= {finding.scope for finding in told if not _echoes(finding, text, asked)}
    return tuple(sorted(found))


def _echoes(finding: Finding, answer: str, asked: str) -> bool:
    return all(answer[start:end].casefold() in asked for _, start, end in finding.ranges)
