"""One attack from beginning to end: reads the questions, dresses them, asks the gate and the sides, writes the results.

A second run into the same folder asks only what was not asked yet.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.attacking.answers import Answers, Decoding, Said
from benchmarks.attacking.evolution import evolved
from benchmarks.attacking.questions import SLICES, counterfactual, read_questions
from benchmarks.attacking.report import write_report
from benchmarks.attacking.sampling import sampled_leaks
from benchmarks.attacking.screening import WhiteBox, gate_of
from benchmarks.attacking.sides import AT_ONCE, HttpSide, ModelSide, Side, asked, gateway_identity, guarded
from benchmarks.attacking.suffix import SuffixSearch, suffix_rates
from benchmarks.attacking.survey import Attack, attacks_of, few, gate_rates, harmless_of, leak_rates, summary
from benchmarks.attacking.turn_after import asked_again
from benchmarks.attacks.registry import FAMILIES, families_of
from benchmarks.flags import flagged
from benchmarks.items import Item, request_of
from benchmarks.record import environment
from benchmarks.templated import templated
from gateway.core import Message
from gateway.errors import SetupError
from gateway.files.rows import read_texts_or_rows
from gateway.models.encoders import EncoderRuntime
from gateway.models.folders import fingerprint
from gateway.packs.folders import read_manifest
from gateway.server.auth import ADMIN_HEADER
from gateway.training.dataset import Progress

__all__ = ["AttackConfig", "attack"]

_Ask = Callable[[Sequence[Item], Sequence[Decoding]], list[Said]]
_UNTOLD = ("admin_key", "chat_template")
_RETRAINED, _COUNTERFACTUAL = "retrained", "counterfactual"


@dataclass(frozen=True, slots=True)
class AttackConfig:
    """What is attacked, and how much is spent on it.

    `rows` questions a slice go to the gate in every dress, `answers` of them to the sides; 0 answers: the gate alone,
    and nobody who adapts to answers.
    `adaptive` questions go to the attackers that adapt: `samples` sampled answers each, `budget` tries of evolution
    each. `suffix_words`: of the search for a universal suffix. 0 leaves each of them out.

    A gateway is started for `packs` and `model`, before the `upstream` if there is one; or the one at `url` is asked.
    `retrained` is a model that never saw what must be forgotten, or the URL of a vLLM that serves it.
    `chat_template` is the text of one in place of the models' own.
    """

    packs: Path
    model: str
    scopes: tuple[Path, ...]
    questions: tuple[Path, ...] = ()
    families: tuple[str, ...] = tuple(FAMILIES)
    rows: int = 16
    answers: int = 4
    adaptive: int = 12
    samples: int = 16
    budget: int = 10
    suffix_words: int = 400
    max_tokens: int = 32
    seed: int = 0
    retrained: str | None = None
    upstream: str | None = None
    url: str | None = None
    admin_key: str | None = None
    benign: Path | None = None
    encoder: str = "minilm"
    encoder_runtime: EncoderRuntime = "openvino"
    chat_template: str | None = None


def attack(config: AttackConfig, out: Path, *, progress: Progress = lambda *_: None) -> dict[str, Any]:
    """Runs the attack, and writes results.json, report.md and report.html into `out`. Raises SetupError for what cannot
    be run, before anything is spent on it."""
    items = read_questions(config.scopes, config.questions, rows=config.rows, seed=config.seed)
    benign = _benign(config.benign) if config.benign else ()
    families_of(",".join(config.families))
    if config.answers:
        templated(config.model, config.chat_template, out / "models")
    box = gate_of(config.packs, config.encoder, config.encoder_runtime)
    results = {
        "environment": environment(),
        "seed": config.seed,
        "config": {name: _plain(value) for name, value in asdict(config).items() if name not in _UNTOLD},
        **({"chat_template_sha256": _sha256(config.chat_template)} if config.chat_template else {}),
        "packs": [_pack(path.parent) for path in sorted(config.packs.glob("*/manifest.json"))],
        "questions": {part: sum(item.slice == part for item in items) for part in SLICES},
        **_Run(config, box, out, progress).results(items, benign),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    write_report(results, out)
    return results


class _Run:
    """The parts of one attack share the gate, the answers that are kept, and the progress."""

    def __init__(self, config: AttackConfig, box: WhiteBox, out: Path, progress: Progress) -> None:
        self._config = config
        self._box = box
        self._out = out
        self._progress = progress
        self._greedy = Decoding(config.max_tokens)

    def results(self, items: Sequence[Item], benign: Sequence[Item]) -> dict[str, Any]:
        config, families = self._config, self._config.families
        attacks = attacks_of(items, families, config.seed)
        harmless = harmless_of(families, benign, config.seed)
        gate = gate_rates(attacks, self._flags(attacks))
        falsely = gate_rates(harmless, [not alarm for alarm in self._flags(harmless)])
        found: dict[str, Any] = {"floor": self._floor, "leaks_measured": bool(config.answers)}
        leaks: dict[str, Any] = {}
        if config.answers:
            with _answering(config, self._out, self._progress) as sides:
                chosen = few(attacks, config.answers, config.seed)
                greedy = {name: partial(_greedily, ask, self._greedy) for name, ask in sides.items()}
                leaks = leak_rates(chosen, greedy, floor=self._floor, seed=config.seed)
                found |= self._adaptive(items, sides)
        nameless = [item for item in items if item.slice in ("unnamed", "described")]
        if config.suffix_words and self._box.heads and len(nameless) > 1:  # one to search with, one to judge by
            search = SuffixSearch(config.suffix_words)
            found["suffix"] = suffix_rates(nameless, self._box, search, seed=config.seed, progress=self._progress)
        benign_flagged = {name: parts["all"] for name, parts in falsely.items()}
        return {**found, "families": summary(gate, benign_flagged, leaks)}

    def _flags(self, attacks: Sequence[Attack]) -> list[bool]:
        return flagged(self._box.gate, [request_of(one.item) for one in attacks], self._progress)

    def _adaptive(self, items: Sequence[Item], sides: Mapping[str, _Ask]) -> dict[str, Any]:
        """The attackers that adapt, each over the same few questions."""
        config = self._config
        undressed = attacks_of(items, (), config.seed)
        parts = len({item.slice for item in items})
        undressed = few(undressed, -(-config.adaptive // parts), config.seed)[: config.adaptive]
        chosen = [one.question for one in undressed]
        found: dict[str, Any] = {}
        if self._floor == _COUNTERFACTUAL:
            sides = {**sides, _COUNTERFACTUAL: partial(_of_nobody, sides["plain"], config.seed)}
        if chosen:
            found["turn_after"] = asked_again(chosen, partial(_greedily, sides["gateway"], self._greedy))
        if config.samples and chosen:
            decoding = Decoding(config.max_tokens, 1.0, config.seed * 1000)
            known = undressed if config.retrained else [one for one in undressed if counterfactual(one.question, 0)]
            found["sampling"] = sampled_leaks(known, sides, decoding, samples=config.samples, floor=self._floor)
        if config.budget and chosen:
            found["evolution"] = {
                name: evolved(
                    chosen,
                    partial(_greedily, ask, self._greedy),
                    budget=config.budget,
                    seed=config.seed,
                    families=config.families,
                )
                for name, ask in sides.items()
                if name in ("gateway", "plain", _RETRAINED)
            }
        return found

    @property
    def _floor(self) -> str:
        return _RETRAINED if self._config.retrained else _COUNTERFACTUAL


@contextmanager
def _answering(config: AttackConfig, out: Path, progress: Progress) -> Iterator[dict[str, _Ask]]:
    """Starts a gateway, if none is given, and gives for each side a function that asks it."""

    def asking(side: Side, identity: str) -> _Ask:
        kept = Answers(out, side.name, identity)
        return lambda items, decodings: asked(side, kept, items, decodings, progress)

    models, template = out / "models", config.chat_template
    folder = templated(config.model, template, models)
    plain: Side = HttpSide("plain", config.upstream, at_once=AT_ONCE) if config.upstream else ModelSide("plain", folder)
    sides: dict[str, _Ask] = {}
    if config.retrained and "://" in config.retrained:
        sides[_RETRAINED] = asking(HttpSide(_RETRAINED, config.retrained, at_once=AT_ONCE), config.retrained)
    elif config.retrained:
        other = templated(config.retrained, template, models)
        sides[_RETRAINED] = asking(ModelSide(_RETRAINED, other), _identity(other, template))
    sides["plain"] = asking(plain, f"{_identity(folder, template)} {config.upstream or 'embedded'}")
    if config.url:
        headers = {ADMIN_HEADER: config.admin_key} if config.admin_key else {}
        yield {"gateway": asking(HttpSide("gateway", config.url, headers=headers), config.url), **sides}
        return
    with guarded(config.packs, str(folder), config.upstream) as gateway:
        identity = gateway_identity(config.packs, _identity(folder, template), config.upstream)
        yield {"gateway": asking(gateway, identity), **sides}


def _identity(folder: Path, template: str | None) -> str:
    """All that decides on the answers of a model."""
    return f"{fingerprint(folder)} {_sha256(template)}" if template else fingerprint(folder)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _greedily(ask: _Ask, decoding: Decoding, items: Sequence[Item]) -> list[Said]:
    return ask(items, [decoding] * len(items))


def _of_nobody(ask: _Ask, seed: int, items: Sequence[Item], decodings: Sequence[Decoding]) -> list[Said]:
    """The answers to the same questions about invented names, of those that have names."""
    return ask([counterfactual(item, seed) or item for item in items], decodings)


def _benign(path: Path) -> tuple[Item, ...]:
    """Harmless questions of one's own: JSON lines with a prompt, or a text file with one a line."""
    found = []
    for row in read_texts_or_rows(path):
        text = row.value if isinstance(row.value, str) else (row.value or {}).get("prompt")
        if row.fault or not isinstance(text, str) or not text.strip():
            raise SetupError(f"{path} line {row.line}: a harmless question is a text, or JSON with a prompt")
        found.append(Item(f"benign/{row.line:05}", "benign", (Message("user", text.strip()),), "-"))
    return tuple(found)


def _pack(folder: Path) -> dict[str, str]:
    manifest = read_manifest(folder)
    return {"scope": manifest.scope, "version": manifest.version, "method": manifest.method}


def _plain(value: Any) -> Any:
    """As JSON has it; of a folder, the name alone."""
    if isinstance(value, Path):
        return value.name
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return Path(value).name if isinstance(value, str) and "/" in value and "://" not in value else value
