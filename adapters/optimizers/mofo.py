"""MoFO, the momentum-filtered optimiser: fine-tuning that stays near where it started.

Unlearning also harms other knowledge. An optimiser that moves few entries at a time harms it less.
"""

from collections.abc import Callable, Mapping
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

__all__ = ["MoFO"]


class MoFO(Optimizer):
    """AdamW that moves, in each parameter tensor, only the entries of largest momentum (arXiv 2407.20999).

    At every step the k = max(1, round(fraction * entries)) entries with the largest |first moment| are updated.
    Moments are updated everywhere, and decoupled weight decay reaches all entries. The paper's fraction is .05 to .2;
    1 is AdamW. Parameter groups may override every option. ValueError on options out of range, on sparse
    gradients and on complex ones; a refused step changes nothing.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        fraction: float = 0.1,
    ) -> None:
        """
        Args:
            params: the parameters, or groups of them, as any torch optimizer takes them.
            lr: the learning rate.
            betas: decay of the two moments.
            eps: keeps the division finite.
            weight_decay: decoupled from the gradient, as AdamW has it.
            fraction: of the entries of each parameter that a step updates: those with the largest momentum.
        """
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "fraction": fraction}
        _check_options(defaults)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As in torch, after checking the group's options."""
        _check_options({**self.defaults, **param_group})
        super().add_param_group(param_group)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of every parameter that has a gradient; returns the closure's loss, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        moving = [(p, p.grad, group) for group in self.param_groups for p in group["params"] if p.grad is not None]
        for _, gradient, _ in moving:
            _check_gradient(gradient)
        for parameter, gradient, group in moving:
            self._update(parameter, gradient, group)
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, group: Mapping[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state.update(step=0, exp_avg=torch.zeros_like(parameter), exp_avg_sq=torch.zeros_like(parameter))
        state["step"] += 1
        beta1, beta2 = group["betas"]
        first, second = state["exp_avg"], state["exp_avg_sq"]
        first.lerp_(gradient, 1 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)

        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        deviation = (second.sqrt() / (1 - beta2 ** state["step"]) ** 0.5).add_(group["eps"])
        move = torch.where(_largest(first, group["fraction"]), first / deviation, 0.0)
        parameter.add_(move, alpha=-group["lr"] / (1 - beta1 ** state["step"]))


def _largest(momentum: Tensor, fraction: float) -> Tensor:
    """Bool, of momentum's shape: its `fraction` largest entries by magnitude, at least one, ties cut at the count."""
    chosen = momentum.abs().flatten().topk(max(1, round(fraction * momentum.numel())), sorted=False).indices
    mask = torch.zeros(momentum.numel(), dtype=torch.bool, device=momentum.device)
    return mask.index_fill_(0, chosen, True).view(momentum.shape)


def _check_gradient(gradient: Tensor) -> None:
    if gradient.layout != torch.strided or gradient.is_complex():
        raise ValueError("MoFO takes dense real gradients only")


def _check_options(options: Mapping[str, Any]) -> None:
    for name in ("lr", "eps", "weight_decay"):
        if not 0 <= options[name] < float("inf"):
            raise ValueError(f"{name} must be finite and not negative, got {options[name]}")
    if len(options["betas"]) != 2 or not all(0 <= beta < 1 for beta in options["betas"]):
        raise ValueError(f"betas must be two numbers in [0, 1), got {options['betas']}")
    if not 0 < options["fraction"] <= 1:
        raise ValueError(f"fraction must lie in (0, 1], got {options['fraction']}")
