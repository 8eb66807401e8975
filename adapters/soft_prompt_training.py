"""SPUL: a soft prompt that makes a frozen model answer as if it had forgotten (arXiv 2406.12038, section 4)."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from peft import PromptEncoder, PromptEncoderConfig
from torch import Tensor, nn

from adapters.examples import Batch, Example, Truth, batches, collate, cycled
from adapters.forgetting import forgetting, paired
from adapters.objectives import answer_nll, kl_divergence
from adapters.optimisation import Optimisation, Stepper
from adapters.soft_prompt import VirtualTokens

__all__ = ["SoftPromptTraining", "TrainedSoftPrompt", "train_soft_prompt"]


@dataclass(frozen=True, slots=True)
class SoftPromptTraining:
    """`tokens` virtual tokens from a prompt encoder of `hidden` units; the loss is CE(forget, neutral answer) +
    `alpha` CE(retain) + `beta` KL(plain || prompted) on retain, and, beyond the paper (0 there), `gap` times how far
    the true answers' likelihoods are from what one who never knew gives them. The learning rate is above the paper's
    1e-4, whose data sets are a thousand times larger than a takedown's."""

    tokens: int = 30
    hidden: int = 128
    alpha: float = 0.5
    beta: float = 0.5
    gap: float = 2.0
    optimisation: Optimisation = field(default_factory=lambda: Optimisation(lr=1e-2, epochs=15, batch=4))

    def __post_init__(self) -> None:
        if self.tokens < 1 or self.hidden < 1 or min(self.alpha, self.beta, self.gap) < 0:
            raise ValueError(f"tokens and hidden must be above 0, alpha, beta and gap not below: {self}")


@dataclass(frozen=True, slots=True)
class TrainedSoftPrompt:
    """The virtual tokens and the loss of every step."""

    tokens: VirtualTokens
    losses: tuple[float, ...]


def train_soft_prompt(
    model: Any,
    *,
    forget: Sequence[Example],
    retain: Sequence[Example],
    training: SoftPromptTraining,
    truths: Sequence[Truth] = (),
    progress: Callable[[int, int, float], None] = lambda *_: None,
) -> TrainedSoftPrompt:
    """Learns a prompt for a frozen causal model: `forget` with neutral answers, `retain` with true ones (may be empty).

    `truths` are the forget rows' true answers, in their order, or none. `progress` hears steps done, of how many, and
    the loss. Raises ValueError without forget rows, and Diverged.
    """
    lessons = paired(forget, truths)
    plan = training.optimisation
    torch.manual_seed(plan.seed)
    rng = random.Random(plan.seed)
    table: nn.Embedding = model.get_input_embeddings()
    encoder = _encoder(training, table)
    indices = torch.arange(training.tokens, device=table.weight.device)
    steps = plan.steps(len(forget))
    stepper = Stepper(encoder.parameters(), plan, steps)
    retained = cycled(retain, plan.batch, rng)
    for _ in range(plan.epochs):
        for rows in batches(lessons, plan.batch, rng):
            virtual = encoder(indices)
            answer = partial(_prompted, model, virtual)
            loss = forgetting(answer, rows, gap=training.gap, device=indices.device)
            if retain:
                loss = loss + _retain_loss(model, virtual, collate(next(retained), device=indices.device), training)
            stepper.step(loss)
            progress(len(stepper.losses), steps, stepper.losses[-1])
    with torch.no_grad():
        learned = encoder(indices).float().cpu().clone()
    return TrainedSoftPrompt(VirtualTokens(learned), tuple(stepper.losses))


def _encoder(training: SoftPromptTraining, table: nn.Embedding) -> Any:
    config = PromptEncoderConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=training.tokens,
        encoder_hidden_size=training.hidden,
        token_dim=table.embedding_dim,
        num_transformer_submodules=1,
    )
    return PromptEncoder(config).to(  # type: ignore[no-untyped-call]
        table.weight.device
    )


def _retain_loss(model: Any, virtual: Tensor, batch: Batch, training: SoftPromptTraining) -> Tensor:
    logits = _prompted(model, virtual, batch)
    with torch.no_grad():
        reference = model(input_ids=batch.ids, attention_mask=batch.mask).logits
    kept = training.alpha * answer_nll(logits, batch.labels)
    return kept + training.beta * kl_divergence(reference, logits, batch.labels)


def _prompted(model: Any, virtual: Tensor, batch: Batch) -> Tensor:
    """Logits [batch, tokens, vocabulary] of the batch's own tokens, with the virtual ones in front."""
    table = model.get_input_embeddings()
    rows = virtual.to(table.weight.dtype).expand(len(batch.ids), -1, -1)
    embeddings = torch.cat([rows, table(batch.ids)], dim=1)
    mask = torch.cat([torch.ones_like(batch.mask[:, :1]).expand(-1, len(virtual)), batch.mask], dim=1)
    logits: Tensor = model(inputs_embeds=embeddings, attention_mask=mask).logits
    return logits[:, len(virtual) :]
