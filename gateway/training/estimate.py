"""Whether a training fits into memory, told before anything is loaded."""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from gateway.errors import SetupError
from gateway.models.folders import stored_tensors
from gateway.models.language_model import FLOATS, configuration, load_tokenizer
from gateway.models.loading import Loading
from gateway.packs.folders import list_packs
from gateway.prompts.rendering import render
from gateway.training.config import Training
from gateway.training.memory import Memory, ModelShape, TrainingStep, memory_of
from gateway.training.scope_file import Row, Scope
from gateway.training.sources import asked

__all__ = ["Estimate", "estimate_of", "free_bytes", "gib"]

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
    """How many numbers the model's files hold beside those of the shape, and the files of the reference model."""

    @property
    def total(self) -> int:
        """Bytes of all processes that share the device."""
        return self.memory.total * (1 if self.on_gpu else self.processes_here)

    @property
    def line(self) -> str:
        """In words."""
        step = f"{gib(self.memory.weights)} of weights and {gib(max(self.memory.step, self.memory.evaluation))} to work"
        free = "" if self.free is None else f"; {gib(self.free)} are free"
        return f"training takes about {gib(self.total)} of {self._place} memory ({step}){free}"

    def check(self) -> None:
        """Raises SetupError if the memory is sure not to be enough: with the figure, and what to do."""
        if self.free is not None and self.free < _SURE * self.total:
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
        more = "" if self.loading.shard or not self.on_gpu else ", or spread the model over several GPUs with --shard"
        return f"take a machine with more memory{more}"


def estimate_of(
    scope: Scope,
    training: Training,
    folder: Path,
    out: Path,
    *,
    tokenizer: Any = None,
    reference: Path | None = None,
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
        number_bytes=_number_bytes(config, folder),
    )
    on_gpu = torch.cuda.is_available()
    weights = sum(map(_numbers_in, filter(None, (folder, reference))))
    estimate = Estimate(
        shape,
        step,
        training.loading,
        Memory(0),
        free=free_bytes(shard=training.loading.shard),
        on_gpu=on_gpu,
        processes_here=int(os.environ.get("LOCAL_WORLD_SIZE", processes)) if processes > 1 else 1,
        other_weights=weights - shape.parameters,
    )
    return _with(estimate, training.loading)


def gib(size: int) -> str:
    """A size in words."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


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


def _numbers_in(folder: Path) -> int:
    return sum(math.prod(tensor.shape) for tensor in stored_tensors(folder))


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


def _number_bytes(config: Any, folder: Path) -> int:
    """Of a weight as the model's own config has it, or its files."""
    if config.dtype is not None:
        return int(config.dtype.itemsize)
    kinds = {tensor.dtype for tensor in stored_tensors(folder)}
    return min((FLOATS[kind] for kind in kinds if kind in FLOATS), default=2)


def free_bytes(*, shard: bool = False) -> int | None:
    """Free bytes of the current GPU (or of all, for a model that is spread), or else of main memory; None if the system
    does not tell."""
    if torch.cuda.is_available():
        places = range(torch.cuda.device_count()) if shard else [torch.cuda.current_device()]
        return sum(torch.cuda.mem_get_info(place)[0] for place in places)
    found = [size for size in (_free_of_machine(), _free_of_group()) if size is not None]
    return min(found, default=None)


def _free_of_machine() -> int | None:
    lines = _numbers(Path("/proc/meminfo"))
    return lines["MemAvailable:"] * 1024 if "MemAvailable:" in lines else None


def _free_of_group(group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What a container's limit leaves; pages of files that were read count as free."""
    try:
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return int(limit) - int(used) + _numbers(group / "memory.stat").get("inactive_file", 0)
    except (OSError, ValueError):
        return None  # no limit, or no such file


def _numbers(path: Path) -> dict[str, int]:
    try:
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return {}
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}
