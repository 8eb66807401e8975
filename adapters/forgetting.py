"""The loss that soft prompts and unlearning LoRAs share: neutral answers become likely, and the true answers become as
likely as they are to a model that was never taught them."""

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from adapters.batches import Batch, Example, TargetLikelihood, answer_tokens, collate, targets_of
from adapters.losses import answer_nll, likelihood_gap
from adapters.parallel import ALONE, Processes

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
    answer: Callable[[Batch], Tensor],
    pairs: Sequence[ForgetPair],
    *,
    gap: float,
    device: torch.device,
    processes: Processes = ALONE,
) -> Tensor:
    """The loss on forget rows: `answer_nll` of the neutral answers, plus `gap` times `likelihood_gap` of the true ones.
    With several processes it is this one's part of that loss.

    Args:
        answer: gives the logits [batch, columns, vocabulary] of the model in training, as `answer_logits` does.
        pairs: neutral answers, each with its true answer and the likelihood that this should have.
        gap: how much the likelihoods weigh.
        device: where the model is.
        processes: those that share the batch.
    """
    own = processes.own(pairs)
    if not own:
        return torch.zeros((), device=device)
    rows = [row for row, _ in own]
    neutral = collate(rows, device=device)
    share = answer_tokens(rows) / answer_tokens([row for row, _ in pairs])
    loss = share * answer_nll(answer(neutral), neutral.labels)
    likelihoods = _likelihoods(own)
    if not gap or not likelihoods:
        return loss
    true = collate([target.example for target in likelihoods], device=device)
    share = _known(likelihoods) / _known(_likelihoods(pairs))
    return loss + gap * share * likelihood_gap(answer(true), true.labels, target=targets_of(likelihoods, true))


def _likelihoods(pairs: Sequence[ForgetPair]) -> list[TargetLikelihood]:
    return [target for _, target in pairs if target is not None]


def _known(likelihoods: Sequence[TargetLikelihood]) -> int:
    """By how many tokens `likelihood_gap` divides."""
    return max(1, sum(not math.isnan(value) for target in likelihoods for value in target.logp))
