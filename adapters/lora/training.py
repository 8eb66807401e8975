"""O3: an unlearning LoRA that does not undo those of earlier requests (arXiv 2407.10223, section 3.2)."""

import hashlib
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn

from adapters.batches import Example, TargetLikelihood, answer_logits, batches
from adapters.forgetting import forgetting, paired
from adapters.lora.model import Lora, linear_layers
from adapters.losses import orthogonality
from adapters.optimizers.schedule import OptimisationConfig, Trainer
from adapters.parallel import ALONE, Processes

__all__ = ["LoraTraining", "TrainedLora", "train_lora"]

_DOWN = ".lora_A.default.weight"
_PREFIX = "base_model.model.held."


@dataclass(frozen=True, slots=True)
class LoraTraining:
    """Rank, alpha and the weight of the orthogonality regulariser, as in the paper; all linear layers. `gap` is not in
    the paper (0 there): it weighs how far the true answers' likelihoods are from their targets."""

    rank: int = 8
    alpha: int = 16
    orthogonality: float = 0.1
    gap: float = 2.0
    optimisation: OptimisationConfig = field(default_factory=lambda: OptimisationConfig(lr=2e-3, epochs=15, batch=4))

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0 or min(self.orthogonality, self.gap) < 0:
            raise ValueError(f"rank and alpha must be above 0, orthogonality and gap not below: {self}")


@dataclass(frozen=True, slots=True)
class TrainedLora:
    """The adapter, the loss of every step, and the regulariser's value against the earlier adapters at the end."""

    lora: Lora
    losses: tuple[float, ...]
    overlap: float


def train_lora(
    model: Any,
    *,
    forget: Sequence[Example],
    earlier: Sequence[Lora],
    training: LoraTraining,
    likelihoods: Sequence[TargetLikelihood] = (),
    progress: Callable[[int, int, float], None] = lambda *_: None,
    processes: Processes = ALONE,
) -> TrainedLora:
    """Learns neutral answers for the forget rows, orthogonally to the `earlier` requests' adapters.

    The model itself is as before when this returns or raises. Raises ValueError without forget rows, Diverged, and
    Disconnected. Processes that train together give the same rows, and the main one the earlier adapters.

    Args:
        model: a causal language model.
        forget: rows with neutral answers.
        earlier: the adapters of earlier forget requests, which the new one must not disturb.
        training: rank, learning rate and weights of the losses.
        likelihoods: the forget rows' true answers with their target likelihoods, in the same order, or none.
        progress: is told the steps done, their number, and the loss.
        processes: those that train together.
    """
    pairs = paired(forget, likelihoods)
    plan = training.optimisation
    torch.manual_seed(_seed(plan.seed, earlier))
    rng = random.Random(plan.seed)
    steps = plan.steps(len(forget))
    with _adapted(model, training) as adapted:
        downs = _downs(adapted)
        before = _matching(earlier, downs)
        _start_apart(downs, before)
        trainer = Trainer((p for p in adapted.parameters() if p.requires_grad), plan, steps, processes=processes)
        loss_of = partial(
            forgetting, partial(answer_logits, adapted), gap=training.gap, device=model.device, processes=processes
        )
        for _ in range(plan.epochs):
            for rows in batches(pairs, plan.batch, rng):
                loss = loss_of(rows)
                if processes.main:  # no row has a part in this term, so one process adds it
                    loss = loss + training.orthogonality * _overlap(downs, before)
                trainer.step(loss)
                progress(len(trainer.losses), steps, trainer.losses[-1])
        with torch.no_grad():
            overlap = float(_overlap(downs, before))
        return TrainedLora(_taken(adapted, training), tuple(trainer.losses), overlap)


class _Held(nn.Module):
    """A model without its config. By that peft would know a mixture of experts, take its linear layers for those of an
    earlier release of transformers, and adapt the tensors of all experts, which no backend serves."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.held = model

    def forward(self, *given: Any, **named: Any) -> Any:
        return self.held(*given, **named)


@contextmanager
def _adapted(model: Any, training: LoraTraining) -> Iterator[PeftModel]:
    head = model.get_output_embeddings()
    names = [f"held.{name}" for name, layer in linear_layers(model).items() if layer is not head]
    config = LoraConfig(r=training.rank, lora_alpha=training.alpha, target_modules=names, lora_dropout=0.0)
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for something in an old way
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to False")  # it finds GPT-2's layers by itself
        adapted = get_peft_model(_Held(model), config)
    try:
        yield adapted
    finally:
        adapted.unload()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in trainable)


def _downs(adapted: PeftModel) -> dict[str, Tensor]:
    """The trained A matrices by layer."""
    return {
        name[len(_PREFIX) : -len(_DOWN)]: parameter
        for name, parameter in adapted.named_parameters()
        if name.endswith(_DOWN)
    }


def _matching(earlier: Sequence[Lora], downs: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    return [{name: pair[0].to(downs[name]) for name, pair in lora.layers.items() if name in downs} for lora in earlier]


def _seed(seed: int, earlier: Sequence[Lora]) -> int:
    """A different seed for each further request. With the same draw, its A would lie in the first request's row
    space."""
    if not earlier:
        return seed
    digests = " ".join(sorted(lora.digest for lora in earlier))
    return int.from_bytes(hashlib.sha256(f"{seed} {digests}".encode()).digest()[:6], "big")


def _start_apart(downs: dict[str, Tensor], before: Sequence[dict[str, Tensor]]) -> None:
    """Removes from each A, as it was drawn, the part in the earlier requests' row spaces, and keeps the lengths of its
    rows.

    The regulariser then only has to keep what is so already. From a random start it is ten times the forget loss as
    soon as there are earlier adapters: the steps would serve the regulariser and not forgetting.
    """
    for name, down in downs.items():
        taken = [of_one[name] for of_one in before if name in of_one]
        if not taken or sum(len(rows) for rows in taken) >= down.shape[1]:
            continue  # nothing to keep away from, or no direction left
        basis = torch.linalg.qr(torch.cat(taken).float().T).Q  # [in_features, earlier ranks]
        with torch.no_grad():
            free = down - (down @ basis) @ basis.T
            free = free - (free @ basis) @ basis.T  # once more, because of rounding
            down.copy_(free * (down.norm(dim=1, keepdim=True) / free.norm(dim=1, keepdim=True)))


def _overlap(downs: dict[str, Tensor], before: Sequence[dict[str, Tensor]]) -> Tensor:
    total = torch.zeros((), device=next(iter(downs.values())).device)
    for of_one in before:
        names = [name for name in downs if name in of_one]
        overlap = orthogonality([downs[name] for name in names], [[of_one[name] for name in names]])
        total = total + overlap.to(total.device)
    return total


def _taken(adapted: PeftModel, training: LoraTraining) -> Lora:
    parameters = dict(adapted.named_parameters())
    layers = {}
    for name, down in _downs(adapted).items():
        up = parameters[f"{_PREFIX}{name}.lora_B.default.weight"]
        layers[name] = (down.detach().float().cpu().clone(), up.detach().float().cpu().clone())
    return Lora(layers, training.alpha / training.rank)
