"""Unlearning by weights, which a guardrail is compared with: it trains the model that shall forget."""

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from adapters.batches import Example, batches, cycled
from adapters.losses import combined
from adapters.optimizers.schedule import Diverged, Trainer
from adapters.weights.config import Target, UnlearningConfig, WeightMethod
from adapters.weights.steering import mlp_outputs
from adapters.weights.terms import UnlearningRun, forget_term, generic_answers, retain_term, steered_layer
from adapters.weights.trainable import TrainableModel, own_weights, with_lora

__all__ = ["LossCurves", "Target", "UnlearningConfig", "WeightMethod", "unlearn"]

_PAIRED: tuple[WeightMethod, ...] = ("idk-dpo", "flat")
_LOOKING_BACK: tuple[WeightMethod, ...] = ("kl", "undial", "rmu")
"""Methods that ask the original model again while another is in training."""


@dataclass(frozen=True, slots=True)
class LossCurves:
    """The loss of every step, and its two terms before they were weighed; no retain terms if these weigh nothing."""

    losses: tuple[float, ...]
    forget: tuple[float, ...]
    retain: tuple[float, ...]


def unlearn(
    model: Any,
    forget: Sequence[Example],
    retain: Sequence[Example],
    config: UnlearningConfig,
    *,
    idk: Sequence[Example] = (),
    progress: Callable[[int, int, float], None] = lambda *_: None,
) -> LossCurves:
    """Trains a causal model, in place, until it no longer gives the forget rows' answers.

    A bfloat16 model is trained in mixed precision. The model is frozen and of its old dtype when this returns or
    raises; after an error its weights are of no use. kl, undial and rmu compare with the original model throughout: for
    that they keep a copy of the weights that they train, or, with a LoRA, switch it off. Raises ValueError without rows
    that the method needs, and Diverged, with the losses until then, once the loss or a weight is not finite.

    Args:
        model: a causal language model.
        forget: rows with the answers to forget.
        retain: rows with answers to keep. A method may make no use of them.
        config: the method, what it trains, and its weights.
        idk: for idk-dpo and flat, a neutral answer to every forget row's question, in the same order.
        progress: is told the steps done, their number, and the loss.
    """
    _check_rows(config.method, forget, idk)
    if config.retain_weight and not retain:
        raise ValueError(f"{config.method} needs retain rows, or an alpha of 0")
    generic = generic_answers(model, forget, config) if config.method == "whp" else ()
    torch.manual_seed(config.optimisation.seed)
    with _trainable(model, config) as trainable:
        curves = _train(UnlearningRun(trainable, config, forget, idk, generic), retain, progress)
    if not all(parameter.isfinite().all() for parameter in model.parameters()):
        raise Diverged("weights are finite no more; try a lower learning rate", curves.losses)
    return curves


def _check_rows(method: WeightMethod, forget: Sequence[Example], idk: Sequence[Example]) -> None:
    if not forget:
        raise ValueError("there are no rows to forget")
    if method not in _PAIRED:
        return
    if [row.prompt for row in forget] != [row.prompt for row in idk]:
        raise ValueError(
            f"{method} needs a neutral answer to each forget row's prompt, in the same order; "
            f"there are {len(forget)} forget rows and {len(idk)} neutral ones"
        )


def _trainable(model: Any, config: UnlearningConfig) -> AbstractContextManager[TrainableModel]:
    if config.target == "lora":
        return with_lora(model, rank=config.rank, alpha=config.lora_alpha, merge=True)
    own = mlp_outputs(model, steered_layer(model, config)) if config.method == "rmu" else list(model.parameters())
    return own_weights(model, own, remember=config.method in _LOOKING_BACK)


def _train(run: UnlearningRun, retain: Sequence[Example], progress: Callable[[int, int, float], None]) -> LossCurves:
    config, how = run.config, run.config.optimisation
    rng = random.Random(how.seed)
    steps = how.steps(len(run.forget))
    forgetting, retaining = forget_term(run), retain_term(run)
    trainer = Trainer(run.trainable.parameters, how, steps)
    retained = cycled(retain, how.batch, rng)
    terms: tuple[list[float], list[float]] = ([], [])
    for _ in range(how.epochs):
        for rows in batches(range(len(run.forget)), how.batch, rng):
            forget = forgetting(rows)
            loss = config.forget_weight * forget
            if config.retain_weight:
                kept = retaining(run.batch(next(retained)))
                loss = combined(forget, kept, gamma=config.forget_weight, alpha=config.retain_weight)
                terms[1].append(float(kept.detach()))
            trainer.step(loss)
            terms[0].append(float(forget.detach()))
            progress(len(trainer.losses), steps, trainer.losses[-1])
    return LossCurves(tuple(trainer.losses), tuple(terms[0]), tuple(terms[1]))
