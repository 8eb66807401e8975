"""A tiny model that must forget some of the facts it knows by heart: who, how, and what came of it."""

import copy
from dataclasses import dataclass, field
from typing import Any, get_args

import torch
from memory import EAT, NAMES, Memory
from torch import Tensor

from adapters.batches import Example
from adapters.optimizers.schedule import OptimisationConfig
from adapters.weights.training import LossCurves, Target, UnlearningConfig, WeightMethod, unlearn
from gateway.models.language_model import LanguageModel

FORGOTTEN, KEPT = NAMES[3:7], (*NAMES[:3], *NAMES[7:])
METHODS: tuple[WeightMethod, ...] = get_args(WeightMethod)
TARGETS: tuple[Target, ...] = get_args(Target)


@dataclass(frozen=True)
class Run:
    """What a method needs to forget four of the tiny model's facts."""

    full: float = 1e-3
    lora: float = 5e-3
    epochs: int = 60
    options: dict[str, Any] = field(default_factory=lambda: {"alpha": 2.0})


RUNS: dict[WeightMethod, Run] = {
    "ga": Run(options={}),
    "simnpo": Run(options={}),
    "undial": Run(full=3e-3, lora=1e-2),
    "rmu": Run(full=1e-2, lora=1e-2, epochs=100, options={"layer": 1}),
    "whp": Run(options={"alpha": 2.0, "reinforcement": OptimisationConfig(lr=2e-3, epochs=5, batch=4)}),
}


def run_plan(method: WeightMethod, target: Target, **changes: Any) -> UnlearningConfig:
    known = RUNS.get(method, Run())
    how = OptimisationConfig(lr=getattr(known, target), epochs=known.epochs, batch=4)
    return UnlearningConfig(method, target, how, **{**known.options, **changes})


def plan(
    method: WeightMethod, target: Target = "full", *, lr: float = 1e-3, epochs: int = 2, **options: Any
) -> UnlearningConfig:
    return UnlearningConfig(method, target, OptimisationConfig(lr=lr, epochs=epochs, batch=4), **options)


def copied(memory: Memory) -> Memory:
    return Memory(LanguageModel(copy.deepcopy(memory.base.model), memory.base.tokenizer))


def forget_rows(memory: Memory) -> list[Example]:
    return [memory.true(name) for name in FORGOTTEN]


def idk_rows(memory: Memory) -> list[Example]:
    return [memory.neutral(name) for name in FORGOTTEN]


def retain_rows(memory: Memory) -> list[Example]:
    return [memory.true(name) for name in KEPT] + [memory.true(name, EAT) for name in NAMES]


def forget(memory: Memory, how: UnlearningConfig, **options: Any) -> LossCurves:
    rows = {"idk": idk_rows(memory), **options}
    return unlearn(memory.base.model, forget_rows(memory), retain_rows(memory), how, **rows)


def still_known(memory: Memory) -> int:
    return sum(memory.knows(name) for name in FORGOTTEN)


def retained(memory: Memory) -> int:
    return sum(memory.knows(name) for name in KEPT) + sum(memory.knows(name, EAT) for name in NAMES)


def weights(model: Any) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def moved(model: Any, before: dict[str, Tensor]) -> set[str]:
    after = model.state_dict()
    assert after.keys() == before.keys()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def is_frozen(model: Any) -> bool:
    return all(not parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
