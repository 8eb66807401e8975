"""Whether a training fits into memory, told before anything is loaded."""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from gateway.errors import SetupError
from gateway.models.devices import device_named, free_bytes
from gateway.models.language_model import configuration, load_tokenizer
from gateway.models.loading import Loading
from gateway.models.sizes import gib, number_bytes, numbers_in
from gateway.packs.folders import list_packs
from gateway.prompts.rendering import render
from gateway.training.config import Training
from gateway.training.memory import EVALUATED, Memory, ModelShape, TrainingStep, memory_of
from gateway.training.scope_file import Row, Scope
from gateway.training.sources import asked

__all__ = ["Estimate", "check_reference", "estimate_of", "memory_ran_out"]

_NEUTRAL_TOKENS = 65  # the longest answer that a method learns, and the token that ends it
_SURE = 0.8  # an estimate is right within a fifth: below this share of it, it is sure not to fit
_SMALLER = (
    {"gradient_checkpointing": True},
    {"dtype": "bfloat16"},
    {"dtype": "bfloat16", "gradient_checkpointing": True},
    {"dtype": "auto", "load_in_8bit": True},
    {"dtype": "auto", "load_in_8bit": True, "gradient_checkpointing": True},
)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a training takes on its device, and how much is free there (None: not known)."""

    shape: ModelShape
    step: TrainingStep
    loading: Loading
    memory: Memory
    free: int | None
    on_gpu: bool
    processes_here: int = 1
    other_weights: int = 0
    """How many numbers the model's files hold beside those of the shape, and those of a reference model there."""

    @property
    def total(self) -> int:
        """Bytes of all processes that share the device."""
        return self.memory.total * (1 if self.on_gpu else self.processes_here)

    @property
    def least(self) -> int:
        """The same if answers are made one at a time, as they are where memory is short."""
        memory = self.memory
        peak = memory.weights + max(memory.step, memory.evaluation // EVALUATED)
        return peak * (1 if self.on_gpu else self.processes_here)

    @property
    def line(self) -> str:
        """In words."""
        step = f"{gib(self.memory.weights)} of weights and {gib(max(self.memory.step, self.memory.evaluation))} to work"
        free = "" if self.free is None else f"; {gib(self.free)} are free"
        return f"training takes about {gib(self.total)} of {self._place} memory ({step}){free}"

    def check(self) -> None:
        """Raises SetupError if the memory is sure not to be enough: with the figures, and what to do."""
        if self.free is not None and self.free < _SURE * self.least:
            raise SetupError(f"{self.line}: {self._advice()}")

    @property
    def _place(self) -> str:
        return "GPU" if self.on_gpu else "main"

    def _advice(self) -> str:
        for change in _SMALLER:
            loading, changed = replace(self.loading, **change), []
            for name, value in change.items():
                if value != "auto" and getattr(self.loading, name) != value:
                    changed.append(f"--{name.replace('_', '-')}{'' if value is True else f' {value}'}")
            total = _with(self, loading).total
            if changed and total <= (self.free or 0):
                return f"with {' '.join(changed)} it takes about {gib(total)}"
        if not self.on_gpu:
            return "take a machine with more memory"
        if self.loading.shard:
            return "take a machine with more memory, or close what else runs on the GPUs"
        return (
            "take a machine with more memory, close what else runs on this GPU, choose another with --device cuda:N, "
            "or spread the model over several with --shard"
        )


def estimate_of(
    scope: Scope,
    training: Training,
    folder: Path,
    out: Path,
    *,
    tokenizer: Any = None,
    reference: Path | None = None,
    reference_device: str | None = None,
    processes: int = 1,
) -> Estimate | None:
    """The estimate of a training; None for a model whose configuration has not the usual numbers. Raises ModelError.

    Args:
        scope: the scope, whose rows are counted in tokens.
        training: the method, its configuration, and how the model is held.
        folder: of the base model.
        out: the folder of packs, whose adapters a new one is kept apart from.
        tokenizer: of the base model, if it is loaded already.
        reference: the folder of the reference model, if there is one.
        reference_device: where it is to be. None: beside the base model.
        processes: how many share a batch.
    """
    config = configuration(folder).get_text_config()
    try:
        shape = ModelShape.of(config)
    except (AttributeError, TypeError, ZeroDivisionError):
        return None
    step = replace(
        _step(scope, training, tokenizer or load_tokenizer(folder), processes),
        earlier=len(list_packs(out)) if training.method == "lora" and out.is_dir() else 0,
        number_bytes=number_bytes(config, folder),
    )
    device = device_named(training.loading.device)
    beside = reference if reference_device is None or device_named(reference_device) == device else None
    weights = sum(map(numbers_in, filter(None, (folder, beside))))
    estimate = Estimate(
        shape,
        step,
        training.loading,
        Memory(0),
        free=_free(training.loading),
        on_gpu=device.type == "cuda",
        processes_here=int(os.environ.get("LOCAL_WORLD_SIZE", processes)) if processes > 1 else 1,
        other_weights=weights - shape.parameters,
    )
    return _with(estimate, training.loading)


def check_reference(folder: Path, loading: Loading) -> None:
    """Raises SetupError, with the figures, if the device that `loading` names is sure not to hold the reference model
    in this folder."""
    device = device_named(loading.device)
    sizes = {"float32": 4, "bfloat16": 2}
    each = sizes.get(loading.dtype) or number_bytes(configuration(folder).get_text_config(), folder)
    needed, free = numbers_in(folder) * each, free_bytes(device)
    if free is not None and free < needed:
        raise SetupError(
            f"the reference model takes {gib(needed)} on {device}, where {gib(free)} are free: put it elsewhere with "
            "--reference-device (cuda:N, or cpu, which is slower), or leave --reference out"
        )


def memory_ran_out(error: torch.OutOfMemoryError, estimate: Estimate | None, loading: Loading) -> SetupError:
    """What to tell the operator when a GPU's memory ran out in the middle of a training.

    Args:
        error: as torch has it.
        estimate: of the training, if there is one.
        loading: how the model was held.
    """
    figure = f" It was estimated that the {estimate.line}." if estimate else ""
    advice = estimate._advice() if estimate else "take a GPU with more memory"
    free = _free(loading)
    now = "" if free is None else f" Now {gib(free)} are free."
    return SetupError(
        f"the GPU ran out of memory, and nothing was written.{figure}{now} Another program may have taken what was "
        f"free before; else {advice}. torch says: {str(error).splitlines()[0]}"
    )


def _with(estimate: Estimate, loading: Loading) -> Estimate:
    """The same training with the model held in another way."""
    sizes = {"float32": 4, "bfloat16": 2}
    step = replace(
        estimate.step,
        number_bytes=2 if loading.load_in_8bit else sizes.get(loading.dtype, estimate.step.number_bytes),
        checkpointing=loading.gradient_checkpointing,
        eight_bit=loading.load_in_8bit,
    )
    memory = memory_of(estimate.shape, step)
    weights = memory.weights + estimate.other_weights * step.number_bytes
    return replace(estimate, step=step, loading=loading, memory=replace(memory, weights=weights))


def _step(scope: Scope, training: Training, tokenizer: Any, processes: int) -> TrainingStep:
    """The largest step that the scope's rows can make."""
    settings, method = training.settings, training.method
    trains = hasattr(settings, "optimisation")
    retained = scope.retain if method == "soft-prompt" else ()
    prompts = [len(render(tokenizer, asked(row.prompt)).ids) for row in (*scope.forget, *retained)]
    answers = [_NEUTRAL_TOKENS, *_answers(tokenizer, (*scope.forget, *retained))]
    batch = min(settings.optimisation.batch, len(scope.forget)) if trains else 1
    return TrainingStep(
        method if trains else "corruption",
        rows=math.ceil(batch / processes),
        prompt=max(prompts),
        answer=max(answers),
        spread=max(prompts) - min(prompts),
        rank=getattr(settings, "rank", 8),
        virtual=getattr(settings, "tokens", 30),
        passes=1 + bool(getattr(settings, "gap", 0)) + bool(retained),
    )


def _answers(tokenizer: Any, rows: Sequence[Row]) -> Iterator[int]:
    return (len(tokenizer(row.response, add_special_tokens=False)["input_ids"]) + 1 for row in rows)


def _free(loading: Loading) -> int | None:
    """Free bytes of the model's device, or of all GPUs for a model that is spread."""
    if loading.shard:
        return sum(free_bytes(torch.device("cuda", number)) or 0 for number in range(torch.cuda.device_count()))
    return free_bytes(device_named(loading.device))
