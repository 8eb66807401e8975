"""How much memory a model's weights take, from its files alone."""

import math
from pathlib import Path
from typing import Any

from gateway.models.folders import stored_tensors
from gateway.models.language_model import FLOATS

__all__ = ["gib", "number_bytes", "numbers_in"]


def numbers_in(folder: Path) -> int:
    """How many numbers the model's files hold. Raises ModelError."""
    return sum(math.prod(tensor.shape) for tensor in stored_tensors(folder))


def number_bytes(config: Any, folder: Path) -> int:
    """Of a weight, as the model's own text configuration has it, or its files."""
    if config.dtype is not None:
        return int(config.dtype.itemsize)
    kinds = {tensor.dtype for tensor in stored_tensors(folder)}
    return min((FLOATS[kind] for kind in kinds if kind in FLOATS), default=2)


def gib(size: int) -> str:
    """A size in words."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
