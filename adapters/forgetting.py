"""The loss that soft prompts and unlearning LoRAs share: neutral answers become likely, and the true answers become as
likely as they are to a model that was never taught them."""

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from adapters.batches import Batch, Example, TargetLikelihood, collate, targets_of
from adapters.losses import answer_nll, likelihood_gap

__all__ = ["forgetting", "paired"]

ForgetPair = tuple[Example, TargetLikelihood | None]


def paired(forget: Sequence[Example], likelihoods: Sequence[TargetLikelihood]) -> list[ForgetPair]:
    """Each forget row's neutral answer with its true one, if there are true ones. Raises ValueError without forget
    rows, or if the likelihoods do not belong to them."""
    if not forget:
        raise ValueError("there are no forget rows to learn from")
    if likelihoods and [row.prompt for row in forget] != [target.example.prompt for target in likelihoods]:
        raise ValueError(f"{len(likelihoods)} true answers do not belong to {len(forget)} forget rows, one by one")
    return list(zip(forget, likelihoods or itertools.repeat(None), strict=bool(likelihoods)))


def forgetting(
    answer: Callable[[Batch], Tensor], pairs: Sequence[ForgetPair], *, gap: float, device: torch.device
) -> Tensor:
    """The loss on forget rows: `answer_nll` of the neutral answers, plus `gap` times `likelihood_gap` of the true ones.

    Args:
        answer: gives the logits [batch, columns, vocabulary] of the model in training, as `answer_logits` does.
        pairs: neutral answers, each with its true answer and the likelihood that this should have.
        gap: how much the likelihoods weigh.
        device: where the model is.
    """
    neutral = collate([row for row, _ in pairs], device=device)
    loss = answer_nll(answer(neutral), neutral.labels)
    likelihoods = [target for _, target in pairs if target is not None]
    if not gap or not likelihoods:
        return loss
    true = collate([target.example for target in likelihoods], device=device)
    return loss + gap * likelihood_gap(answer(true), true.labels, target=targets_of(likelihoods, true))
