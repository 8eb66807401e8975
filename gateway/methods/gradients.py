"""Shared by the methods that learn by gradients: options, the choice of the artifact to serve, loss curves."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.methods.curves import curve_png

if TYPE_CHECKING:
    from corruption.objective import Outcome

__all__ = ["ALL", "SERVED", "TRAIN", "forgets_no_worse", "loss_files", "optimised", "with_extras"]

# A pack learns every forget row; its figures are of an artifact that never saw the held-out rows.
TRAIN, ALL = "training rows", "all rows"
SERVED = {True: "learned all rows, those held out too", False: "never saw the rows held out"}

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


def forgets_no_worse(final: "Outcome", measured: Any) -> bool:
    """Whether the artifact of all rows forgets the held-out rows no worse than the artifact that never saw them. If it
    does worse, its training went wrong, and the other one is served.

    Args:
        final: how the model answers the held-out rows with the artifact of all rows.
        measured: figures, on the held-out rows, of the artifact of the training rows.
    """
    first = measured.guarded
    return bool(final.leak_rate <= first.leak_rate and final.probability <= first.probability)


def with_extras(figures: Any, **extras: Any) -> Any:
    """Held-out figures with more of the method's own."""
    return figures.model_copy(update={"extras": {**figures.extras, **extras}})


def loss_files(losses: Sequence[float]) -> dict[str, bytes]:
    """The loss of every step, as JSON and as a picture."""
    curves = {"loss": list(losses)}
    return {
        "curve.json": json.dumps(curves).encode(),
        "curve.png": curve_png(curves, step="optimizer step", value="loss"),
    }
