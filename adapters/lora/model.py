"""Low-rank adapters as data: read and written in peft's format, scaled, summed, and applied to one call at a time."""

import hashlib
import json
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

__all__ = ["ADAPTER_FILES", "Lora", "LoraSwitch", "adapted", "joined", "linear_layers"]

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
ADAPTER_FILES = (_CONFIG, _WEIGHTS)
_PREFIX = "base_model.model."


@dataclass(frozen=True, eq=False)
class Lora:
    """Adds scaling * B A x to each named linear layer (Hu et al., arXiv 2106.09685).

    `layers` maps a module's name in the model to (A [rank, in_features], B [out_features, rank]), both float32.
    """

    layers: Mapping[str, tuple[Tensor, Tensor]]
    scaling: float
    read_digest: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("a LoRA needs at least one layer")
        for name, (a, b) in self.layers.items():
            if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1]:
                raise ValueError(f"layer {name}: A {tuple(a.shape)} and B {tuple(b.shape)} do not fit each other")
            if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
                raise ValueError(f"layer {name} holds values that are not finite")
        if not math.isfinite(self.scaling):
            raise ValueError(f"the scaling must be finite, got {self.scaling}")

    @property
    def rank(self) -> int:
        """The largest rank of any layer."""
        return max(a.shape[0] for a, _ in self.layers.values())

    @cached_property
    def digest(self) -> str:
        """Of the SHA-256 of its files, so that it is known of files that nobody has read yet. Only equal adapters have
        the same."""
        return self.read_digest or _digest(self._files(self.rank))

    def misfit(self, linears: Mapping[str, tuple[int, int]]) -> str | None:
        """Why the adapter does not fit a model with these linear layers, (in, out) features by name; None if it
        fits."""
        for name, (a, b) in self.layers.items():
            if name not in linears:
                return f"the model has no linear layer {name!r}"
            if (a.shape[1], b.shape[0]) != linears[name]:
                wanted = " to ".join(map(str, linears[name]))
                return f"layer {name} maps {a.shape[1]} to {b.shape[0]} features and the model's maps {wanted}"
        return None

    def save(self, folder: Path, *, rank: int | None = None) -> None:
        """Writes peft's two files into an existing folder. With `rank` the matrices are padded with zeros to that rank,
        because a server may know a few ranks only. Raises ValueError if `rank` is less than the adapter's own."""
        rank = rank or self.rank
        if rank < self.rank:
            raise ValueError(f"an adapter of rank {self.rank} cannot be written with rank {rank}")
        for name, content in self._files(rank).items():
            (folder / name).write_bytes(content)

    def _files(self, rank: int) -> dict[str, bytes]:
        tensors = {}
        for name, (a, b) in self.layers.items():
            more = rank - a.shape[0]
            tensors[f"{_PREFIX}{name}.lora_A.weight"] = nn.functional.pad(a, (0, 0, 0, more)).contiguous()
            tensors[f"{_PREFIX}{name}.lora_B.weight"] = nn.functional.pad(b, (0, more)).contiguous()
        config = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "r": rank,
            "lora_alpha": self.scaling * rank,
            "target_modules": sorted({name.rsplit(".", 1)[-1] for name in self.layers}),
            "bias": "none",
            "lora_dropout": 0.0,
            "fan_in_fan_out": False,
            "inference_mode": True,
        }
        return {_CONFIG: json.dumps(config, indent=2).encode(), _WEIGHTS: save(tensors)}

    @classmethod
    def load(cls, folder: Path) -> "Lora":
        """Reads peft's two files. Raises ValueError for anything but a plain LoRA."""
        try:
            files = {name: (folder / name).read_bytes() for name in ADAPTER_FILES}
            config, tensors = json.loads(files[_CONFIG]), load(files[_WEIGHTS])
            _refuse_other_kinds(config)
            scaling = float(config["lora_alpha"]) / int(config["r"])
            pairs = {_layer(name) for name in tensors}
            layers = {
                name: (
                    tensors[f"{_PREFIX}{name}.lora_A.weight"].float(),
                    tensors[f"{_PREFIX}{name}.lora_B.weight"].float(),
                )
                for name in sorted(pairs)
            }
        except (OSError, KeyError, TypeError, ZeroDivisionError, SafetensorError) as error:
            raise ValueError(f"{folder.name} holds no LoRA that can be read: {error!r}") from error
        return cls(layers, scaling, _digest(files))


def joined(parts: Sequence[tuple[Lora, float]]) -> Lora:
    """One adapter that acts as the weighted sum of several. Its rank is the sum of their ranks."""
    if len(parts) == 1 and parts[0][1] == 1.0:
        return parts[0][0]
    names = sorted({name for lora, _ in parts for name in lora.layers})
    layers = {}
    for name in names:
        having = [(lora.layers[name], lora.scaling * weight) for lora, weight in parts if name in lora.layers]
        down = torch.cat([a for (a, _), _ in having])
        up = torch.cat([b * factor for (_, b), factor in having], dim=1)
        layers[name] = (down, up)
    return Lora(layers, 1.0)


def linear_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers by name that an adapter can add to: linear ones, GPT-2's kind too, whose output is one tensor. The
    router of a mixture of experts may be linear and give more."""
    found = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)}
    return {name: layer for name, layer in found.items() if _gives_a_tensor(layer)}


def _gives_a_tensor(layer: Any) -> bool:
    if type(layer).forward in (nn.Linear.forward, Conv1D.forward):
        return True
    with torch.no_grad():
        given = torch.zeros(1, _features(layer)[0], device=layer.weight.device)
        return isinstance(layer(given.to(layer.weight.dtype) if layer.weight.is_floating_point() else given), Tensor)


def _features(layer: Any) -> tuple[int, int]:
    """How many go in and come out."""
    return (layer.nx, layer.nf) if isinstance(layer, Conv1D) else (layer.in_features, layer.out_features)


class LoraSwitch:
    """Lets one thread's calls of a shared model run with adapters while all others see the plain model.

    The linear layers have hooks until `close`. A hook without an adapter leaves the layer's output as it is, bit for
    bit. A context manager.
    """

    def __init__(self, model: nn.Module) -> None:
        layers = linear_layers(model)
        self.linears = {name: _features(layer) for name, layer in layers.items()}
        self._active = threading.local()
        self._placed: WeakKeyDictionary[Lora, dict[str, tuple[Tensor, Tensor]]] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._hooks = [layer.register_forward_hook(self._hook(name)) for name, layer in layers.items()]

    def __enter__(self) -> "LoraSwitch":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Removes the hooks."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    @contextmanager
    def applied(self, parts: Sequence[tuple[Lora, float]]) -> Iterator[None]:
        """Inside the context, this thread's forward passes have these adapters added, each times its weight."""
        before = getattr(self._active, "parts", ())
        self._active.parts = tuple(parts)
        try:
            yield
        finally:
            self._active.parts = before

    def _hook(self, name: str) -> Any:
        def add(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            parts = getattr(self._active, "parts", ())
            for lora, weight in parts:
                if name in lora.layers:
                    down, up = self._on(lora, name, inputs[0])
                    output = output + (weight * lora.scaling) * (inputs[0] @ down.T @ up.T)
            return output if parts else None

        return add

    def _on(self, lora: Lora, name: str, like: Tensor) -> tuple[Tensor, Tensor]:
        """A layer's matrices on the device and in the dtype of its activations, moved once. The layers of a model may
        lie on several devices."""
        with self._lock:
            placed = self._placed.setdefault(lora, {})
            if name not in placed:
                down, up = lora.layers[name]
                placed[name] = (down.to(like), up.to(like))
            return placed[name]


@contextmanager
def adapted(model: nn.Module, parts: Sequence[tuple[Lora, float]]) -> Iterator[None]:
    """Inside the context, this thread has the model with these adapters added, each times its weight."""
    if not parts:
        yield
        return
    with LoraSwitch(model) as switch, switch.applied(parts):
        yield


def _digest(files: Mapping[str, bytes]) -> str:
    hashes = [hashlib.sha256(files[name]).hexdigest() for name in ADAPTER_FILES]
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def _layer(tensor_name: str) -> str:
    for part in ("lora_A", "lora_B"):
        ending = f".{part}.weight"
        if tensor_name.startswith(_PREFIX) and tensor_name.endswith(ending):
            return tensor_name[len(_PREFIX) : -len(ending)]
    raise ValueError(f"the adapter holds {tensor_name!r}, which is no part of a plain LoRA")


def _refuse_other_kinds(config: Mapping[str, Any]) -> None:
    """Refuses options that change the meaning of the matrices. Raises ValueError."""
    plain = {"peft_type": "LORA", "bias": "none", "fan_in_fan_out": False, "use_dora": False, "use_rslora": False}
    for key, expected in plain.items():
        if config.get(key, expected) != expected:
            raise ValueError(f"the adapter has {key} = {config[key]!r}; only {expected!r} can be served")
