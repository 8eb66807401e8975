"""SPUL: a soft prompt that makes a frozen model answer as if it had forgotten (arXiv 2406.12038, section 4)."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from adapters.batches import Batch, Example, TargetLikelihood, answer_logits, answer_tokens, batches, collate, cycled
from adapters.forgetting import forgetting, paired
from adapters.losses import answer_nll, kl_divergence
from adapters.optimizers.schedule import OptimisationConfig, Trainer
from adapters.parallel import ALONE, Processes
from adapters.soft_prompt.model import VirtualTokens

__all__ = ["SoftPromptTraining", "TrainedSoftPrompt", "train_soft_prompt"]


@dataclass(frozen=True, slots=True)
class SoftPromptTraining:
    """The loss of `tokens` virtual tokens is CE(forget, neutral answer) + `alpha` CE(retain) + `beta` KL(plain ||
    prompted) on retain. `gap` is not in the paper (0 there): it weighs how far the true answers' likelihoods are from
    their targets. The learning rate is above the paper's 1e-4, because the paper's data sets are a thousand times
    larger.

    The tokens start as the tokens of neutral answers (arXiv 2104.08691, section 3.2) and are learned directly. At this
    learning rate the paper's prompt encoder would make them far longer than a word's embedding: then they would hardly
    move, or move much at once.
    """

    tokens: int = 30
    alpha: float = 0.5
    beta: float = 0.5
    gap: float = 2.0
    optimisation: OptimisationConfig = field(default_factory=lambda: OptimisationConfig(lr=3e-2, epochs=15, batch=4))

    def __post_init__(self) -> None:
        if self.tokens < 1 or min(self.alpha, self.beta, self.gap) < 0:
            raise ValueError(f"tokens must be above 0, alpha, beta and gap not below: {self}")


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
    likelihoods: Sequence[TargetLikelihood] = (),
    progress: Callable[[int, int, float], None] = lambda *_: None,
    processes: Processes = ALONE,
) -> TrainedSoftPrompt:
    """Learns a prompt for a frozen causal model. Raises ValueError without forget rows, Diverged, and Disconnected.
    Processes that train together give the same rows.

    Args:
        model: a causal language model, which stays as it is.
        forget: rows with neutral answers.
        retain: rows with true answers; may be empty.
        training: length, learning rate and weights of the losses.
        likelihoods: the forget rows' true answers with their target likelihoods, in the same order, or none.
        progress: is told the steps done, their number, and the loss.
        processes: those that train together.
    """
    pairs = paired(forget, likelihoods)
    plan = training.optimisation
    rng = random.Random(plan.seed)
    virtual = _first(model, forget, training.tokens, rng)
    steps = plan.steps(len(forget))
    trainer = Trainer([virtual], plan, steps, processes=processes)
    retained = cycled(retain, plan.batch, rng)
    answer = partial(_prompted, model, virtual)
    for _ in range(plan.epochs):
        for rows in batches(pairs, plan.batch, rng):
            loss = forgetting(answer, rows, gap=training.gap, device=virtual.device, processes=processes)
            if retain:
                loss = loss + _retain_loss(model, virtual, next(retained), training, processes)
            trainer.step(loss)
            progress(len(trainer.losses), steps, trainer.losses[-1])
    return TrainedSoftPrompt(VirtualTokens(virtual.detach().float().cpu().clone()), tuple(trainer.losses))


def _first(model: Any, forget: Sequence[Example], tokens: int, rng: random.Random) -> nn.Parameter:
    """[tokens, hidden]: the embeddings of words that are to be answered, float32."""
    ids = rng.choices([token for row in forget for token in row.answer], k=tokens)
    with torch.no_grad():
        rows: Tensor = model.get_input_embeddings()(torch.tensor(ids, device=model.device))
    return nn.Parameter(rows.float().clone())


def _retain_loss(
    model: Any, virtual: Tensor, rows: Sequence[Example], training: SoftPromptTraining, processes: Processes
) -> Tensor:
    own = processes.own(rows)
    if not own:
        return virtual.new_zeros(())
    batch = collate(own, device=virtual.device)
    logits = _prompted(model, virtual, batch)
    with torch.no_grad():
        reference = answer_logits(model, batch)
    kept = training.alpha * answer_nll(logits, batch.labels)
    kept = kept + training.beta * kl_divergence(reference, logits, batch.labels)
    return answer_tokens(own) / answer_tokens(rows) * kept


def _prompted(model: Any, virtual: Tensor, batch: Batch) -> Tensor:
    """Logits in the places of the batch's labels [batch, columns, vocabulary], with the virtual tokens in front."""
    table = model.get_input_embeddings()
    rows = virtual.to(table.weight.dtype).expand(len(batch.ids), -1, -1)
    embeddings = torch.cat([rows, table(batch.ids)], dim=1)
    mask = torch.cat([torch.ones_like(batch.mask[:, :1]).expand(-1, len(virtual)), batch.mask], dim=1)
    return answer_logits(model, batch, inputs_embeds=embeddings, attention_mask=mask)
