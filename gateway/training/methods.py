"""The three ways to forget a scope, each a function from a lesson to what it learned."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

import torch

from adapters.lora.model import Lora
from adapters.lora.training import LoraTraining, TrainedLora, train_lora
from adapters.soft_prompt.training import SoftPromptTraining, TrainedSoftPrompt, train_soft_prompt
from corruption.objective import Outcome, Sample, corrupted
from corruption.operators import Corruption
from corruption.search import Learned, Learning, learn_recipe
from gateway.methods.base import LearnedArtifact
from gateway.training.curves import curve_png
from gateway.training.dataset import Asked, Lesson

__all__ = ["learn_corruption", "learn_lora", "learn_soft_prompt"]

# What is given to be forgotten is learned in full: the rates are of a first try that never saw the held-out rows.
_SEEN, _ALL = "seen rows", "all rows"
_T = TypeVar("_T")


def learn_corruption(lesson: Lesson, learning: Learning, *, rows: int) -> LearnedArtifact:
    """ECO: two recipes, for names and for the telling words of questions without a name. `rows` bounds how many forget
    rows each is learned on."""

    def part(title: str, asked: Sequence[Asked]) -> Learned | None:
        if not asked:
            return None
        known = _best_known(lesson, title, asked, rows)
        return learn_recipe(
            [lesson.sample(one) for one in known],
            rollout=lesson.rollout,
            table=lesson.table,
            relevance=lesson.relevance,
            blank=lesson.blank,
            learning=learning,
            target=lesson.target(known),
            progress=lambda done, best: lesson.progress(
                f"corruption of {title}: distance {best:.3f}", done, learning.evaluations
            ),
        )

    named = part("names", [asked for asked in lesson.seen if asked.named])
    described = part("telling words", [asked for asked in lesson.seen if not asked.named])
    named, described = named or described, described or named
    if named is None or described is None:
        raise RuntimeError("no forget row reached the corruption")  # load_scope guarantees rows
    both = named.falls_short  # the rest of the question tells: corrupt that too
    corruption = Corruption(named.recipe, described.recipe, both)
    recipe_of = {asked.row.prompt: named.recipe if asked.named else described.recipe for asked in lesson.held}

    def guarded(samples: Sequence[Sample]) -> Outcome:
        return lesson.observe(samples, [corrupted(s, recipe_of[s.prompt], lesson.table) for s in samples])

    heldout = lesson.measured(guarded, telling_words_beside_names=both)
    return LearnedArtifact(corruption, heldout, _trials({"named": named, "described": described}))


def learn_soft_prompt(lesson: Lesson, training: SoftPromptTraining) -> LearnedArtifact:
    """SPUL: virtual tokens that stand in front of the prompt."""

    def trained(of: Lesson, rows: str) -> TrainedSoftPrompt:
        return train_soft_prompt(
            lesson.sources.base.model,
            forget=of.forget_examples(),
            retain=of.retain_examples(),
            training=training,
            truths=of.truths(),
            progress=lambda done, steps, loss: lesson.progress(f"soft prompt, {rows}: loss {loss:.3f}", done, steps),
        )

    def guarded(by: TrainedSoftPrompt, samples: Sequence[Sample]) -> Outcome:
        virtual = by.tokens.embeddings
        return lesson.observe(samples, [torch.cat([virtual.to(s.original), s.original]) for s in samples])

    tried = trained(lesson, _SEEN)
    heldout = lesson.measured(partial(guarded, tried), virtual_tokens=len(tried.tokens.embeddings))
    final = trained(lesson.whole(), _ALL)
    served = _served(lesson, heldout, tried, final, guarded)
    return LearnedArtifact(served.tokens, heldout, _losses(served.losses))


def learn_lora(lesson: Lesson, training: LoraTraining, earlier: Mapping[str, Lora]) -> LearnedArtifact:
    """O3: an adapter, orthogonal to those of `earlier` requests (by scope)."""

    def trained(of: Lesson, rows: str) -> TrainedLora:
        return train_lora(
            lesson.sources.base.model,
            forget=of.forget_examples(),
            earlier=list(earlier.values()),
            training=training,
            truths=of.truths(),
            progress=lambda done, steps, loss: lesson.progress(
                f"unlearning LoRA, {rows}: loss {loss:.3f}", done, steps
            ),
        )

    tried = trained(lesson, _SEEN)

    def guarded(by: TrainedLora, samples: Sequence[Sample]) -> Outcome:
        return lesson.observe(samples, [sample.original for sample in samples], loras=[(by.lora, 1.0)])

    heldout = lesson.measured(partial(guarded, tried))
    final = trained(lesson.whole(), _ALL)
    served = _served(lesson, heldout, tried, final, guarded)
    heldout |= {"orthogonal_to": sorted(earlier), "overlap": served.overlap}
    return LearnedArtifact(served.lora, heldout, _losses(served.losses))


def _served(
    lesson: Lesson, heldout: dict[str, Any], tried: _T, final: _T, guarded: Callable[[_T, Sequence[Sample]], Outcome]
) -> _T:
    """The final one, which learned every row, unless it forgets those held out worse than the one that never saw them:
    then its training went wrong. Notes in `heldout` which it is."""
    first = heldout["guarded"]
    after = guarded(final, [lesson.sample(asked) for asked in lesson.held])
    better = after.leak_rate <= first["leak_rate"] and after.probability <= first["probability"]
    heldout["served"] = "learned all rows, those held out too" if better else "never saw the rows held out"
    return final if better else tried


def _best_known(lesson: Lesson, title: str, asked: Sequence[Asked], rows: int) -> list[Asked]:
    """First the rows whose fact the model really gives away: the others say nothing about forgetting."""
    lesson.progress(f"corruption of {title}: what the model knows", 0, 1)
    prompts = [lesson.embedded(one.row.prompt) for one in asked]
    nll = lesson.rollout.mean_nll(prompts, [one.row.response for one in asked])
    order = sorted(range(len(asked)), key=lambda index: nll[index])
    return [asked[index] for index in order[:rows]]


def _trials(parts: Mapping[str, Learned]) -> dict[str, bytes]:
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
