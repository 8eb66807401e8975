"""What soft prompts and unlearning LoRAs learn alike: to say something neutral, and to find the truth as likely as one
who never knew it."""

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from adapters.batches import Batch, Example, Truth, collate, targets_of
from adapters.losses import answer_nll, likelihood_gap

__all__ = ["forgetting", "paired"]

Lesson = tuple[Example, Truth | None]


def paired(forget: Sequence[Example], truths: Sequence[Truth]) -> list[Lesson]:
    """Each forget row's neutral answer with its true one, if there are any. Raises ValueError without forget rows, or
    if the truths do not fit them."""
    if not forget:
        raise ValueError("there are no forget rows to learn from")
    if truths and [row.prompt for row in forget] != [truth.example.prompt for truth in truths]:
        raise ValueError(f"{len(truths)} true answers do not belong to {len(forget)} forget rows, one by one")
    return list(zip(forget, truths or itertools.repeat(None), strict=bool(truths)))


def forgetting(
    answer: Callable[[Batch], Tensor], lessons: Sequence[Lesson], *, gap: float, device: torch.device
) -> Tensor:
    """`answer_nll` of the neutral answers, plus `gap` times `likelihood_gap` of the true ones. `answer` gives the
    logits [batch, columns, vocabulary] of the model in training, as `answer_logits` does."""
    neutral = collate([row for row, _ in lessons], device=device)
    loss = answer_nll(answer(neutral), neutral.labels)
    truths = [truth for _, truth in lessons if truth is not None]
    if not gap or not truths:
        return loss
    true = collate([truth.example for truth in truths], device=device)
    return loss + gap * likelihood_gap(answer(true), true.labels, target=targets_of(truths, true))
