"""Fine-tuning of all of a model's weights, for the comparison's models: those that know the forget set, and those that
were never taught it."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch

from adapters.batches import Example, batches, collate
from adapters.losses import answer_nll
from adapters.optimizers.schedule import OptimisationConfig, Trainer
from adapters.weights.trainable import own_weights

__all__ = ["fine_tune"]


def fine_tune(
    model: Any,
    rows: Sequence[Example],
    config: OptimisationConfig,
    *,
    progress: Callable[[int, int, float], None] = lambda *_: None,
) -> tuple[float, ...]:
    """Teaches a causal model the rows' answers, in place, and returns the loss of every step.

    A bfloat16 model is trained in mixed precision, because bfloat16 loses small steps. The model is frozen and of its
    old dtype when this returns. Raises ValueError without rows, and Diverged.

    Args:
        model: a causal language model.
        rows: questions with the answers to learn.
        config: learning rate, epochs and batch.
        progress: is told the steps done, their number, and the loss.
    """
    if not rows:
        raise ValueError("there are no rows to learn")
    torch.manual_seed(config.seed)
    rng = random.Random(config.seed)
    steps = config.steps(len(rows))
    with own_weights(model, list(model.parameters()), remember=False) as trainable:
        trainer = Trainer(trainable.parameters, config, steps)
        for _ in range(config.epochs):
            for part in batches(rows, config.batch, rng):
                batch = collate(part, device=model.device)
                trainer.step(answer_nll(trainable.logits(batch), batch.labels))
                progress(len(trainer.losses), steps, trainer.losses[-1])
    return tuple(trainer.losses)
