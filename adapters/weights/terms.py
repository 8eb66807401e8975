"""The forget and retain terms of every unlearning method, over a model in training."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from adapters.batches import Batch, Example, batches, collate
from adapters.losses import (
    NOT_AN_ANSWER,
    answer_nll,
    flat,
    gradient_ascent,
    idk_dpo,
    kl_divergence,
    npo,
    sequence_logp,
    simnpo,
    undial,
    whp_labels,
)
from adapters.optimizers.schedule import Trainer
from adapters.weights.config import UnlearningConfig, WeightMethod
from adapters.weights.steering import activation_distance, activation_norm, decoder_layers, steering_vector
from adapters.weights.trainable import TrainableModel, with_lora

__all__ = [
    "ForgetTerm",
    "RetainTerm",
    "UnlearningRun",
    "forget_term",
    "generic_answers",
    "retain_term",
    "steered_layer",
]

ForgetTerm = Callable[[Sequence[int]], Tensor]
"""A scalar over some of the forget rows, given by their numbers."""
RetainTerm = Callable[[Batch], Tensor]
"""A scalar over some retain rows."""


@dataclass(frozen=True, slots=True)
class UnlearningRun:
    """A model in training, its configuration and its rows. `idk` and `generic`, where the method needs them, have one
    row for each forget row; a row of `generic` is a label [answer tokens] for each token of the answer."""

    trainable: TrainableModel
    config: UnlearningConfig
    forget: Sequence[Example]
    idk: Sequence[Example]
    generic: Sequence[Tensor]

    def batch(self, examples: Sequence[Example]) -> Batch:
        return collate(examples, device=self.trainable.model.device)

    def answered(self, examples: Sequence[Example], rows: Sequence[int]) -> tuple[Batch, Tensor]:
        """Some of the examples, by number, and the model's logits on them."""
        batch = self.batch([examples[row] for row in rows])
        return batch, self.trainable.logits(batch)

    def in_order(self) -> list[range]:
        """The numbers of all forget rows, a batch at a time."""
        size, count = self.config.optimisation.batch, len(self.forget)
        return [range(start, min(start + size, count)) for start in range(0, count, size)]

    @torch.no_grad()
    def logp(self, examples: Sequence[Example]) -> Tensor:
        """Summed log likelihoods [forget rows] of the model as it is now."""
        parts = [self.answered(examples, rows) for rows in self.in_order()]
        return torch.cat([sequence_logp(logits, batch.labels)[0] for batch, logits in parts])

    @torch.no_grad()
    def original_logits(self, batch: Batch) -> Tensor:
        with self.trainable.original():
            return self.trainable.logits(batch)


def forget_term(run: UnlearningRun) -> ForgetTerm:
    """The method's forget term. It reads the original model now, before the training."""
    return _FORGET[run.config.method](run)


def retain_term(run: UnlearningRun) -> RetainTerm:
    """KL from the original, rmu's match of activations, or the NLL."""
    trainable = run.trainable
    if run.config.method == "kl":
        return lambda batch: kl_divergence(run.original_logits(batch), trainable.logits(batch), batch.labels)
    if run.config.method == "rmu":
        return _still_activations(run)
    return lambda batch: answer_nll(trainable.logits(batch), batch.labels)


def generic_answers(model: Any, forget: Sequence[Example], config: UnlearningConfig) -> list[Tensor]:
    """whp's labels [answer tokens] for each forget row. A LoRA learns the rows harder; the labels come from the
    comparison with it; then it is dropped.

    The model ends as it was, and frozen. Raises Diverged.
    """
    how = config.reinforcement
    torch.manual_seed(how.seed)
    rng = random.Random(how.seed)
    with with_lora(model, rank=config.rank, alpha=config.lora_alpha, merge=False) as trainable:
        run = UnlearningRun(trainable, config, forget, (), ())
        trainer = Trainer(trainable.parameters, how, how.steps(len(forget)))
        for _ in range(how.epochs):
            for rows in batches(range(len(forget)), how.batch, rng):
                batch, logits = run.answered(forget, rows)
                trainer.step(answer_nll(logits, batch.labels))
        return [label for rows in run.in_order() for label in _generic(run, rows)]


@torch.no_grad()
def _generic(run: UnlearningRun, rows: Sequence[int]) -> list[Tensor]:
    batch, reinforced = run.answered(run.forget, rows)
    labels = whp_labels(run.original_logits(batch), reinforced, batch.labels, beta=run.config.strength)
    return [of_one[of_one != NOT_AN_ANSWER] for of_one in labels]


def steered_layer(model: Any, config: UnlearningConfig) -> int:
    """The number of the layer that rmu steers. ValueError if the model has no such layer."""
    depth = len(decoder_layers(model))
    chosen = depth // 3 if config.layer is None else config.layer
    if chosen >= depth:
        raise ValueError(f"the model has {depth} layers, there is no layer {chosen}")
    return chosen


def _ascent(run: UnlearningRun) -> ForgetTerm:
    def term(rows: Sequence[int]) -> Tensor:
        batch, logits = run.answered(run.forget, rows)
        return gradient_ascent(logits, batch.labels)

    return term


def _npo(run: UnlearningRun) -> ForgetTerm:
    before = run.logp(run.forget)

    def term(rows: Sequence[int]) -> Tensor:
        batch, logits = run.answered(run.forget, rows)
        return npo(logits, batch.labels, reference_logp=before[list(rows)], beta=run.config.strength)

    return term


def _simnpo(run: UnlearningRun) -> ForgetTerm:
    def term(rows: Sequence[int]) -> Tensor:
        batch, logits = run.answered(run.forget, rows)
        return simnpo(logits, batch.labels, beta=run.config.strength, delta=run.config.delta)

    return term


def _idk_dpo(run: UnlearningRun) -> ForgetTerm:
    before, idk_before = run.logp(run.forget), run.logp(run.idk)

    def term(rows: Sequence[int]) -> Tensor:
        batch, logits = run.answered(run.forget, rows)
        idk, idk_logits = run.answered(run.idk, rows)
        return idk_dpo(
            idk_logits,
            idk.labels,
            logits,
            batch.labels,
            idk_reference_logp=idk_before[list(rows)],
            reference_logp=before[list(rows)],
            beta=run.config.strength,
        )

    return term


def _undial(run: UnlearningRun) -> ForgetTerm:
    def term(rows: Sequence[int]) -> Tensor:
        batch = run.batch([run.forget[row] for row in rows])
        teacher = run.original_logits(batch)
        return undial(teacher, run.trainable.logits(batch), batch.labels, beta=run.config.strength)

    return term


def _flat(run: UnlearningRun) -> ForgetTerm:
    def term(rows: Sequence[int]) -> Tensor:
        batch, logits = run.answered(run.forget, rows)
        idk, idk_logits = run.answered(run.idk, rows)
        return flat(idk_logits, idk.labels, logits, batch.labels)

    return term


def _whp(run: UnlearningRun) -> ForgetTerm:
    def term(rows: Sequence[int]) -> Tensor:
        batch, logits = run.answered(run.forget, rows)
        # Answers are runs of labels, row after row, so that the generic ones fall into their places.
        generic = torch.cat([run.generic[row] for row in rows])
        return answer_nll(logits, batch.labels.masked_scatter(batch.labels != NOT_AN_ANSWER, generic))

    return term


def _rmu(run: UnlearningRun) -> ForgetTerm:
    layer = _layer(run)
    target = _steering_target(run, layer)

    def term(rows: Sequence[int]) -> Tensor:
        batch = run.batch([run.forget[row] for row in rows])
        return activation_distance(run.trainable.activations(batch, layer), target, _predicting(batch))

    return term


def _still_activations(run: UnlearningRun) -> RetainTerm:
    """rmu's retain term, over every token: later layers read the question's activations too."""
    layer, trainable = _layer(run), run.trainable

    def term(batch: Batch) -> Tensor:
        with torch.no_grad(), trainable.original():
            before = trainable.activations(batch, layer)
        return activation_distance(trainable.activations(batch, layer), before, batch.mask)

    return term


@torch.no_grad()
def _steering_target(run: UnlearningRun, layer: nn.Module) -> Tensor:
    """c * u [hidden], in units of the mean norm of the activations as they are now."""
    total = 0.0
    for rows in run.in_order():
        batch = run.batch([run.forget[row] for row in rows])
        activations = run.trainable.activations(batch, layer)
        total += len(rows) * float(activation_norm(activations, _predicting(batch)))
    direction = steering_vector(activations.shape[-1], seed=run.config.optimisation.seed).to(activations.device)
    return run.config.strength * total / len(run.forget) * direction


def _layer(run: UnlearningRun) -> nn.Module:
    model = run.trainable.model
    return decoder_layers(model)[steered_layer(model, run.config)]


def _predicting(batch: Batch) -> Tensor:
    """Bool [batch, tokens]: where the next token is an answer's. Retain rows may hold the tokens before the answer too,
    those of a chat template for example: one term would steer them and the other would hold them still."""
    predicting = torch.zeros_like(batch.ids, dtype=torch.bool)
    predicting[:, batch.questions : -1] = batch.labels[:, 1:] != NOT_AN_ANSWER
    return predicting


_FORGET: dict[WeightMethod, Callable[[UnlearningRun], ForgetTerm]] = {
    "ga": _ascent,
    "graddiff": _ascent,
    "kl": _ascent,
    "idk-dpo": _idk_dpo,
    "npo": _npo,
    "simnpo": _simnpo,
    "rmu": _rmu,
    "undial": _undial,
    "flat": _flat,
    "whp": _whp,
}
