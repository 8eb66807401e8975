"""The detectors of all enabled packs, as one unchanging whole; a reload makes a new one."""

from collections.abc import Mapping, Sequence

from classifiers.encoder import Encoder
from classifiers.lexical import LexicalDetector
from classifiers.prompt import PromptClassifier
from classifiers.types import Detector, Span, Verdict
from gateway.core import Finding, Request
from gateway.packs import Pack
from gateway.policy import Guard

__all__ = ["Gate", "ScreenedText", "screened_texts"]


class ScreenedText:
    """A text to screen and where it came from: `places` are (message, start in this text, length)."""

    __slots__ = ("message", "places", "text")

    def __init__(self, text: str, message: int | None, places: tuple[tuple[int, int, int], ...]) -> None:
        self.text = text
        self.message = message
        self.places = places

    def locate(self, span: Span) -> tuple[tuple[int, int, int], ...]:
        """The ranges of messages that a span of this text covers."""
        return tuple(
            (message, max(span.start_char, start) - start, min(span.end_char, start + length) - start)
            for message, start, length in self.places
            if span.start_char < start + length and span.end_char > start
        )


class Gate:
    """Detectors and guards of the enabled packs. Immutable and thread-safe."""

    def __init__(self, packs: Mapping[str, Pack], encoder: Encoder) -> None:
        enabled = {scope: pack for scope, pack in packs.items() if pack.enabled}
        self.guards: Mapping[str, Guard] = {scope: pack.guard for scope, pack in enabled.items()}
        self.detectors: Sequence[Detector] = (
            LexicalDetector({scope: pack.aliases for scope, pack in enabled.items()}),
            PromptClassifier(encoder, {scope: pack.head for scope, pack in enabled.items()}),
        )

    def findings(self, texts: Sequence[ScreenedText]) -> list[tuple[Finding, ...]]:
        """What the detectors say of each text. Slow: call it off the event loop."""
        plain = [text.text for text in texts]
        by_detector = [detector.detect(plain) for detector in self.detectors]
        return [
            tuple(_finding(text, verdict) for verdicts in by_detector for verdict in verdicts[index])
            for index, text in enumerate(texts)
        ]


def screened_texts(request: Request) -> list[ScreenedText]:
    """Everything in a request that reaches the model: each message, all of them joined (a name in turn 1 gives turn 3
    its meaning), and the texts beside them."""
    messages = [(index, message.text) for index, message in enumerate(request.messages) if message.text.strip()]
    texts = [ScreenedText(text, index, ((index, 0, len(text)),)) for index, text in messages]
    if len(messages) > 1:
        places, cursor = [], 0
        for index, text in messages:
            places.append((index, cursor, len(text)))
            cursor += len(text) + 1
        texts.append(ScreenedText("\n".join(text for _, text in messages), None, tuple(places)))
    return texts + [ScreenedText(text, None, ()) for text in request.side_texts if text.strip()]


def _finding(text: ScreenedText, verdict: Verdict) -> Finding:
    ranges = {place for span in verdict.spans for place in text.locate(span)}
    return Finding(
        scope=verdict.scope,
        detector=verdict.detector,
        score=verdict.score,
        threshold=verdict.threshold,
        matched=verdict.matched,
        message=text.message,
        ranges=tuple(sorted(ranges)),
    )
