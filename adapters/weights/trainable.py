"""Which weights of a model learn, its own or those of a LoRA, and what the model computed before they did."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from adapters.batches import Batch, answer_logits
from adapters.weights.steering import recorded

__all__ = ["TrainableModel", "own_weights", "with_lora"]


@dataclass(frozen=True, slots=True)
class TrainableModel:
    """A causal model in training and the parameters that learn; `mixed` is bfloat16 with float32 parameters.

    Within `original()` the model computes what it did before training.
    """

    model: Any
    parameters: tuple[nn.Parameter, ...]
    original: Callable[[], AbstractContextManager[Any]]
    mixed: bool

    def logits(self, batch: Batch) -> Tensor:
        """In the places of the batch's labels: [batch, columns, vocabulary]."""
        with self._precision(batch):
            return answer_logits(self.model, batch)

    def activations(self, batch: Batch, layer: nn.Module) -> Tensor:
        """What a decoder layer of the model gives out: [batch, tokens, hidden]."""
        with recorded(layer) as seen, self._precision(batch):
            self.model(input_ids=batch.ids, attention_mask=batch.mask, logits_to_keep=1)
        return seen[0]

    def _precision(self, batch: Batch) -> torch.autocast:
        return torch.autocast(batch.ids.device.type, dtype=torch.bfloat16, enabled=self.mixed)


@contextmanager
def own_weights(model: Any, parameters: Sequence[nn.Parameter], *, remember: bool) -> Iterator[TrainableModel]:
    """Lets some of a model's own parameters learn, in float32. They end frozen and in their old dtype.

    With `remember` a copy of their original values is kept, in their old dtype; `original` needs it.
    """
    parameters = tuple(parameters)
    mixed = model.dtype is torch.bfloat16
    dtypes = [parameter.dtype for parameter in parameters]
    kept = [parameter.detach().clone() for parameter in parameters] if remember else None
    model.requires_grad_(False)
    try:
        for parameter in parameters:
            # Parameter by parameter: model.float() and back would also round buffers, which the model keeps exact.
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)
        yield TrainableModel(model, parameters, lambda: _put_back(parameters, kept), mixed)
    finally:
        model.requires_grad_(False)
        for parameter, dtype in zip(parameters, dtypes, strict=True):
            parameter.grad = None
            parameter.data = parameter.data.to(dtype)


@contextmanager
def _put_back(parameters: Sequence[nn.Parameter], kept: Sequence[Tensor] | None) -> Iterator[None]:
    if kept is None:
        raise RuntimeError("the original weights were not kept")
    trained = [parameter.data for parameter in parameters]
    try:
        for parameter, value in zip(parameters, kept, strict=True):
            parameter.data = value.to(parameter.dtype)
        yield
    finally:
        for parameter, value in zip(parameters, trained, strict=True):
            parameter.data = value


@contextmanager
def with_lora(model: Any, *, rank: int, alpha: int, merge: bool) -> Iterator[TrainableModel]:
    """Lets a LoRA on all linear layers learn. On an error it is dropped. The model ends frozen and without any of it.

    Args:
        model: a causal language model.
        rank: of the LoRA.
        alpha: the LoRA is scaled by alpha / rank.
        merge: whether the LoRA is merged into the model's weights at the end; if not, it is dropped.
    """
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM", lora_dropout=0.0)
    mixed = model.dtype is torch.bfloat16
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for something in an old way
        adapted = get_peft_model(model, config)
    try:
        learning = tuple(parameter for parameter in adapted.parameters() if parameter.requires_grad)
        yield TrainableModel(model, learning, adapted.disable_adapter, mixed)
        if merge:
            adapted.merge_adapter()
    finally:
        adapted.unload()
        model.requires_grad_(False)
