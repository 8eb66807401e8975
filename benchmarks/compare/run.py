"""One comparison from beginning to end: teaches the models, trains and asks the arms, writes the results.

A second run into the same folder continues the first one.
"""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adapters.optimizers.schedule import Diverged
from benchmarks.compare.arms import KINDS, Baseline, Guardrail, Weights
from benchmarks.compare.core import Suite
from benchmarks.compare.guardrails import gate_of, trained_packs
from benchmarks.compare.harness import ServedArm, Tasks, harness_scores
from benchmarks.compare.metrics.summary import summarise
from benchmarks.compare.models import check_memory, taught, teaching_seconds
from benchmarks.compare.replies import Asker
from benchmarks.compare.report import write_report
from benchmarks.compare.results import ORIGINAL, RETRAINED, ArmRecord, ResultsJson
from benchmarks.compare.store import Store
from benchmarks.compare.tuning import check_settings, chosen, unlearnt
from benchmarks.items import Item
from benchmarks.record import environment
from benchmarks.templated import templated
from gateway.errors import SetupError, reason_of
from gateway.models.encoders import find_encoder
from gateway.models.folders import fingerprint
from gateway.models.language_model import load_language_model
from gateway.training.dataset import Progress

__all__ = ["AnyArm", "ComparisonConfig", "compare"]

AnyArm = Baseline | Guardrail | Weights
_TIMED = 16  # answers that tell the seconds of one


@dataclass(frozen=True, slots=True)
class ComparisonConfig:
    """What is compared, and how much is spent on it.

    `samples` is the number of answers at temperature 1 to each forgotten question, `trials` the number of settings
    tried for each weight arm. lm-evaluation-harness asks every arm the `tasks`, too.
    `chat_template` is the text of one in place of the model's own.
    """

    suite: Suite
    model: str
    arms: Sequence[AnyArm]
    samples: int = 8
    trials: int = 3
    seed: int = 0
    tasks: Tasks | None = None
    chat_template: str | None = None


@dataclass(frozen=True, slots=True)
class _Ready:
    """An arm that can be asked, and what its training cost. `served` is how the gateway serves it; None where the
    gateway has no such arm."""

    asker: Asker
    served: ServedArm | None
    costs: ArmRecord


def compare(config: ComparisonConfig, out: Path, *, progress: Progress = lambda *_: None) -> ResultsJson:
    """Runs every arm that is not finished, and writes results.json, report.md and report.html into `out`.

    Raises SetupError before anything is spent on it. An arm that fails is recorded with its reason, and the others go
    on; one that diverged is finished, another failure is tried again by the next run.
    """
    base = templated(config.model, config.chat_template, out / "models")
    if any(isinstance(arm, Weights) and arm.target == "full" for arm in config.arms) or config.suite.taught:
        check_memory(base)
    for arm in config.arms:
        if isinstance(arm, Weights):
            check_settings(arm)
    store = Store(out, _identity(config, base))
    with store.alone():
        _check_unchanged(config, store)
        run = _Run(config, base, store, progress)
        failed: dict[str, str | None] = {}
        for number, arm in enumerate(config.arms, 1):
            kept = store.record(arm.name) is not None
            progress(f"arm {number} of {len(config.arms)}, {arm.name}" + (": kept from an earlier run" * kept), 0, 1)
            if not kept:
                failed[arm.name] = run.arm(arm)
        results = run.results({name: error for name, error in failed.items() if error})
        (out / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
        write_report(results, out)
    return results


def _settings(arm: AnyArm) -> dict[str, Any]:
    return arm.model_dump(exclude={"name"})


def _check_unchanged(config: ComparisonConfig, store: Store) -> None:
    for arm in config.arms:
        record = store.record(arm.name)
        if record and record["arm"] != _settings(arm):
            raise SetupError(
                f"the arm {arm.name} was run with other settings than its file holds now; give the file another name, "
                f"or delete {store.folder / 'arms' / arm.name} to run it again"
            )


def _identity(config: ComparisonConfig, base: Path) -> dict[str, Any]:
    items = _sha256("\n".join(f"{item.id} {item.prompt}" for item in config.suite.items))
    return {
        "suite": config.suite.name,
        "model": config.model,
        "model_fingerprint": fingerprint(base),
        "items_sha256": items,
        "samples": config.samples,
        "trials": config.trials,
        "seed": config.seed,
        **({"tasks": config.tasks.identity()} if config.tasks else {}),
        **({"chat_template_sha256": _sha256(config.chat_template)} if config.chat_template else {}),
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class _Run:
    """The arms of one comparison share two taught models, a target to learn towards, and packs of one method."""

    def __init__(self, config: ComparisonConfig, base: Path, store: Store, progress: Progress) -> None:
        self._config = config
        self._base = base
        self._store = store
        self._progress = progress
        self._known_target: float | None = None

    def arm(self, arm: AnyArm) -> str | None:
        """Trains, asks and records one arm; returns why it failed, None if it did not."""
        started = time.perf_counter()
        settings = ArmRecord(kind=arm.kind, arm=_settings(arm))
        record: ArmRecord
        try:
            ready = self._ready(arm)
            replies = self._asked(arm.name, ready.asker)
            record = {**settings, "status": "done", "error": None, **ready.costs, **self._harness(arm.name, ready)}
        except Diverged as error:
            replies = []
            record = {**settings, "status": "failed", "error": f"diverged: {error}", "losses": list(error.losses)}
        except Exception as error:  # whatever ends one arm must not end the others
            return f"{type(error).__name__}: {error}"
        else:
            record["seconds_per_answer"] = self._speed(ready.asker)
        record["total_seconds"] = round(time.perf_counter() - started, 1)
        self._store.keep(arm.name, record, replies)
        return None

    def _harness(self, name: str, ready: _Ready) -> ArmRecord:
        tasks = self._config.tasks
        if tasks is None or ready.served is None:
            return {}
        self._progress(f"{name}: {', '.join(tasks.names)}", 0, 1)
        log = self._store.path("arms", name) / "lm-eval.log"
        try:
            return {"harness": harness_scores(ready.served, tasks, log, seed=self._config.seed)}
        except (RuntimeError, OSError) as error:  # what the arm was asked so far is worth keeping
            why = reason_of(error, with_file=True)
            return {"harness_error": f"{why}; delete {log.parent} and run again to repeat the arm"}

    def results(self, failed: Mapping[str, str]) -> ResultsJson:
        """results.json: all arms of this run and of earlier runs into this folder. The summaries are computed anew
        from the replies."""
        suite = self._config.suite
        original, retrained = (self._store.replies(name) or None for name in (ORIGINAL, RETRAINED))
        encoder = find_encoder("minilm").load()
        asked = {arm.name: arm.kind for arm in self._config.arms}
        arms: dict[str, ArmRecord] = {}
        for name in dict.fromkeys((*asked, *self._store.finished())):
            record = self._store.record(name)
            if record is None:
                arms[name] = {"kind": asked[name], "status": "failed", "error": failed.get(name)}
                continue
            summary = None
            if record["status"] == "done":
                self._progress(f"{name}: summary", 0, 1)
                replies = self._store.replies(name)
                if len(replies) != len(suite.items):
                    raise self._store.damaged(name, f"{len(replies)} replies to {len(suite.items)} items")
                summary = summarise(
                    suite,
                    replies,
                    retrained,
                    original=original,
                    embed=lambda texts: [_pooled(rows) for rows in encoder.encode([text or "." for text in texts])],
                    seed=self._config.seed,
                    gated=record["kind"] == "guardrail" and record["arm"]["gated"],
                )
            arms[name] = {**record, "summary": summary}
        return {
            "suite": suite.name,
            "model": self._config.model,
            "environment": environment(),
            "seed": self._config.seed,
            "samples": self._config.samples,
            "tasks": self._config.tasks.identity() if self._config.tasks else None,
            "notes": list(suite.notes),
            "items": _counts(suite.items),
            "arms": dict(sorted(arms.items(), key=lambda pair: (KINDS.index(pair[1]["kind"]), pair[0]))),
        }

    def _ready(self, arm: AnyArm) -> _Ready:
        match arm:
            case Baseline():
                return self._baseline(arm)
            case Guardrail():
                return self._guardrail(arm)
            case Weights():
                return self._weights(arm)

    def _baseline(self, arm: Baseline) -> _Ready:
        folder = self._model(arm.taught)
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        costs = ArmRecord(training_seconds=teaching_seconds(folder), artifact_bytes=size)
        base = load_language_model(folder)
        return _Ready(Asker(base), ServedArm(base, folder), costs)

    def _guardrail(self, arm: Guardrail) -> _Ready:
        model = self._model("all")
        packs = trained_packs(
            self._config.suite,
            arm.method,
            model,
            self._store.path("packs", arm.method),
            seed=self._config.seed,
            reference=self._base if self._config.suite.taught else None,  # as it was before it was taught
            progress=self._progress,
        )
        acts = arm.plan == "forget"
        costs = ArmRecord(
            training_seconds=round(packs.seconds if acts else packs.gate_seconds, 1),
            artifact_bytes=packs.bytes if acts else packs.gate_bytes,
        )
        gate = gate_of(arm, packs, self._config.suite)
        base, screens_answers = load_language_model(model), arm.screens == "answer"
        served = None if screens_answers else ServedArm(base, model, gate, packs.folder)
        return _Ready(Asker(base, gate, screens_answers=screens_answers), served, costs)

    def _weights(self, arm: Weights) -> _Ready:
        config, model = self._config, self._model("all")
        target, began = self._target(), time.perf_counter()
        best = chosen(
            arm,
            config.suite,
            model,
            target=target,
            trials=config.trials,
            seed=config.seed,
            progress=self._progress,
        )
        tuning = time.perf_counter() - began
        base = load_language_model(model)
        started = time.perf_counter()
        trained = unlearnt(
            arm,
            best.settings,
            base,
            config.suite.forget_requests,
            config.suite.kept,
            seed=config.seed,
            progress=self._progress,
            label=f"{arm.name}: training",
        )
        costs = ArmRecord(
            tuning_seconds=round(tuning, 1) if best.trials else 0.0,
            training_seconds=round(time.perf_counter() - started, 1),
            artifact_bytes=sum(p.numel() * p.element_size() for p in base.model.parameters()),
            settings=best.settings,
            trials=[asdict(trial) for trial in best.trials],
            budget_trials=config.trials,
            losses=list(trained.losses),
        )
        return _Ready(Asker(base), ServedArm(base, model), costs)

    def _model(self, which: str) -> Path:
        suite = self._config.suite
        rows = suite.taught if which == "all" else suite.kept
        return taught(
            self._base,
            rows,
            self._store.path("models") / which,
            epochs=suite.epochs,
            lr=suite.lr,
            seed=self._config.seed,
            progress=self._progress,
        )

    def _target(self) -> float:
        """The original's probability of true answers it was never taught; 0 where the suite has none of those."""
        if self._known_target is None:
            rows = self._config.suite.calibration
            found = Asker(load_language_model(self._model("all"))).probabilities(rows) if rows else [0.0]
            self._known_target = sum(found) / len(found)
        return self._known_target

    def _asked(self, name: str, asker: Asker) -> list[Any]:
        return asker.replies(
            self._config.suite.items,
            max_new_tokens=self._config.suite.max_new_tokens,
            samples=self._config.samples,
            seed=self._config.seed,
            progress=lambda stage, done, total: self._progress(f"{name}: {stage}", done, total),
        )

    def _speed(self, asker: Asker) -> float:
        """Seconds of an answer to a forgotten question, one at a time; the first ones warm up."""
        items = [item for item in self._config.suite.items if item.scope is not None][:_TIMED]
        asker.answers(items[:2], max_new_tokens=_TIMED)
        started = time.perf_counter()
        for item in items:
            asker.answers([item], max_new_tokens=_TIMED)
        return round((time.perf_counter() - started) / max(1, len(items)), 4)


def _pooled(windows: Any) -> Any:
    return windows.mean(0)


def _counts(items: Sequence[Item]) -> dict[str, int]:
    found: dict[str, int] = {}
    for item in items:
        found[item.slice] = found.get(item.slice, 0) + 1
    return found
