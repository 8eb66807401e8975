"""Exact products of 8-bit integers, at the speed of the memory."""

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["products"]

_ROWS = 65_536  # converted at a time where the processor's own product is missing


def products(codes: torch.Tensor, queries: torch.Tensor) -> NDArray[np.float32]:
    """[queries, rows] of int8 `codes` [rows, hidden] and int8 `queries` [queries, hidden].

    Exact: a sum of integers below 2^24, which float32 holds (up to 1,040 dimensions).
    """
    try:
        found = torch._int_mm(queries, codes.t()).to(torch.float32)
    except (AttributeError, RuntimeError):  # this build of torch has no such product
        parts = [queries.float() @ part.float().t() for part in torch.split(codes, _ROWS)]
        found = torch.cat(parts, dim=1)
    return found.numpy()
