"""How a base model is held in memory while a method learns from it."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal, get_args

import torch

from gateway.errors import SetupError
from gateway.models.devices import check_device

__all__ = ["Dtype", "Loading"]

Dtype = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class Loading:
    """`dtype` of the weights ('auto': that of the model's config); linear layers in 8 bit, by bitsandbytes; the layers
    spread over all GPUs, by accelerate; the layers' activations computed again when they are needed
    (`gradient_checkpointing`), in place of being kept; the `device` ('auto': the current GPU, or the CPU). Raises
    SetupError for what does not go together."""

    dtype: Dtype = "auto"
    load_in_8bit: bool = False
    shard: bool = False
    gradient_checkpointing: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.dtype not in get_args(Dtype):
            raise SetupError(f"--dtype must be one of {', '.join(get_args(Dtype))}, got {self.dtype!r}")
        if self.load_in_8bit and self.dtype == "float32":
            raise SetupError("--load-in-8bit computes in 16 bits: leave --dtype float32 out")

    @property
    def numbers(self) -> dict[str, Any]:
        """The settings that change what is learned, by more than rounding."""
        return {"dtype": self.dtype, "load_in_8bit": self.load_in_8bit}

    def check_possible(self, processes: int = 1) -> None:
        """Whether this machine can do it. Raises SetupError, which says what to do."""
        check_device(self.device, "--device")
        self._check_one_place(processes)
        if self.load_in_8bit and find_spec("bitsandbytes") is None:
            raise SetupError(
                "--load-in-8bit needs bitsandbytes: pip install bitsandbytes; or try --dtype bfloat16, "
                "--gradient-checkpointing, or --shard on a machine with several GPUs"
            )
        if self.shard and processes > 1:
            raise SetupError(
                "--shard spreads one model over all GPUs, and a launcher gives each process one GPU: leave --shard or "
                "the launcher out"
            )
        if self.shard and not torch.cuda.is_available():
            raise SetupError(
                "--shard spreads the layers over GPUs, and this machine has none: leave it out; --dtype bfloat16 and "
                "--gradient-checkpointing save memory here"
            )

    def _check_one_place(self, processes: int) -> None:
        if self.shard and self.device != "auto":
            raise SetupError("--shard spreads the model over all GPUs: leave --device out, or --shard")
        if processes > 1 and ":" in self.device:
            raise SetupError(
                f"--device {self.device} would put all processes of the launcher on one GPU, and each has its own: "
                "leave --device out"
            )

    def arguments(self, device: str) -> dict[str, Any]:
        """What `from_pretrained` of transformers is given, for a model on that device."""
        given: dict[str, Any] = {"dtype": self.dtype}
        if self.load_in_8bit:
            from transformers import BitsAndBytesConfig

            given["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
        if self.shard:
            given["device_map"] = "balanced"
        elif self.load_in_8bit:
            given["device_map"] = {"": device}
        return given

    @staticmethod
    def check_placed(model: Any) -> None:
        """Whether all layers of a loaded model are on GPUs. peft cannot train an adapter of a layer that is not. Raises
        SetupError."""
        elsewhere = {"cpu", "disk"} & {str(place) for place in getattr(model, "hf_device_map", {}).values()}
        if elsewhere:
            raise SetupError(
                f"the GPUs together are too small for this model: --shard would leave layers on {min(elsewhere)}; add "
                "--load-in-8bit or --dtype bfloat16, or take a machine with more GPU memory"
            )

    @property
    def placed(self) -> bool:
        """Whether `from_pretrained` itself puts the model where it belongs."""
        return self.shard or self.load_in_8bit
