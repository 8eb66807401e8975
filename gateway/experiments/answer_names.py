"""A cheap look at an answer: does it speak of the scope that its question was flagged for? Counted, never enforced."""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from gateway.core import Chunk, Delta, Finding, Raw, Request, Usage
from gateway.openai_format.decoding import DONE, chunks_of
from gateway.screening.gate import Gate, ScreenedText, screened_texts

__all__ = ["Excerpt", "leak_hits"]

_CHARS = 4_000
_RAW_BYTES = 262_144  # that many characters of a stream, a token an event


class Excerpt:
    """The beginning of an answer, collected as it passes and kept in memory until it is screened."""

    def __init__(self) -> None:
        self._deltas: list[tuple[int, str]] = []
        self._raw: list[bytes] = []
        self._size = 0

    def add(self, chunk: Chunk) -> None:
        """Cheap: nothing is parsed here."""
        if isinstance(chunk, Usage) or self._size >= _RAW_BYTES:
            return
        if isinstance(chunk, Raw):
            self._raw.append(chunk.data)
            self._size += len(chunk.data)
        else:
            self._deltas.append((chunk.index, chunk.text))
            self._size += len(chunk.text)

    def texts(self, request: Request) -> list[str]:
        """The first 4,000 characters of each choice. Raises ValueError or UpstreamError for bytes of no known shape.

        Slow for a long answer: not for the event loop.
        """
        by_choice: dict[int, list[str]] = {}
        for index, text in (*self._deltas, *_spoken(b"".join(self._raw), request)):
            by_choice.setdefault(index, []).append(text)
        return ["".join(parts)[:_CHARS] for _, parts in sorted(by_choice.items())]


def leak_hits(gate: Gate, request: Request, scopes: frozenset[str], excerpt: Excerpt) -> tuple[str, ...]:
    """The scopes whose names stand in an answer though the request did not hold them; empty: none does.

    The classifiers have no say: they were calibrated on questions, and take what a forgetting model makes up about the
    same subject for the subject. Slow: call it off the event loop.
    """
    asked = "\n".join(text.text for text in screened_texts(request)).casefold()
    texts = [ScreenedText(text, 0, ((0, 0, len(text)),)) for text in excerpt.texts(request) if text.strip()]
    found = set()
    for text, findings in zip(texts, gate.named(texts), strict=True):
        told = (finding for finding in findings if finding.scope in scopes)
        found |= {finding.scope for finding in told if not _echoes(finding, text.text, asked)}
    return tuple(sorted(found))


def _echoes(finding: Finding, answer: str, asked: str) -> bool:
    return all(answer[start:end].casefold() in asked for _, start, end in finding.ranges)


def _spoken(data: bytes, request: Request) -> Iterator[tuple[int, str]]:
    for payload in _payloads(data, stream=request.stream):
        for chunk in chunks_of(payload, request, 0):
            if isinstance(chunk, Delta):
                yield chunk.index, chunk.text


def _payloads(data: bytes, *, stream: bool) -> Iterable[Any]:
    """The JSON objects of an upstream's bytes, whose last line may be cut short."""
    if not stream:
        return [orjson.loads(data)] if data else []
    lines = data.split(b"\n")[:-1]
    return [orjson.loads(line[5:]) for line in lines if line.startswith(b"data:") and not line.startswith(DONE)]
