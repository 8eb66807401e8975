"""Several processes that train one adapter together: each takes its share of every batch.

A loss here is a mean over the tokens of a batch. A process computes the mean over the tokens of its own share, and
weighs it by how many of the whole batch's tokens these are; the sum over the processes is then the mean over the whole
batch, whatever the shares' sizes. Every process sums the gradients of all and takes the same step. So the losses and
the adapter are those of one process, but for rounding.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed

__all__ = ["ALONE", "Disconnected", "Processes"]

_T = TypeVar("_T")
_MAIN = 0


class Disconnected(RuntimeError):
    """Another process of the training has ended, so that this one cannot go on."""


@dataclass(frozen=True, slots=True)
class Processes:
    """This process's number, from 0, and how many there are. With more than one, torch's default process group must
    exist. All processes must make the same calls in the same order; each call raises Disconnected."""

    rank: int = 0
    count: int = 1

    @property
    def main(self) -> bool:
        """Whether this is the process that leads: it measures, reports and writes."""
        return self.rank == _MAIN

    def own(self, rows: Sequence[_T]) -> list[_T]:
        """This process's share of a batch; it may be empty."""
        return list(rows[self.rank :: self.count])

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replaces each tensor by its sum over the processes. All have one dtype and one device."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
        with _connected():
            distributed.all_reduce(flat)
        _put_back(flat, tensors)

    def align(self, tensors: Sequence[Tensor]) -> None:
        """Replaces each tensor by that of the main process. All have one dtype and one device."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
        with _connected():
            distributed.broadcast(flat, _MAIN)
        _put_back(flat, tensors)

    def send(self, text: str) -> None:
        """From the main process to all others."""
        if self.count == 1:
            return
        content = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
        with _connected():
            distributed.broadcast(torch.tensor([len(content)]), _MAIN)
            distributed.broadcast(content, _MAIN)

    def receive(self) -> str:
        """What the main process sends next; waits for it."""
        length = torch.zeros(1, dtype=torch.long)
        with _connected():
            distributed.broadcast(length, _MAIN)
            content = torch.empty(int(length), dtype=torch.uint8)
            distributed.broadcast(content, _MAIN)
        return content.numpy().tobytes().decode()


ALONE = Processes()
"""The training of one process."""


@contextmanager
def _connected() -> Iterator[None]:
    """Turns the errors of a broken connection into Disconnected."""
    try:
        yield
    except RuntimeError as error:
        raise Disconnected("another process of this training has ended; its own message says why") from error


def _put_back(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))
