"""The detectors of all enabled packs, as one unchanging whole; a reload makes a new one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from classifiers.encoder.sentence import Encoder
from classifiers.encoder.windows import Cut
from classifiers.names.aliases import LexicalDetector, confirmed
from classifiers.types import Detector, Span, Verdict
from gateway.core import Finding, Request, Screening
from gateway.packs.detectors import DETECTORS
from gateway.packs.store import Pack
from gateway.policy import Guard

if TYPE_CHECKING:
    from adapters.lora.model import Lora

__all__ = ["Gate", "Part", "ScreenedText", "screened_texts"]

Part = Sequence[Cut]


class ScreenedText:
    """A text to screen and its origin: `places` are (message, start in this text, length)."""

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
        self._encoder = encoder
        self._names = LexicalDetector({scope: pack.aliases for scope, pack in enabled.items()})
        self.detectors: Sequence[Detector] = (self._names, *_learned(enabled, encoder))

    @property
    def loras(self) -> "Mapping[str, Lora]":
        """The unlearning LoRAs that a backend must have ready, by scope."""
        acting = {scope: guard for scope, guard in self.guards.items() if guard.plan == "forget"}
        adapters = ((scope, guard.method.adapter(guard.artifact)) for scope, guard in acting.items())
        return {scope: lora for scope, lora in adapters if lora is not None}

    def screen(self, requests: Sequence[Request]) -> list[Screening]:
        """What the gate says of each request, the texts of all in one batch. Slow: call it off the event loop."""
        texts = [screened_texts(request) for request in requests]
        found = iter(_found([text for of_one in texts for text in of_one], self.detectors))
        return [Screening(tuple(finding for _ in of_one for finding in next(found))) for of_one in texts]

    def read_ahead(self, request: Request) -> Sequence[Part]:
        """The windows of a request's texts in parts of one batch each, for the detectors that share the encoder's
        memory of windows."""
        return [part for text in screened_texts(request) for part in self._encoder.read_ahead(text.text)]

    def read_part(self, part: Part) -> None:
        """Reads one part. Slow, as a batch is: call it off the event loop."""
        self._encoder.read_part(part)

    def named(self, texts: Sequence[str]) -> list[tuple[Finding, ...]]:
        """What the detector of names alone says of each text."""
        return _found([ScreenedText(text, 0, ((0, 0, len(text)),)) for text in texts], [self._names])


def screened_texts(request: Request) -> list[ScreenedText]:
    """Every text of a request that reaches the model: each message, all messages joined (a name in turn 1 gives turn 3
    its meaning), and the side texts."""
    messages = [(index, message.text) for index, message in enumerate(request.messages) if message.text.strip()]
    texts = [ScreenedText(text, index, ((index, 0, len(text)),)) for index, text in messages]
    if len(messages) > 1:
        places, cursor = [], 0
        for index, text in messages:
            places.append((index, cursor, len(text)))
            cursor += len(text) + 1
        texts.append(ScreenedText("\n".join(text for _, text in messages), None, tuple(places)))
    return texts + [ScreenedText(text, None, ()) for text in request.side_texts if text.strip()]


def _found(texts: Sequence[ScreenedText], detectors: Sequence[Detector]) -> list[tuple[Finding, ...]]:
    plain = [text.text for text in texts]
    by_detector = [detector.detect(plain) for detector in detectors]
    return [
        tuple(_finding(text, verdict) for verdict in confirmed([v for found in by_detector for v in found[index]]))
        for index, text in enumerate(texts)
    ]


def _learned(packs: Mapping[str, Pack], encoder: Encoder) -> list[Detector]:
    """One detector for each kind that some pack has."""
    models: dict[str, dict[str, object]] = {}
    for scope, pack in packs.items():
        models.setdefault(pack.manifest.detector, {})[scope] = pack.model
    return [DETECTORS[kind].build(encoder, of_kind) for kind, of_kind in models.items()]


def _ungated(guard: Guard) -> Guard:
    acts = guard.plan == "forget" and guard.method.ungated
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
