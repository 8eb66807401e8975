"""A causal language model in memory, its tokenizer, and its embedding table read alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gateway.errors import ModelError
from gateway.models.folders import weight_files

__all__ = ["LanguageModel", "embedding_table", "load_language_model", "load_tokenizer"]


def load_tokenizer(folder: Path) -> Any:
    """The folder's fast tokenizer: character offsets are needed to find names among tokens."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot load the tokenizer of {folder}: {error}") from error
    if not tokenizer.is_fast:
        raise ModelError(f"{folder} has no fast tokenizer (tokenizer.json), which offsets need")
    return tokenizer


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A causal language model in evaluation mode, frozen, with its tokenizer."""

    model: Any
    tokenizer: Any

    @property
    def weight(self) -> Tensor:
        """The input embedding table [vocabulary, hidden]."""
        weight: Tensor = self.model.get_input_embeddings().weight
        return weight.detach()

    @property
    def max_tokens(self) -> int:
        """The context length in tokens."""
        return int(getattr(self.model.config, "max_position_embeddings", 2048))


def load_language_model(folder: Path, *, device: str | None = None) -> LanguageModel:
    """Loads in the dtype of its config, on the first GPU if there is one. Raises ModelError."""
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(folder)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype="auto", trust_remote_code=False, use_safetensors=True
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"cannot load {folder}: {error}; if it is damaged, fetch or make it anew") from error
    model.requires_grad_(False)
    if head := model.get_output_embeddings():
        head.register_forward_pre_hook(_in_one_piece)
    target = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return LanguageModel(model.eval().to(target), tokenizer)


def _in_one_piece(_: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """transformers projects a slice of the positions, of which a CPU makes many times the work in bfloat16."""
    return tuple(one.contiguous() if isinstance(one, Tensor) else one for one in given)


def embedding_table(folder: Path) -> Tensor:
    """The input embedding table alone [vocabulary, hidden], read without loading the model. Raises ModelError."""
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        with init_empty_weights():
            skeleton = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(str(folder)))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read the configuration of {folder}: {error}") from error
    table = skeleton.get_input_embeddings()
    name = next(name for name, module in skeleton.named_modules() if module is table) + ".weight"
    for file in weight_files(folder):
        with safe_open(file, framework="pt") as tensors:
            if name in tensors.keys():  # noqa: SIM118 (no mapping)
                tensor: Tensor = tensors.get_tensor(name)
                return tensor
    raise ModelError(f"{folder} has no tensor {name!r} in its safetensors files")
