"""The three ways to forget a scope, each a function from a dataset and its targets to a learned artifact."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TypeVar

import torch
from pydantic import JsonValue

from adapters.lora.model import Lora
from adapters.lora.training import LoraTraining, TrainedLora, train_lora
from adapters.soft_prompt.training import SoftPromptTraining, TrainedSoftPrompt, train_soft_prompt
from corruption.objective import Outcome, Sample, corrupted
from corruption.operators import Corruption
from corruption.search import SearchConfig, SearchResult, search_corruption
from gateway.methods.base import LearnedArtifact
from gateway.packs.manifest import Forgetting
from gateway.training.curves import curve_png
from gateway.training.dataset import LocatedRow
from gateway.training.evaluator import Evaluator
from gateway.training.task import LearningTask

__all__ = ["learn_corruption", "learn_lora", "learn_soft_prompt"]

# A pack learns all that it is given to forget; its figures are of a trial that never saw the held-out rows.
_TRAIN, _ALL = "training rows", "all rows"
_SERVED = {True: "learned all rows, those held out too", False: "never saw the rows held out"}
_T = TypeVar("_T")


def learn_corruption(task: LearningTask, search: SearchConfig, *, rows: int) -> LearnedArtifact:
    """ECO: two corruptions, for names and for the salient words of questions without a name.

    The second is searched twice, on training rows alone: with the words that a head chose which never saw the held-out
    rows, to be measured on those, and with the words that the head of the pack chooses, to be served. `rows` bounds how
    many training rows each search uses.
    """
    dataset, evaluator = task.dataset, task.evaluator

    searched = partial(_searched, task=task, search=search, rows=rows)
    unnamed, unnamed_as_served = (
        [row for row in of if not row.named] for of in (dataset.train, dataset.train_as_served)
    )
    named = searched("names", [row for row in dataset.train if row.named])  # aliases find them, whatever the head
    tried = searched("salient words", unnamed)
    served = tried if unnamed == unnamed_as_served else searched("salient words, as served", unnamed_as_served)
    trial, corruption = _corruption(named, tried), _corruption(named, served)
    config_of = {row.row.prompt: trial.named if row.named else trial.described for row in dataset.held_out}

    def guarded(samples: Sequence[Sample]) -> Outcome:
        return evaluator.observe(samples, [corrupted(s, config_of[s.prompt], evaluator.table) for s in samples])

    task.progress("measure on held-out rows", 0, 1)
    figures = evaluator.figures(dataset.held_out, guarded, salient_words_beside_names=corruption.both)
    parts = {"names": named, "salient words": served, "salient words, tried": tried}
    return LearnedArtifact(corruption, figures, _trials({name: part for name, part in parts.items() if part}))


def _searched(
    title: str,
    candidates: Sequence[LocatedRow],
    *,
    task: LearningTask,
    search: SearchConfig,
    rows: int,
) -> SearchResult | None:
    """The corruption for one kind of row; None without such rows."""
    if not candidates:
        return None
    evaluator = task.evaluator
    task.progress(f"corruption of {title}: what the model knows", 0, 1)
    chosen = _best_known(evaluator, candidates)[:rows]
    samples = evaluator.samples(chosen)
    return search_corruption(
        samples,
        ask=partial(evaluator.observe, samples),
        table=evaluator.table,
        search=search,
        target=task.targets.outcome(chosen),
        progress=lambda done, best: task.progress(
            f"corruption of {title}: distance {best:.3f}", done, search.evaluations
        ),
    )


def _corruption(named: SearchResult | None, described: SearchResult | None) -> Corruption:
    """Of the two parts, one of which may stand for the other; beside names the salient words are corrupted too where
    the names alone give too much away."""
    named, described = named or described, described or named
    if named is None or described is None:
        raise RuntimeError("no forget row reached the corruption")  # load_scope guarantees rows
    return Corruption(named.config, described.config, named.falls_short)


def learn_soft_prompt(task: LearningTask, training: SoftPromptTraining) -> LearnedArtifact:
    """SPUL: virtual tokens that stand in front of the prompt."""
    dataset, targets, evaluator = task.dataset, task.targets, task.evaluator

    def trained(rows: Sequence[LocatedRow], label: str) -> TrainedSoftPrompt:
        return train_soft_prompt(
            task.model,
            forget=targets.forget_examples(rows, task.progress),
            retain=targets.retain_examples(dataset.retain),
            training=training,
            likelihoods=targets.likelihoods(rows),
            progress=lambda done, steps, loss: task.progress(f"soft prompt, {label}: loss {loss:.3f}", done, steps),
        )

    def guarded(by: TrainedSoftPrompt, samples: Sequence[Sample]) -> Outcome:
        virtual = by.tokens.embeddings
        return evaluator.observe(samples, [torch.cat([virtual.to(s.original), s.original]) for s in samples])

    trial = trained(dataset.train, _TRAIN)
    task.progress("measure on held-out rows", 0, 1)
    figures = evaluator.figures(dataset.held_out, partial(guarded, trial), virtual_tokens=len(trial.tokens.embeddings))
    final = trained(dataset.every, _ALL)
    better = _forgets_better(final, figures, guarded, evaluator.samples(dataset.held_out))
    served = final if better else trial
    return LearnedArtifact(served.tokens, _with(figures, served=_SERVED[better]), _losses(served.losses))


def learn_lora(task: LearningTask, training: LoraTraining, earlier: Mapping[str, Lora]) -> LearnedArtifact:
    """O3: an adapter, orthogonal to those of `earlier` requests (by scope)."""
    dataset, targets, evaluator = task.dataset, task.targets, task.evaluator

    def trained(rows: Sequence[LocatedRow], label: str) -> TrainedLora:
        return train_lora(
            task.model,
            forget=targets.forget_examples(rows, task.progress),
            earlier=list(earlier.values()),
            training=training,
            likelihoods=targets.likelihoods(rows),
            progress=lambda done, steps, loss: task.progress(f"unlearning LoRA, {label}: loss {loss:.3f}", done, steps),
        )

    def guarded(by: TrainedLora, samples: Sequence[Sample]) -> Outcome:
        return evaluator.observe(samples, [sample.original for sample in samples], loras=[(by.lora, 1.0)])

    trial = trained(dataset.train, _TRAIN)
    task.progress("measure on held-out rows", 0, 1)
    figures = evaluator.figures(dataset.held_out, partial(guarded, trial), orthogonal_to=sorted(earlier))
    final = trained(dataset.every, _ALL)
    better = _forgets_better(final, figures, guarded, evaluator.samples(dataset.held_out))
    served = final if better else trial
    figures = _with(figures, served=_SERVED[better], overlap=served.overlap)
    return LearnedArtifact(served.lora, figures, _losses(served.losses))


def _forgets_better(
    final: _T, trial: Forgetting, guarded: Callable[[_T, Sequence[Sample]], Outcome], samples: Sequence[Sample]
) -> bool:
    """Whether what learned every row forgets the held-out ones no worse than the trial, which never saw them: else its
    training went wrong, and the trial is served. The figures are the trial's in both cases."""
    first, after = trial.guarded, guarded(final, samples)
    return after.leak_rate <= first.leak_rate and after.probability <= first.probability


def _with(figures: Forgetting, **extras: JsonValue) -> Forgetting:
    return figures.model_copy(update={"extras": {**figures.extras, **extras}})


def _best_known(evaluator: Evaluator, rows: Sequence[LocatedRow]) -> list[LocatedRow]:
    """First the rows whose fact the model really gives away: the others say nothing about forgetting."""
    surprise = evaluator.surprise(rows)
    order = sorted(range(len(rows)), key=lambda index: surprise[index])
    return [rows[index] for index in order]


def _trials(parts: Mapping[str, SearchResult]) -> dict[str, bytes]:
    curves = {
        name: {"target": asdict(part.target), "trials": [asdict(trial) for trial in part.trials]}
        for name, part in parts.items()
    }
    distances = {name: [trial.distance for trial in part.trials] for name, part in parts.items()}
    picture = curve_png(distances, step="evaluation", value="distance to a model that never knew")
    return {"curve.json": json.dumps(curves, indent=1).encode(), "curve.png": picture}


def _losses(losses: Sequence[float]) -> dict[str, bytes]:
    curves = {"loss": list(losses)}
    return {
        "curve.json": json.dumps(curves).encode(),
        "curve.png": curve_png(curves, step="optimizer step", value="loss"),
    }
