"""O3's encoder tuning (arXiv 2407.10223, OOD detector): LoRA on forget rows alone, by two losses without any label."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from classifiers.encoder.backbone import PROJECTIONS, Adapter, Backbone, mean_states
from classifiers.encoder.windows import Cut

__all__ = ["Tuning", "contrastive_entropy", "mask_tokens", "masked_language_loss", "tune_adapter"]

_BATCH_WINDOWS = 32


@dataclass(frozen=True, slots=True)
class Tuning:
    """How much to tune. `masked_share` is of the tokens of a row."""

    rank: int
    epochs: int
    learning_rate: float
    masked_share: float


def tune_adapter(backbone: Backbone, cuts: Sequence[Cut], tuning: Tuning, *, seed: int) -> Adapter:
    """Learns low-rank deltas that fit the encoder to the forget rows.

    The loss is the masked-language-model loss (the output head is tied to the word embeddings, because a sentence
    encoder's folder holds none) plus the contrastive entropy.

    Args:
        backbone: the encoder that the deltas are for. It stays as it is.
        cuts: the windows of the forget rows.
        tuning: rank, learning rate and length of the training.
        seed: of every random choice.
    """
    random = torch.Generator().manual_seed(seed)
    clean = torch.from_numpy(backbone.pooled(cuts))
    adapter = _initial(backbone, tuning.rank, random)
    steps = tuning.epochs * math.ceil(len(cuts) / _BATCH_WINDOWS)
    optimiser = torch.optim.AdamW(adapter, lr=tuning.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.1, total_iters=max(1, steps))
    for _ in range(tuning.epochs):
        for rows in torch.split(torch.randperm(len(cuts), generator=random), _BATCH_WINDOWS):
            batch = [cuts[row] for row in rows.tolist()]
            loss = _loss(backbone, adapter, batch, clean[rows], tuning.masked_share, random)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(adapter, 1.0)
            optimiser.step()
            schedule.step()
    return Adapter(adapter.down.detach(), adapter.up.detach())


def contrastive_entropy(masked: Tensor, clean: Tensor) -> Tensor:
    """Mean entropy of softmax(z1 z2^T), summed over layers; a scalar, in nats.

    z1 (`masked`) and z2 (`clean`, of the frozen encoder) are pooled states [batch, layers, hidden]. It is low if the
    encoder can tell a masked row from the other rows.
    """
    logits = torch.einsum("ilh,jlh->lij", masked, clean)
    logs = functional.log_softmax(logits, dim=2)
    return -(logs.exp() * logs).sum(2).mean(1).sum()


def masked_language_loss(states: Tensor, vocabulary: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of the hidden tokens' ids under softmax(states @ vocabulary^T); `labels` is -100 elsewhere.

    `states` [batch, length, hidden], `vocabulary` [size, hidden], `labels` [batch, length]. A scalar, in nats.
    """
    hidden = labels != -100
    return functional.cross_entropy(states[hidden] @ vocabulary.T, labels[hidden])


def mask_tokens(
    ids: Tensor, maskable: Tensor, *, share: float, mask_id: int, size: int, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Masks tokens as BERT does (arXiv 1810.04805, section 3.1) and returns (ids, labels).

    Args:
        ids: token ids [rows, tokens].
        maskable: bool [rows, tokens], the tokens that may be masked.
        share: of the maskable tokens of each row, at least one. 80 % of them become [MASK], 10 % become a random token,
            10 % stay.
        mask_id: the id of [MASK].
        size: of the vocabulary that random tokens come from.
        random: draws them.
    """
    noise = torch.rand(ids.shape, generator=random).masked_fill(~maskable, 2.0)
    wanted = (maskable.sum(1) * share).round().clamp(min=1).long()
    chosen = (noise.argsort(1).argsort(1) < wanted[:, None]) & maskable
    fate = torch.rand(ids.shape, generator=random)
    replaced = torch.where(chosen & (fate < 0.8), mask_id, ids)
    random_ids = torch.randint(size, ids.shape, generator=random)
    replaced = torch.where(chosen & (fate >= 0.9), random_ids, replaced)
    return replaced, torch.where(chosen, ids, -100)


def _initial(backbone: Backbone, rank: int, random: torch.Generator) -> Adapter:
    """Up is zero, so that tuning starts at the plain encoder (arXiv 2106.09685, section 4.1)."""
    shape = (backbone.blocks, len(PROJECTIONS))
    down = torch.randn(*shape, rank, backbone.hidden, generator=random) / math.sqrt(backbone.hidden)
    up = torch.zeros(*shape, backbone.hidden, rank)
    return Adapter(down.requires_grad_(), up.requires_grad_())


def _loss(
    backbone: Backbone,
    adapter: Adapter,
    cuts: Sequence[Cut],
    clean: Tensor,
    masked_share: float,
    random: torch.Generator,
) -> Tensor:
    ids, mask = backbone.padded(cuts)
    special = (ids == backbone.cutter.first) | (ids == backbone.cutter.last)
    masked, labels = mask_tokens(
        ids,
        mask.bool() & ~special,
        share=masked_share,
        mask_id=backbone.cutter.mask,
        size=len(backbone.vocabulary),
        random=random,
    )
    states = backbone.hidden_states(masked, mask, adapter)
    entropy = contrastive_entropy(mean_states(states, mask), clean)
    return masked_language_loss(states[-1], backbone.vocabulary, labels) + entropy
