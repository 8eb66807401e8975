"""What computes an encoder's embeddings: torch, or OpenVINO with 8-bit integers, which is faster on a CPU.

`python -m benchmarks.product.encoders` measures both, and docs/performance.md has the figures.
"""

import itertools
import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from classifiers.encoder.windows import BATCH_LENGTHS, BATCH_SIZES

__all__ = ["OpenVinoRuntime", "Runtime", "TorchRuntime"]

Array = NDArray[np.float32]
Ids = NDArray[np.int64]


class Runtime(Protocol):
    """Computes a batch. Thread-safe. A window's values do not depend on the others in its batch."""

    def forward(self, ids: Ids, mask: Ids) -> tuple[Array, Array]:
        """(embeddings [windows, hidden], L2-normalised; token embeddings [windows, length, hidden]) of token ids and
        mask [windows, length]."""

    def warm_up(self) -> None:
        """Prepares for every shape that a batch can have, so that no request waits for it."""


class TorchRuntime:
    """A sentence-transformers model. On a CPU that multiplies bfloat16 it computes in that: twice as fast, and the
    embeddings' cosine to float32's is .9999."""

    def __init__(self, folder: Path, *, device: str = "cpu") -> None:
        """`device` is torch's name of the CPU or of a GPU. Raises ValueError for one that torch cannot use."""
        import torch
        from sentence_transformers import SentenceTransformer

        native = device != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
        self._device = device
        try:
            torch.zeros(1, device=device)  # a wrong device is told before the weights are read
            self._model = SentenceTransformer(str(folder), device=device).eval()
            self._model.to(torch.bfloat16 if native else torch.float32)
        except (RuntimeError, AssertionError) as error:  # the latter: a torch that was built without GPUs
            raise ValueError(f"torch cannot load it on the device {device!r}: {str(error).splitlines()[0]}") from error

    def forward(self, ids: Ids, mask: Ids) -> tuple[Array, Array]:
        """See Runtime."""
        import torch

        tensors = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        with torch.inference_mode():
            output = self._model({name: tensor.to(self._device) for name, tensor in tensors.items()})
            pooled = torch.nn.functional.normalize(output["sentence_embedding"].float(), dim=1)
            return pooled.cpu().numpy(), output["token_embeddings"].float().cpu().numpy()

    def warm_up(self) -> None:
        """One window: torch takes any shape."""
        self.forward(np.ones((1, 3), dtype=np.int64), np.ones((1, 3), dtype=np.int64))


class OpenVinoRuntime:
    """A compiled model (see `classifiers.encoder.compiled`). Each thread has an inference request of its own, and up to
    `threads` of them run at once, one core each."""

    def __init__(self, file: Path, *, threads: int = 1) -> None:
        """Raises ValueError for a file that is no such model."""
        import openvino

        settings = {
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",  # of what is not in 8 bits
            "ENABLE_CPU_PINNING": False,  # several workers would sit on the same core
        }
        try:
            self._model = openvino.Core().compile_model(str(file), "CPU", settings)
        except RuntimeError as error:
            raise ValueError(f"{file} is no compiled encoder: {error}") from error
        self._local = threading.local()

    def forward(self, ids: Ids, mask: Ids) -> tuple[Array, Array]:
        """See Runtime."""
        request: Any = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._model.create_infer_request()
        output = request.infer({0: ids, 1: mask}, share_inputs=True, share_outputs=True)
        return np.array(output[0]), np.array(output[1])  # copies: the next batch is written into the same place

    def warm_up(self) -> None:
        """See Runtime."""
        for shape in itertools.product(BATCH_SIZES, BATCH_LENGTHS):
            ids = np.ones(shape, dtype=np.int64)
            self.forward(ids, ids)
