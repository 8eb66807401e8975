"""Command-line options of methods that learn by gradients."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

__all__ = ["optimised"]

_OPTIONS = frozenset({"epochs", "lr", "optimizer"})


def optimised(method: str, default: Any, options: Mapping[str, Any], *, seed: int) -> Any:
    """A training configuration with its `optimisation` changed as the user asked. Raises ValueError for other options.

    Args:
        method: the method's name, for the message.
        default: a frozen dataclass with a field `optimisation`.
        options: what the user gave, by name.
        seed: the seed of every random choice.
    """
    if unknown := sorted(options.keys() - _OPTIONS):
        flags = ", ".join(f"--{name}" for name in unknown)
        raise ValueError(f"{flags}: not for {method}, which has --epochs, --lr and --optimizer")
    return replace(default, optimisation=replace(default.optimisation, **options, seed=seed))
