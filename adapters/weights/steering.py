"""RMU (arXiv 2403.03218): a layer's activations, pushed to nonsense on what to forget and held still on the rest.

Activations are [batch, tokens, hidden], as a decoder layer gives them; a mask [batch, tokens] says which tokens count.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

__all__ = ["activation_distance", "activation_norm", "decoder_layers", "mlp_outputs", "recorded", "steering_vector"]

# The names of an MLP's last matrix in the architectures: Llama and its like, GPT-2, OPT and Phi, GPT-NeoX.
_MLP_OUTPUTS = ("down_proj.weight", "mlp.c_proj.weight", "fc2.weight", "dense_4h_to_h.weight")


def steering_vector(hidden: int, *, seed: int) -> Tensor:
    """RMU's u [hidden], float32: independent entries uniform in [0, 1), divided by their norm."""
    return normalize(torch.rand(hidden, generator=torch.Generator().manual_seed(seed)), dim=0)


def activation_distance(activations: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
    """Mean over rows of the mean over a row's tokens of ||activations - wanted||^2, a float32 scalar to minimise.

    With c * u [hidden] as `wanted` it is RMU's forget term, with the original model's activations [batch, tokens,
    hidden] its retain term. No gradient reaches `wanted`. ValueError on shapes that do not match and on a row without a
    token that counts.
    """
    _check(activations, mask)
    if wanted.shape not in (activations.shape, activations.shape[-1:]):
        raise ValueError(f"activations {list(activations.shape)} cannot come to be {list(wanted.shape)}")
    squares = (activations.float() - wanted.detach().float()).square().sum(-1)
    return _mean_by_row(squares, mask)


def activation_norm(activations: Tensor, mask: Tensor) -> Tensor:
    """Mean over rows of the mean norm of a row's activations: the unit of a steering coefficient."""
    _check(activations, mask)
    return _mean_by_row(activations.float().norm(dim=-1), mask)


def decoder_layers(model: Any) -> nn.ModuleList:
    """A causal model's layers, in their order. ValueError if the model keeps them in no list."""
    depth = model.config.get_text_config().num_hidden_layers
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return module
    raise ValueError(f"{type(model).__name__} has no list of its {depth} layers")


def mlp_outputs(model: Any, layer: int) -> list[nn.Parameter]:
    """What RMU trains: the matrices that end the MLPs of `layer` and of the two before it. ValueError if not found."""
    layers = decoder_layers(model)
    chosen = [
        parameter
        for one in layers[max(0, layer - 2) : layer + 1]
        for name, parameter in one.named_parameters()
        if name.endswith(_MLP_OUTPUTS)
    ]
    if not chosen:
        raise ValueError(f"layer {layer} has no MLP whose last matrix is one of {', '.join(_MLP_OUTPUTS)}")
    return chosen


@contextmanager
def recorded(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Collects what a decoder layer gives out, [batch, tokens, hidden] a call, while the context lasts."""
    seen: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        seen.append(output[0] if isinstance(output, tuple) else output)

    handle = layer.register_forward_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()


def _check(activations: Tensor, mask: Tensor) -> None:
    if activations.dim() != 3 or activations.shape[:2] != mask.shape:
        raise ValueError(
            "activations must be [batch, tokens, hidden] and the mask [batch, tokens], "
            f"got {list(activations.shape)} and {list(mask.shape)}"
        )
    if not mask.any(1).all():
        raise ValueError("a row has no token that counts")


def _mean_by_row(values: Tensor, mask: Tensor) -> Tensor:
    counted = torch.where(mask.bool(), values, 0.0)
    return (counted.sum(1) / mask.bool().sum(1)).mean()
