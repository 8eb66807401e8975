"""The memory: whether what `unrecall serve` loads fits into what is free."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.doctor.finding import Finding, failed, ok, warning
from gateway.doctor.parts import Parts

__all__ = ["Need", "memory", "need_of"]


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that the gateway loads at its start, and those of all answers that it can be making at once, at their
    longest: their keys and values. `what` is loaded, in words."""

    what: str
    loaded: int
    answers: int = 0

    @property
    def total(self) -> int:
        """With the longest answers in all slots."""
        return self.loaded + self.answers


def memory(parts: Parts, serves: Callable[[], bool] = lambda: False) -> Iterator[Finding]:
    """Compares what is needed with what is free: on the GPU for a model that is loaded there.

    Args:
        parts: what was found of the model.
        serves: whether a gateway serves already. Then its memory is not free, and this check tells nothing of it.
    """
    from gateway.models.devices import device_named, free_bytes
    from gateway.models.sizes import gib

    if parts.folder is None:
        return
    device = device_named("auto" if parts.settings.backend == "embedded" else "cpu")
    need, free = need_of(parts.folder, parts.settings.backend, parts.settings.slots), free_bytes(device)
    place = "GPU memory" if device.type == "cuda" else "memory"
    told = f"{need.what} {gib(need.loaded)}" + (f", long answers up to {gib(need.answers)} more" * bool(need.answers))
    if free is None:
        yield warning("memory", f"{told}; this system does not tell how much is free: look yourself")
    elif serves():
        yield ok("memory", f"{told}; a gateway serves already, and {gib(free)} of {place} are free beside it")
    elif free < need.loaded:
        yield failed("memory", f"{told}, and {gib(free)} of {place} are free: {_advice(parts, place)}")
    elif free < need.total:
        yield warning(
            "memory",
            f"{told}, and {gib(free)} of {place} are free: with fewer slots ({parts.settings.slots} now) or more "
            "memory no long answer fails",
        )
    else:
        yield ok("memory", f"{told}; {gib(free)} of {place} are free")


def need_of(folder: Path, backend: str, slots: int) -> Need:
    """What serving the model in a folder takes: with vLLM the table of embeddings alone. Raises ModelError."""
    from gateway.models.language_model import configuration
    from gateway.models.sizes import number_bytes, numbers_in

    config = configuration(folder).get_text_config()
    each = number_bytes(config, folder)
    if backend == "vllm":
        return Need("the model's table of embeddings takes", config.vocab_size * config.hidden_size * each)
    return Need("the model takes", numbers_in(folder) * each, slots * _cached(config) * each)


def _cached(config: Any) -> int:
    """How many numbers the keys and values of one context are; 0 for a configuration without the usual figures."""
    from gateway.training.memory import ModelShape

    try:
        shape = ModelShape.of(config)
        return 2 * shape.layers * shape.kv_heads * shape.head_dim * int(config.max_position_embeddings)
    except (AttributeError, TypeError, ZeroDivisionError):
        return 0


def _advice(parts: Parts, place: str) -> str:
    if parts.settings.backend == "vllm":
        return "close other programs, or take a machine with more memory"
    return (
        f"close what else takes {place}, take a smaller model or a machine with more, or let a vLLM hold it "
        "(--backend vllm --upstream URL)"
    )
