"""From a scope file and a model to a pack: fit the gate, learn the corruption, measure on held-out rows, save."""

import datetime
import hashlib
import json
import platform
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor

from classifiers.encoder import Encoder
from classifiers.lexical import LexicalDetector
from classifiers.prompt import PromptClassifier
from classifiers.training import GateTraining, TrainedGate, fit_gate
from corruption.learn import Learned, Learning, learn_recipe
from corruption.objective import Outcome, Sample, corrupted, observe
from corruption.operators import Recipe, Table
from corruption.rollout import Rollout
from corruption.twins import twin
from gateway.core import Edit, Message, Request
from gateway.embedding import decoy_table
from gateway.models import LanguageModel, fingerprint
from gateway.packs import Artifacts, Manifest, save_pack
from gateway.plot import curve_png
from gateway.policy import message_seed
from gateway.prompt import render
from gateway.scopes import Row, Scope

__all__ = ["Progress", "Sources", "Training", "recipe_sha256", "train_pack"]

Progress = Callable[[str, int, int], None]
_TOOLS = ("torch", "transformers", "sentence-transformers", "nevergrad", "scikit-learn", "numpy")
_ANY_RECIPE = Recipe("decoy_name", 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Training:
    """One training run. `rows` bounds how many forget rows the corruption is learned on, in each of its two parts;
    `target_probability` is a constant to learn towards (chance level, say) in place of the twins' probability."""

    gate: GateTraining = field(default_factory=GateTraining)
    corruption: Learning = field(default_factory=Learning)
    rows: int = 12
    target_probability: float | None = None
    heldout_share: float = 0.2

    @property
    def seed(self) -> int:
        """The seed of every random choice in the run."""
        return self.corruption.seed


@dataclass(frozen=True, slots=True)
class Sources:
    """The models a run uses: the base model and its folder, the sentence encoder and its folder, and, best of all
    targets, a `reference` model that never saw the forget set."""

    base: LanguageModel
    base_name: str
    base_folder: Path
    encoder: Encoder
    encoder_folder: Path
    reference: LanguageModel | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    """A row with the ranges of its prompt that the gate points at; `named` tells names from telling words."""

    row: Row
    named: bool
    ranges: tuple[tuple[int, int], ...]


def train_pack(
    scope: Scope,
    sources: Sources,
    *,
    training: Training,
    recipe: str,
    out: Path,
    traffic: Sequence[str] | None = None,
    progress: Progress = lambda *_: None,
) -> Manifest:
    """Trains one scope and writes its pack under `out`, marked with `recipe` (see `recipe_sha256`).

    Raises TooFewRows; nothing is written then.
    """
    gate = fit_gate(
        forget=[row.prompt for row in scope.forget],
        retain=[row.prompt for row in scope.retain],
        aliases=scope.aliases,
        traffic=traffic,
        encoder=sources.encoder,
        training=training.gate,
        progress=lambda stage, done, total: progress(f"gate: {stage}", done, total),
    )
    lesson = _Lesson(scope, sources, gate, training, progress)
    learned = lesson.learn()
    artifacts = Artifacts(
        aliases=scope.aliases,
        policy=scope.policy,
        head=gate.head,
        named=learned.named.recipe,
        described=learned.described.recipe,
        both=learned.both,
        extra=_curves(learned),
    )
    return save_pack(out, artifacts, _manifest(scope, sources, gate, training, learned, recipe))


def recipe_sha256(
    scope: Scope, training: Training, traffic: Sequence[str] | None, model_folders: Sequence[Path]
) -> str:
    """A hash of all that a pack depends on: the same hash means that training again would change nothing."""
    content = {
        "scope": [scope.id, scope.description, scope.aliases, scope.policy.model_dump()],
        "rows": [[row.prompt, row.response] for row in (*scope.forget, *scope.retain)],
        "forget_rows": len(scope.forget),
        "training": asdict(training),
        "traffic": traffic,
        "models": [fingerprint(folder) for folder in model_folders],
    }
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Corruptions:
    named: Learned
    described: Learned
    both: bool
    heldout: dict[str, Any]


class _Lesson:
    """Learns the two recipes of one scope: for names, and for the telling words of questions without a name."""

    def __init__(
        self, scope: Scope, sources: Sources, gate: TrainedGate, training: Training, progress: Progress
    ) -> None:
        base = sources.base
        self._scope = scope
        self._base = base
        self._encoder = sources.encoder
        self._reference = sources.reference
        self._training = training
        self._progress = progress
        self._weight = base.weight.cpu()
        self._table: Table = decoy_table(base.tokenizer, self._weight)
        self._rollout = Rollout(base.model, base.tokenizer)
        self._names = LexicalDetector({scope.id: scope.aliases})
        self._words = PromptClassifier(sources.encoder, {scope.id: gate.head})
        self._blank = self._embedded("...")

    def learn(self) -> _Corruptions:
        held, seen = self._split()
        named = self._learn_part("names", [asked for asked in seen if asked.named])
        described = self._learn_part("telling words", [asked for asked in seen if not asked.named])
        named, described = named or described, described or named
        if named is None or described is None:
            raise RuntimeError("no forget row reached the corruption")  # load_scope guarantees rows
        both = named.best.outcome.leak_rate > named.target.leak_rate
        return _Corruptions(named, described, both, self._measure(held, named.recipe, described.recipe, both))

    def _split(self) -> tuple[list[_Asked], list[_Asked]]:
        rows = list(self._scope.forget)
        random.Random(self._training.seed).shuffle(rows)
        held = max(1, round(self._training.heldout_share * len(rows)))
        asked = [self._asked(row) for row in rows]
        return asked[:held], asked[held:]

    def _asked(self, row: Row) -> _Asked:
        names = self._names.detect([row.prompt])[0]
        if names:
            return _Asked(row, True, tuple((s.start_char, s.end_char) for s in names[0].spans))
        return _Asked(row, False, self._telling(row.prompt))

    def _telling(self, prompt: str) -> tuple[tuple[int, int], ...]:
        """The words that the classifier would blame, whether or not it catches this row; all of it if none."""
        spans = [span for verdict in self._words.detect([prompt])[0] for span in verdict.spans]
        return tuple((s.start_char, s.end_char) for s in spans) or ((0, len(prompt)),)

    def _learn_part(self, part: str, asked: Sequence[_Asked]) -> Learned | None:
        if not asked:
            return None
        samples = [self._sample(one) for one in self._telling_rows(part, asked)]
        budget = self._training.corruption.evaluations
        return learn_recipe(
            samples,
            rollout=self._rollout,
            table=self._table,
            relevance=self._relevance,
            blank=self._blank,
            learning=self._training.corruption,
            target=self._target(samples),
            progress=lambda done, best: self._progress(f"corruption of {part}: distance {best:.3f}", done, budget),
        )

    def _target(self, samples: Sequence[Sample]) -> Outcome | None:
        """What to learn towards: the reference model, else the given constant, else (None) the twins alone."""
        if reference := self._reference:
            weight = reference.weight.cpu()

            def embedded(text: str) -> Tensor:
                return weight[list(render(reference.tokenizer, _request(text)).ids)]

            outcome, _ = observe(
                samples,
                [embedded(sample.prompt) for sample in samples],
                rollout=Rollout(reference.model, reference.tokenizer),
                relevance=self._relevance,
                blank=embedded("..."),
                max_new_tokens=self._training.corruption.max_new_tokens,
            )
            return outcome
        if self._training.target_probability is None:
            return None
        twins = self._observe(samples, [sample.twin for sample in samples])
        return replace(twins, probability=self._training.target_probability)

    def _telling_rows(self, part: str, asked: Sequence[_Asked]) -> list[_Asked]:
        """First the rows whose fact the model really gives away: the others say nothing about forgetting."""
        self._progress(f"corruption of {part}: what the model knows", 0, 1)
        prompts = [self._embedded(one.row.prompt) for one in asked]
        nll = self._rollout.mean_nll(prompts, [one.row.response for one in asked])
        order = sorted(range(len(asked)), key=lambda index: nll[index])
        return [asked[index] for index in order[: self._training.rows]]

    def _measure(self, held: Sequence[_Asked], named: Recipe, described: Recipe, both: bool) -> dict[str, Any]:
        """Plain, corrupted and twin behaviour on rows that neither the gate's nor the corruption's choice saw."""
        self._progress("measure on held-out rows", 0, 1)
        samples = [self._sample(one) for one in held]
        recipes = [named if one.named else described for one in held]
        guarded = [corrupted(s, r, self._table) for s, r in zip(samples, recipes, strict=True)]
        return {
            "rows": len(held),
            "plain": asdict(self._observe(samples, [s.original for s in samples])),
            "corrupted": asdict(self._observe(samples, guarded)),
            "twin": asdict(self._observe(samples, [s.twin for s in samples])),
            "telling_words_beside_names": both,
        }

    def _observe(self, samples: Sequence[Sample], prompts: Sequence[Tensor]) -> Outcome:
        outcome, _ = observe(
            samples,
            prompts,
            rollout=self._rollout,
            relevance=self._relevance,
            blank=self._blank,
            max_new_tokens=self._training.corruption.max_new_tokens,
        )
        return outcome

    def _sample(self, asked: _Asked) -> Sample:
        seed = message_seed(self._scope.id, asked.row.prompt)
        edit = Edit(0, asked.ranges, _ANY_RECIPE, seed)
        prompt = render(self._base.tokenizer, _request(asked.row.prompt), locate=True)
        return Sample(
            prompt=asked.row.prompt,
            response=asked.row.response,
            original=self._weight[list(prompt.ids)],
            tokens=tuple(prompt.tokens_of(edit)),
            twin=self._embedded(twin(asked.row.prompt, asked.ranges, named=asked.named, seed=seed)),
            seed=seed,
        )

    def _embedded(self, text: str) -> Tensor:
        return self._weight[list(render(self._base.tokenizer, _request(text)).ids)]

    def _relevance(self, questions: Sequence[str], answers: Sequence[str]) -> Sequence[float]:
        pairs = zip(self._encoder.encode(questions), self._encoder.encode(answers), strict=True)
        return [float(q.mean(0) @ a.mean(0)) if len(q) and len(a) else 0.0 for q, a in pairs]


def _request(prompt: str) -> Request:
    return Request(id="training", endpoint="chat", model="", messages=(Message("user", prompt),))


def _curves(learned: _Corruptions) -> dict[str, bytes]:
    parts = {"named": learned.named, "described": learned.described}
    curves = {
        part: {
            "target": asdict(of_part.target),
            "trials": [asdict(trial) for trial in of_part.trials],
        }
        for part, of_part in parts.items()
    }
    distances = {part: [trial.distance for trial in of_part.trials] for part, of_part in parts.items()}
    return {"curve.json": json.dumps(curves, indent=1).encode(), "curve.png": curve_png(distances)}


def _manifest(
    scope: Scope, sources: Sources, gate: TrainedGate, training: Training, learned: _Corruptions, recipe: str
) -> dict[str, Any]:
    return {
        "scope": scope.id,
        "description": scope.description,
        "method": "corruption",
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "base_model": sources.base_name,
        "base_fingerprint": fingerprint(sources.base_folder),
        "encoder_fingerprint": fingerprint(sources.encoder_folder),
        "recipe_sha256": recipe,
        "calibration": {
            "method": "split conformal",
            "alpha": gate.calibration.alpha,
            "rows": gate.calibration.rows,
            "threshold": gate.calibration.threshold,
            "traffic_rows_left_out_as_in_scope": gate.excluded_traffic_rows,
        },
        "heldout": {"gate": asdict(gate.rates), "corruption": learned.heldout},
        "seed": training.seed,
        "tools": {"python": platform.python_version(), **{name: version(name) for name in _TOOLS}},
    }
