"""The detectors of all enabled packs, as one unchanging whole; a reload makes a new one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from adapters.lora.model import Lora
from adapters.soft_prompt.model import VirtualTokens
from classifiers.encoder.sentence import Encoder
from classifiers.names.aliases import LexicalDetector, confirmed
from classifiers.ood.detector import OodDetector
from classifiers.ood.model import OodModel
from classifiers.svm.model import Head, PromptClassifier
from classifiers.types import Detector, Span, Verdict
from gateway.core import Finding, Request
from gateway.packs.store import Pack
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

    def __init__(self, packs: Mapping[str, Pack], encoder: Encoder, *, soft_prompts_gated: bool = True) -> None:
        """Without `soft_prompts_gated`, soft prompts act on every request."""
        enabled = {scope: pack for scope, pack in packs.items() if pack.enabled}
        guards = {scope: pack.guard for scope, pack in enabled.items()}
        if not soft_prompts_gated:
            guards = {scope: _ungated(guard) for scope, guard in guards.items()}
        self.guards: Mapping[str, Guard] = guards
        self._names = LexicalDetector({scope: pack.aliases for scope, pack in enabled.items()})
        self.detectors: Sequence[Detector] = (self._names, *_learned(enabled, encoder))

    @property
    def loras(self) -> Mapping[str, Lora]:
        """The unlearning LoRAs that a backend must be ready to use, by scope."""
        acting = ((scope, guard.means) for scope, guard in self.guards.items() if guard.plan == "forget")
        return {scope: means for scope, means in acting if isinstance(means, Lora)}

    def findings(self, texts: Sequence[ScreenedText]) -> list[tuple[Finding, ...]]:
        """What the detectors say of each text. Slow: call it off the event loop."""
        return _found(texts, self.detectors)

    def named(self, texts: Sequence[ScreenedText]) -> list[tuple[Finding, ...]]:
        """What the names' detector alone says of each text."""
        return _found(texts, [self._names])


def _found(texts: Sequence[ScreenedText], detectors: Sequence[Detector]) -> list[tuple[Finding, ...]]:
    plain = [text.text for text in texts]
    by_detector = [detector.detect(plain) for detector in detectors]
    return [
        tuple(_finding(text, verdict) for verdict in confirmed([v for found in by_detector for v in found[index]]))
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


def _learned(packs: Mapping[str, Pack], encoder: Encoder) -> list[Detector]:
    heads = {scope: pack.detector for scope, pack in packs.items() if isinstance(pack.detector, Head)}
    models = {scope: pack.detector for scope, pack in packs.items() if isinstance(pack.detector, OodModel)}
    found: list[Detector] = [PromptClassifier(encoder, heads)]
    return [*found, OodDetector(encoder.backbone, models)] if models else found


def _ungated(guard: Guard) -> Guard:
    acts = guard.plan == "forget" and isinstance(guard.means, VirtualTokens)
    return replace(guard, gated=False) if acts else guard


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
        weight=verdict.weight,
    )
