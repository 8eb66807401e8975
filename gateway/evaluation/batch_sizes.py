"""How many rows a model answers together: as many as the free memory of its device holds."""

from collections.abc import Callable
from typing import Any

import torch

from gateway.models.devices import free_bytes

__all__ = ["BatchSize", "by_memory", "row_bytes"]

BatchSize = Callable[[int, int], int]
"""How many rows may be together, by the tokens of the longest and by those of them that need logits."""
_ON_CPU = 16  # more of them save no time
_ON_GPU = 128
_SHARE = 0.5  # of the free memory; the rest is for the gaps of the allocator, and for other processes


def by_memory(model: Any) -> BatchSize:
    """Of a causal language model in memory. The size is a power of two, so that a little more or less free memory does
    not change which rows are together."""

    def rows_at_once(tokens: int, columns: int) -> int:
        device = torch.device(model.device)
        size = row_bytes(model.config.get_text_config(), tokens, columns, model.dtype.itemsize)
        most, free = (_ON_GPU if device.type == "cuda" else _ON_CPU), free_bytes(device)
        if size is None or free is None:
            return _ON_CPU
        fits = max(1, int(_SHARE * free / size))
        return min(most, 1 << (fits.bit_length() - 1))

    return rows_at_once


def row_bytes(config: Any, tokens: int, columns: int, number_bytes: int) -> int | None:
    """Bytes of one row: its keys and values, the widest layer's work, and its logits, once more in float32. None for a
    configuration that has not the usual numbers.

    Args:
        config: a text configuration of transformers.
        tokens: of the row, its answer counted.
        columns: tokens of the row for which there are logits.
        number_bytes: of an activation.
    """
    try:
        hidden, heads, layers = config.hidden_size, config.num_attention_heads, config.num_hidden_layers
        kv_heads = getattr(config, "num_key_value_heads", None) or heads
        head_dim = getattr(config, "head_dim", None) or hidden // heads
        wide = getattr(config, "intermediate_size", None) or 4 * hidden
        cached = tokens * layers * 2 * kv_heads * head_dim * number_bytes
        passing = tokens * 3 * wide * number_bytes
        return int(cached + passing + columns * config.vocab_size * (number_bytes + 4))
    except (AttributeError, TypeError, ZeroDivisionError):
        return None
