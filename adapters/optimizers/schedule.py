"""How trained numbers move: the optimizer, its learning-rate schedule, and a record of the loss."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from adapters.optimizers.mofo import MoFO
from adapters.parallel import ALONE, Processes

__all__ = ["Diverged", "OptimisationConfig", "OptimizerName", "Trainer"]

OptimizerName = Literal["adamw", "mofo"]


class Diverged(RuntimeError):
    """The loss is no number any more; a lower learning rate may help. `losses` are those of the steps before."""

    def __init__(self, message: str, losses: tuple[float, ...] = ()) -> None:
        super().__init__(message)
        self.losses = losses


@dataclass(frozen=True, slots=True)
class OptimisationConfig:
    """`epochs` over the forget rows in batches of `batch`, cosine schedule after a linear `warmup` share of steps."""

    lr: float
    epochs: int
    batch: int = 8
    warmup: float = 0.1
    weight_decay: float = 0.0
    optimizer: OptimizerName = "adamw"
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.lr > 0 and self.epochs > 0 and self.batch > 0 and 0 <= self.warmup < 1):
            raise ValueError(f"learning rate, epochs and batch must be above 0, warmup in [0, 1): {self}")
        if self.optimizer not in get_args(OptimizerName):
            raise ValueError(f"unknown optimizer {self.optimizer!r}; there are {', '.join(get_args(OptimizerName))}")

    def steps(self, examples: int) -> int:
        """The number of optimizer steps for that many forget examples."""
        return self.epochs * math.ceil(examples / self.batch)


class Trainer:
    """Takes one optimizer step at a time on some parameters; `losses` keeps what each step saw."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        plan: OptimisationConfig,
        steps: int,
        *,
        processes: Processes = ALONE,
    ) -> None:
        """
        Args:
            parameters: what is trained. All processes start from the main one's values.
            plan: how to train.
            steps: the number of steps, for the schedule.
            processes: those that train together, each with its part of the loss.
        """
        self._parameters = list(parameters)
        self._processes = processes
        processes.align(self._parameters)
        kind: type[Optimizer] = AdamW if plan.optimizer == "adamw" else MoFO
        self._optimizer = kind(self._parameters, lr=plan.lr, weight_decay=plan.weight_decay)  # type: ignore[call-arg]
        warm = round(plan.warmup * steps)
        self._schedule = LambdaLR(self._optimizer, lambda step: _rate(step, warm, steps))
        self.losses: list[float] = []

    def step(self, loss: torch.Tensor) -> None:
        """Follows the gradient of a scalar loss, or of the sum of the processes' losses. Raises Diverged if it is not
        finite, in all processes."""
        whole = loss.detach().float().clone()
        self._processes.add_up([whole])
        value = float(whole)
        if not math.isfinite(value):
            words = f"the loss became {value} at step {len(self.losses) + 1}; try a lower learning rate"
            raise Diverged(words, tuple(self.losses))
        self.losses.append(value)
        self._optimizer.zero_grad(set_to_none=True)
        if loss.requires_grad:  # a process may have no row of a small batch
            loss.backward()  # type: ignore[no-untyped-call]
        self._add_up_gradients()
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimizer.step()
        self._schedule.step()

    def _add_up_gradients(self) -> None:
        if self._processes.count == 1:
            return
        for parameter in self._parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self._processes.add_up([parameter.grad for parameter in self._parameters if parameter.grad is not None])


def _rate(step: int, warm: int, steps: int) -> float:
    """The share of the learning rate at a step."""
    if step < warm:
        return (step + 1) / (warm + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
