"""Questions and the answers to learn, as batches of tokens."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from adapters.losses import NOT_AN_ANSWER

__all__ = [
    "Batch",
    "Example",
    "TargetLikelihood",
    "answer_logits",
    "answer_tokens",
    "batches",
    "collate",
    "cycled",
    "targets_of",
]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of a templated prompt and of the answer, with its end token where an answer is to be learned."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.prompt or not self.answer:
            raise ValueError("an example needs at least one prompt token and one answer token")


@dataclass(frozen=True, slots=True)
class TargetLikelihood:
    """The true answer to a forget row's question, and `logp`, the log likelihood (nats) of each token to a model that
    was never taught it; nan where this is not known."""

    example: Example
    logp: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.logp) != len(self.example.answer):
            raise ValueError(f"{len(self.logp)} likelihoods do not belong to {len(self.example.answer)} answer tokens")


@dataclass(frozen=True, slots=True)
class Batch:
    """`ids` and `mask` [batch, tokens], padded on the right, and `labels` [batch, columns] of the last tokens alone.

    Labels stand on answer tokens. The first column of labels is the one in front of the first answer of all rows.
    """

    ids: Tensor
    mask: Tensor
    labels: Tensor

    @property
    def questions(self) -> int:
        """The number of tokens in front of the first column of labels. In every row they belong to the question."""
        return self.ids.shape[1] - self.labels.shape[1]


def collate(examples: Sequence[Example], *, device: torch.device) -> Batch:
    """One batch of several examples."""
    length = max(len(one.prompt) + len(one.answer) for one in examples)
    first = min(len(one.prompt) for one in examples) - 1
    ids = torch.zeros((len(examples), length), dtype=torch.long)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, NOT_AN_ANSWER)
    for row, one in enumerate(examples):
        end = len(one.prompt) + len(one.answer)
        ids[row, :end] = torch.tensor([*one.prompt, *one.answer])
        mask[row, :end] = 1
        labels[row, len(one.prompt) : end] = torch.tensor(one.answer)
    return Batch(ids.to(device), mask.to(device), labels[:, first:].to(device))


def answer_logits(model: Any, batch: Batch, **inputs: Tensor) -> Tensor:
    """A causal model's logits [batch, columns, vocabulary] in the places of the batch's labels, and no others: with a
    large vocabulary the others would take much memory. `inputs` stand for the batch's own tokens. It caches no keys and
    values: nobody asks for them again."""
    inputs = inputs or {"input_ids": batch.ids, "attention_mask": batch.mask}
    columns = batch.labels.shape[1]
    logits: Tensor = model(**inputs, logits_to_keep=columns, use_cache=False).logits
    return logits[:, -columns:]  # a model may not know the option


def answer_tokens(examples: Sequence[Example]) -> int:
    """How many tokens of a batch of these are predicted: all those of the answers."""
    return sum(len(one.answer) for one in examples)


def targets_of(likelihoods: Sequence[TargetLikelihood], batch: Batch) -> Tensor:
    """The target likelihoods in the places where `collate` puts the labels of their tokens: [batch, columns], nan
    elsewhere."""
    found = torch.full(batch.labels.shape, float("nan"), device=batch.labels.device)
    for row, target in enumerate(likelihoods):
        start = len(target.example.prompt) - batch.questions
        found[row, start : start + len(target.logp)] = torch.tensor(target.logp, device=found.device)
    return found


def batches(examples: Sequence[_T], size: int, rng: random.Random) -> list[list[_T]]:
    """All examples once, in a new random order."""
    order = list(examples)
    rng.shuffle(order)
    return [order[start : start + size] for start in range(0, len(order), size)]


def cycled(examples: Sequence[_T], size: int, rng: random.Random) -> Iterator[list[_T]]:
    """Batches without end; nothing at all without examples."""
    while examples:
        yield from batches(examples, size, rng)
