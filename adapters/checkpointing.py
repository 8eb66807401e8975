"""Gradient checkpointing (Chen et al., arXiv 1604.06174): memory for time."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

__all__ = ["checkpoint_layers"]


def checkpoint_layers(model: nn.Module) -> None:
    """From now on backward passes compute each layer of a transformers model a second time, and the forward pass keeps
    the layers' inputs alone. Without gradients nothing changes.

    transformers' own switch works in training mode alone, where dropout would come into force. Raises ValueError for a
    model without such layers.
    """
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise ValueError("the model has no layers whose activations could be computed again")
    for layer in layers:
        layer.forward = _recomputed(layer.forward)


def _recomputed(forward: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(forward)
    def call(*given: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*given, **named)
        return checkpoint(forward, *given, use_reentrant=False, **named)

    return call
