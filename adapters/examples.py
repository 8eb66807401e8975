"""Questions and the answers to be learned for them, as batches of tokens."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from adapters.objectives import NOT_AN_ANSWER

__all__ = ["Batch", "Example", "Truth", "batches", "collate", "cycled", "targets_of"]

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
class Truth:
    """The true answer to a forget row's question, and `logp`, the log likelihood (nats) of each token by one who
    never knew it; nan where that cannot be told."""

    example: Example
    logp: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.logp) != len(self.example.answer):
            raise ValueError(f"{len(self.logp)} likelihoods do not belong to {len(self.example.answer)} answer tokens")


def targets_of(truths: Sequence["Truth"], like: Tensor) -> Tensor:
    """Their likelihoods in the places that `collate` gives the tokens: [batch, tokens] as `like`, nan elsewhere."""
    found = torch.full(like.shape, float("nan"), device=like.device)
    for row, truth in enumerate(truths):
        start = len(truth.example.prompt)
        found[row, start : start + len(truth.logp)] = torch.tensor(truth.logp, device=like.device)
    return found


@dataclass(frozen=True, slots=True)
class Batch:
    """`ids`, `mask` and `labels`, each [batch, tokens], padded on the right; labels are set on answer tokens alone."""

    ids: Tensor
    mask: Tensor
    labels: Tensor


def collate(examples: Sequence[Example], *, device: torch.device) -> Batch:
    """One batch of several examples."""
    length = max(len(one.prompt) + len(one.answer) for one in examples)
    ids = torch.zeros((len(examples), length), dtype=torch.long)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, NOT_AN_ANSWER)
    for row, one in enumerate(examples):
        end = len(one.prompt) + len(one.answer)
        ids[row, :end] = torch.tensor([*one.prompt, *one.answer])
        mask[row, :end] = 1
        labels[row, len(one.prompt) : end] = torch.tensor(one.answer)
    return Batch(ids.to(device), mask.to(device), labels.to(device))


def batches(examples: Sequence[_T], size: int, rng: random.Random) -> list[list[_T]]:
    """All examples once, in a fresh order."""
    order = list(examples)
    rng.shuffle(order)
    return [order[start : start + size] for start in range(0, len(order), size)]


def cycled(examples: Sequence[_T], size: int, rng: random.Random) -> Iterator[list[_T]]:
    """Batches without end; nothing at all without examples."""
    while examples:
        yield from batches(examples, size, rng)
