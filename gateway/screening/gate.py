"""The detectors of all enabled packs, as one unchanging whole; a reload makes a new one."""

import copy
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from classifiers.cache import Recent
from classifiers.encoder.sentence import Encoder
from classifiers.encoder.windows import Cut
from classifiers.languages.detector import MultilingualClassifier
from classifiers.leaks.watch import Watchlist
from classifiers.names.aliases import LexicalDetector, confirmed
from classifiers.names.foreign import ForeignNames
from classifiers.names.recent import RecentNames
from classifiers.types import ClauseDetector, Detector, ScopedDetector, Verdict
from gateway.core import Finding, Request, Screening
from gateway.errors import PackError
from gateway.models.languages import LoadLanguages
from gateway.packs.detectors import DETECTORS
from gateway.packs.store import Pack
from gateway.policy import Guard, ServingMethod
from gateway.screening.texts import ASKING, ScreenedText, screened_texts
from gateway.screening.units import Kind, Unit, merged, units

if TYPE_CHECKING:
    from adapters.lora.model import Lora

__all__ = ["Gate", "Part"]

_UNITS_CHARS = 1_000_000
_WHOLE: tuple[Kind, ...] = ("text", "long view")
_ODD: tuple[Kind, ...] = ("odd words",)
_LEARNED: tuple[Kind, ...] = ("text", "clause")  # what the classifier reads
_Detect = Callable[[Sequence[str]], list[list[Verdict]]]
_Reading = tuple[Detector, _Detect, tuple[Kind, ...]]
_FOREIGN_PART = 4  # windows


@dataclass(frozen=True, slots=True)
class _Foreign:
    """Windows of a text in other languages than English."""

    windows: Sequence[str]


Part = Sequence[Cut] | _Foreign


class Gate:
    """Detectors and guards of the enabled packs. Immutable and thread-safe."""

    def __init__(
        self,
        packs: Mapping[str, Pack],
        encoder: Encoder,
        *,
        soft_prompts_gated: bool = True,
        load_languages: LoadLanguages | None = None,
    ) -> None:
        """Raises SetupError for a pack that guards other languages and an encoder that cannot be loaded.

        Args:
            packs: by scope.
            encoder: embeds texts for the packs' detectors.
            soft_prompts_gated: whether soft prompts act on flagged requests alone.
            load_languages: loads the encoder of other languages than English, which is called for the first pack that
                guards these. None: names alone guard them.
        """
        self._encoder = encoder
        self._load_languages = load_languages
        self._languages: MultilingualClassifier | None = None
        self._soft_prompts_gated = soft_prompts_gated
        self._units: Recent[tuple[str, bool], Sequence[Unit]] = Recent(_UNITS_CHARS, size_of=_chars)
        self.guards: Mapping[str, Guard] = {}
        self._kinds: Mapping[str, str] = {}
        self._names = LexicalDetector({})
        self._foreign_names = ForeignNames()
        self.watchlist = Watchlist()
        self._learned: Mapping[str, ScopedDetector] = {}
        self._change(packs, ())

    def updated(self, packs: Mapping[str, Pack], removed: Collection[str]) -> "Gate":
        """The gate with these packs, new ones or new versions, and without the scopes in `removed`. Shares what did not
        change. Raises ValueError for a pack whose numbers or names no detector can take."""
        gate = copy.copy(self)
        gate._change(packs, removed)
        return gate

    def _change(self, packs: Mapping[str, Pack], removed: Collection[str]) -> None:
        """Puts new objects in the place of those that change, and changes none."""
        enabled = {scope: pack for scope, pack in packs.items() if pack.enabled}
        gone = {*removed, *packs}
        aliases = {scope: pack.aliases for scope, pack in enabled.items()}
        self._names = self._names.updated(aliases, gone)
        self._foreign_names = self._foreign_names.updated(aliases, gone)
        self._learned = self._changed_detectors(enabled, gone)
        self._languages = self._changed_languages(enabled, gone)
        self._naming, self._judging = tuple(self._named_by()), tuple(self._judged_by())
        watched = {scope: pack.watched for scope, pack in enabled.items()}
        self.watchlist = self.watchlist.updated(watched, gone, (self._names, self._foreign_names))
        kinds = {scope: pack.detector for scope, pack in enabled.items()}
        self._kinds = {scope: kind for scope, kind in self._kinds.items() if scope not in gone} | kinds
        guards = {scope: self._guard(pack.guard) for scope, pack in enabled.items()}
        kept = {scope: guard for scope, guard in self.guards.items() if scope not in gone}
        self.guards = dict(sorted((kept | guards).items()))
        self._unscreened = any(self.watchlist.rules.get(scope, "off") == "off" for scope in self.guards)
        self._ungated = tuple(guard for guard in self.guards.values() if not guard.gated)
        forgetting = [guard for guard in self.guards.values() if guard.plan == "forget"]
        self.methods: Mapping[str, ServingMethod] = {guard.method.name: guard.method for guard in forgetting}
        self._adapted = [guard for guard in forgetting if "adapters" in guard.method.needs]

    def _changed_detectors(self, added: Mapping[str, Pack], gone: Set[str]) -> Mapping[str, ScopedDetector]:
        """One detector for each kind that some pack has."""
        coming: dict[str, dict[str, Pack]] = {}
        for scope, pack in added.items():
            coming.setdefault(pack.detector, {})[scope] = pack
        leaving: dict[str, set[str]] = {}
        for scope in gone & self._kinds.keys():
            leaving.setdefault(self._kinds[scope], set()).add(scope)
        staying = {kind for scope, kind in self._kinds.items() if scope not in gone}
        found = {}
        for kind in dict.fromkeys([*self._learned, *coming]):
            models, scopes = _Models(coming.get(kind, {})), leaving.get(kind, set())
            if kind not in self._learned:
                found[kind] = DETECTORS[kind].build(self._encoder, models)
            elif kind in staying or models:
                changed = models or scopes
                found[kind] = self._learned[kind].updated(models, scopes) if changed else self._learned[kind]
        return found

    def _changed_languages(self, added: Mapping[str, Pack], gone: Set[str]) -> MultilingualClassifier | None:
        """The detector of other languages than English, which there is once some pack guards them."""
        heads = _Heads({scope: pack for scope, pack in added.items() if pack.language_encoder})
        if self._load_languages is None or not (self._languages or heads):
            return None
        encoder = self._load_languages()
        for scope in heads:
            if added[scope].language_encoder != encoder.fingerprint:
                raise PackError(
                    f"pack {scope!r} was trained with another encoder of other languages than English; set "
                    "language_encoder as it was, or train the scope again"
                )
        return (self._languages or MultilingualClassifier(encoder, {})).updated(heads, gone)

    def _guard(self, guard: Guard) -> Guard:
        acts = guard.plan == "forget" and guard.method.ungated
        return replace(guard, gated=False) if acts and not self._soft_prompts_gated else guard

    @property
    def always_acts(self) -> bool:
        """Whether a guard acts on every request."""
        return bool(self._ungated)

    def acting(self, screening: Screening) -> tuple[Guard, ...]:
        """The guards that may act on a request, not ready yet: those of its scopes, then those that are not gated."""
        called = dict.fromkeys(finding.scope for finding in screening.matched)
        always = (guard for guard in self._ungated if guard.scope not in called)
        return (*(self.guards[scope] for scope in called), *always)

    def leaking(self, request: Request, screening: Screening, scope: str) -> Screening:
        """The screening of a request whose answer gave a scope away: its names, wherever they stand in the request, and
        the whole of the last question are inside the scope."""
        named = []
        for index, message in enumerate(request.messages):
            found = [one for one in self.named([message.text])[0] if one.scope == scope]
            named += [
                replace(one, message=index, matched=True, ranges=tuple((index, a, b) for _, a, b in one.ranges))
                for one in found
            ]
        asked = (i for i, m in enumerate(request.messages) if m.role in ASKING and m.text.strip())
        last = max(asked, default=len(request.messages) - 1)
        leak = Finding(scope, "output", 1.0, 0.5, matched=True, message=last)
        others = tuple(one for one in screening.findings if one.scope != scope)
        return Screening((*others, *named, leak), screening.error)

    def ready(self, screening: Screening) -> Mapping[str, Guard]:
        """The same by scope, ready. Slow."""
        return {guard.scope: guard for one in self.acting(screening) if (guard := one.ready())}

    def loras(self, most: int) -> "Mapping[str, Lora]":
        """Unlearning LoRAs that a backend should have ready, by scope: as many as it keeps, `most`. The others are read
        when they are needed. Slow."""
        ready = (guard.ready() for guard in itertools.islice(self._adapted, most))
        found = ((one.scope, one.method.adapter(one.artifact)) for one in ready if one and not one.fault)
        return {scope: lora for scope, lora in found if lora is not None}

    @property
    def lora_digests(self) -> frozenset[str]:
        """Of all unlearning LoRAs in force, whether they were read or not."""
        return frozenset(guard.source.digest for guard in self._adapted if guard.source)

    def screen(self, requests: Sequence[Request]) -> list[Screening]:
        """What the gate says of each request, the texts of all in one batch. Slow: call it off the event loop."""
        texts = [screened_texts(request) for request in requests]
        read = [_Read(text, self._read(text)) for of_one in texts for text in of_one]
        found = iter(zip(read, self._found(read), strict=True))
        screenings = []
        for of_one in texts:
            parts = [next(found) for _ in of_one]
            findings = tuple(finding for _, of_text in parts for finding in of_text)
            screenings.append(Screening(findings, windows=sum(self._windows(one) for one, _ in parts)))
        return screenings

    def read_ahead(self, request: Request) -> Sequence[Part]:
        """The windows of a request's texts in parts of one batch each, for the detectors that share the encoder's
        memory of windows."""
        read = (unit for text in screened_texts(request) if self._judges(text) for unit in self._read(text))
        texts = [unit.text for unit in read if unit.kind in _LEARNED]
        return [*self._encoder.read_ahead(texts), *self._foreign_parts(texts)]

    def _foreign_parts(self, texts: Sequence[str]) -> Iterator[_Foreign]:
        if not self._languages:
            return
        windows = list(dict.fromkeys(window for text in texts for window, _ in self._languages.foreign_windows(text)))
        for start in range(0, len(windows), _FOREIGN_PART):
            yield _Foreign(windows[start : start + _FOREIGN_PART])

    def read_part(self, part: Part) -> None:
        """Reads one part. Slow, as a batch is: call it off the event loop."""
        if not isinstance(part, _Foreign):
            self._encoder.read_part(part)
        elif self._languages:
            self._languages.read(part.windows)

    def named(self, texts: Sequence[str]) -> list[tuple[Finding, ...]]:
        """What the detector of names alone says of each text."""
        return self.named_in([ScreenedText(text, 0, ((0, 0, len(text)),)) for text in texts])

    def named_in(self, texts: Sequence[ScreenedText]) -> list[tuple[Finding, ...]]:
        """The same of texts to screen, whose units are then there for `screen`."""
        return self._found([_Read(text, self._read(text)) for text in texts], learned=False)

    def _read(self, text: ScreenedText) -> Sequence[Unit]:
        """The units of a text. They are remembered: names are looked for before the verdict, a long text is read part
        by part, and the next turn of a conversation sends the turns before it again."""
        key = (text.text, text.parted)
        return self._units.of([key], lambda keys: [units(one, parted=parted) for one, parted in keys])[key]

    def _found(self, texts: "Sequence[_Read]", *, learned: bool = True) -> list[tuple[Finding, ...]]:
        """What the detectors say of each text, all units of it taken together."""
        by_text: list[list[tuple[Unit, Verdict]]] = [[] for _ in texts]
        every = [(number, unit) for number, read in enumerate(texts) for unit in read.units]
        judged_by_all = {number for number, read in enumerate(texts) if self._judges(read.text)}
        for detector, detects, kinds in (*self._naming, *(self._judging if learned else ())):
            names = detector in (self._names, self._foreign_names)
            asked = [(n, unit) for n, unit in every if unit.kind in kinds and (names or n in judged_by_all)]
            verdicts = detects([unit.text for _, unit in asked]) if asked else []
            for (number, unit), of_unit in zip(asked, verdicts, strict=True):
                judged = (_judged(detector, unit, verdict) for verdict in sorted(of_unit, key=_scope))
                by_text[number] += ((unit, verdict) for verdict in judged)
        found = zip(texts, by_text, strict=True)
        return [
            tuple(self._counted(read.text, _finding(read.text, one)) for one in confirmed(merged(verdicts)))
            for read, verdicts in found
        ]

    def _judges(self, text: ScreenedText) -> bool:
        """Whether what the learned detectors say of a text can count: the definitions of an agent's tools are long, and
        it sends them with every request."""
        return (text.calls or self._unscreened) and not text.names_alone

    def _counted(self, text: ScreenedText, finding: Finding) -> Finding:
        """A text that calls no plan matches only the scopes whose answers nobody screens."""
        watched = self.watchlist.rules.get(finding.scope, "off") != "off"
        return replace(finding, matched=False) if finding.matched and watched and not text.calls else finding

    def _named_by(self) -> Iterator[_Reading]:
        """The detectors of names, and what they read. In odd words a name must stand letter by letter."""
        recent = RecentNames(self._names)
        yield self._names, recent.detect, _WHOLE
        yield self._names, partial(recent.detect, misspelt=False), _ODD
        yield self._foreign_names, self._foreign_names.detect, _WHOLE

    def _judged_by(self) -> Iterator[_Reading]:
        """The others. O3's detector knows nothing but the forget rows, and short clauses are near to them by chance."""
        for detector in self._learned.values():
            yield detector, detector.detect, _LEARNED if isinstance(detector, ClauseDetector) else _WHOLE
        if self._languages:
            yield self._languages, self._languages.detect, _LEARNED

    def _windows(self, read: "_Read") -> int:
        """How many windows the learned detectors have of a text."""
        learned = self._learned and self._judges(read.text)
        asked = (unit for unit in read.units if unit.kind in _LEARNED) if learned else ()
        return sum(len(self._encoder.cuts(unit.text)) for unit in asked)


class _Read(NamedTuple):
    """A text to screen, and what the detectors read of it."""

    text: ScreenedText
    units: Sequence[Unit]


class _Models(Mapping[str, Any]):
    """What the detectors of packs learned, read one after the other: all at once would take twice the memory."""

    def __init__(self, packs: Mapping[str, Pack]) -> None:
        self._packs = packs

    def __getitem__(self, scope: str) -> Any:
        return self._packs[scope].model

    def __iter__(self) -> Iterator[str]:
        return iter(self._packs)

    def __len__(self) -> int:
        return len(self._packs)


class _Heads(_Models):
    """What reads other languages than English, in the same way."""

    def __getitem__(self, scope: str) -> Any:
        return self._packs[scope].languages


def _chars(found: Sequence[Unit]) -> int:
    """Characters and their places."""
    return sum(len(unit.text) for unit in found)


def _judged(detector: Detector, unit: Unit, verdict: Verdict) -> Verdict:
    """A clause must pass the stricter threshold of one among several. A NaN is a match."""
    if not (unit.kind == "clause" and verdict.matched and isinstance(detector, ClauseDetector)):
        return verdict
    threshold = detector.threshold_among(verdict.scope, unit.of)
    return replace(verdict, threshold=threshold, matched=not verdict.score <= threshold)


def _scope(verdict: Verdict) -> str:
    return verdict.scope


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
