"""A BERT encoder as a pure function of its frozen weights: every layer's hidden states, with or without a scope's LoRA.

Nothing is registered, swapped or hooked for a call, so any number of threads and scopes share one set of weights and
none sees another's adapter.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from classifiers.encoder.windows import Cut, Cutter

__all__ = ["PROJECTIONS", "Adapter", "Backbone"]

_BATCH_WINDOWS = 32
PROJECTIONS = ("query", "key", "value")

Array = NDArray[np.float32]


class Adapter(NamedTuple):
    """LoRA of the attention inputs (arXiv 2106.09685): W x becomes W x + up (down x). `up` holds the scaling.

    `down` [blocks, 3, rank, hidden] and `up` [blocks, 3, hidden, rank], in the order of `PROJECTIONS`.
    """

    down: Tensor
    up: Tensor


class Backbone:
    """The weights of a BERT folder in float32 (all-MiniLM-L6-v2: 6 blocks, 384 dimensions). Thread-safe."""

    def __init__(self, folder: Path) -> None:
        """`folder` holds config.json, model.safetensors and a tokenizer. Raises ValueError for another architecture."""
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config.get("model_type") != "bert" or config.get("hidden_act") != "gelu":
            raise ValueError(
                f"the out-of-distribution detector reads BERT encoders with GELU, such as all-MiniLM-L6-v2, and "
                f"{folder.name} holds {config.get('model_type')!r} with {config.get('hidden_act')!r}"
            )
        self.hidden = int(config["hidden_size"])
        self.blocks = int(config["num_hidden_layers"])
        self._heads = int(config["num_attention_heads"])
        self._epsilon = float(config["layer_norm_eps"])
        self._weights = _weights(folder / "model.safetensors")
        self.cutter = Cutter(folder)

    @property
    def vocabulary(self) -> Tensor:
        """The word embedding table [vocabulary, hidden]."""
        return self._weights["embeddings.word_embeddings.weight"]

    def hidden_states(self, ids: Tensor, mask: Tensor, adapter: Adapter | None = None) -> list[Tensor]:
        """blocks + 1 tensors [batch, length, hidden]: the embedding output and every block's, for token `ids` and
        `mask` [batch, length]. Gradients flow to `adapter` if it asks for them."""
        positions = self._weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
        segment = self._weights["embeddings.token_type_embeddings.weight"][0]
        states = [self._norm(self.vocabulary[ids] + positions + segment, "embeddings.LayerNorm")]
        attended = mask[:, None, None, :].bool()
        for block in range(self.blocks):
            states.append(self._block(states[-1], attended, block, adapter))
        return states

    def pooled(self, cuts: Sequence[Cut], adapter: Adapter | None = None) -> Array:
        """Mean hidden states [windows, blocks + 1, hidden] of windows, without the padding."""
        rows = np.zeros((len(cuts), self.blocks + 1, self.hidden), dtype=np.float32)
        order = sorted(range(len(cuts)), key=lambda index: len(cuts[index].ids))  # equal lengths waste no padding
        with torch.inference_mode():
            for start in range(0, len(order), _BATCH_WINDOWS):
                batch = order[start : start + _BATCH_WINDOWS]
                ids, mask = self.padded([cuts[index] for index in batch])
                rows[batch] = mean_states(self.hidden_states(ids, mask, adapter), mask)
        return rows

    def padded(self, cuts: Sequence[Cut]) -> tuple[Tensor, Tensor]:
        """Token ids and mask, integers [windows, length]; see Cutter."""
        ids, mask = self.cutter.padded(cuts)
        return torch.from_numpy(ids), torch.from_numpy(mask)

    def _block(self, states: Tensor, attended: Tensor, block: int, adapter: Adapter | None) -> Tensor:
        at = f"encoder.layer.{block}"
        query, key, value = (
            self._projected(states, f"{at}.attention.self.{name}", adapter, (block, index))
            for index, name in enumerate(PROJECTIONS)
        )
        context = functional.scaled_dot_product_attention(query, key, value, attn_mask=attended)
        joined = context.transpose(1, 2).flatten(2)
        states = self._norm(
            states + self._linear(joined, f"{at}.attention.output.dense"), f"{at}.attention.output.LayerNorm"
        )
        inner = functional.gelu(self._linear(states, f"{at}.intermediate.dense"))
        return self._norm(states + self._linear(inner, f"{at}.output.dense"), f"{at}.output.LayerNorm")

    def _projected(self, states: Tensor, name: str, adapter: Adapter | None, at: tuple[int, int]) -> Tensor:
        """[batch, heads, length, hidden / heads]."""
        projected = self._linear(states, name)
        if adapter is not None:
            projected = projected + (states @ adapter.down[at].T) @ adapter.up[at].T
        return projected.view(*projected.shape[:2], self._heads, -1).transpose(1, 2)

    def _linear(self, states: Tensor, name: str) -> Tensor:
        return functional.linear(states, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, states: Tensor, name: str) -> Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return functional.layer_norm(states, (self.hidden,), weight, bias, self._epsilon)


def mean_states(states: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Means over the tokens, [batch, layers, hidden], of hidden states [batch, length, hidden] under `mask`."""
    weights = (mask / mask.sum(1, keepdim=True)).to(states[0].dtype)
    return torch.stack([torch.einsum("bth,bt->bh", layer, weights) for layer in states], dim=1)


def _weights(path: Path) -> dict[str, Tensor]:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"cannot read the encoder's weights in {path.name}: {error}") from error
    named = {name.removeprefix("bert."): tensor for name, tensor in tensors.items()}
    return {name: tensor.float() for name, tensor in named.items() if tensor.is_floating_point()}
