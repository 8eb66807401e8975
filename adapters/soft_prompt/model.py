"""Soft prompts as data: learned virtual tokens that stand in front of a prompt's embeddings."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

__all__ = ["VirtualTokens"]

_KEY = "prompt_embeddings"  # the name that peft gives it


@dataclass(frozen=True, slots=True, eq=False)
class VirtualTokens:
    """`embeddings` [virtual tokens, hidden], float32 (SPUL, arXiv 2406.12038, section 4)."""

    embeddings: Tensor

    def __post_init__(self) -> None:
        if self.embeddings.ndim != 2 or not len(self.embeddings):
            raise ValueError(f"a soft prompt is [tokens, hidden], not {tuple(self.embeddings.shape)}")
        if not torch.isfinite(self.embeddings).all():
            raise ValueError("the soft prompt holds values that are not finite")

    @property
    def hidden(self) -> int:
        """The width of the model that it was trained for."""
        return int(self.embeddings.shape[1])

    def __len__(self) -> int:
        return len(self.embeddings)

    def save(self, path: Path) -> None:
        """One safetensors file."""
        save_file({_KEY: self.embeddings.contiguous()}, path)

    @classmethod
    def load(cls, path: Path) -> "VirtualTokens":
        """Raises ValueError if the file holds no soft prompt."""
        try:
            return cls(load_file(path)[_KEY].float())
        except (OSError, KeyError, SafetensorError) as error:
            raise ValueError(f"{path.name} holds no soft prompt: {error!r}") from error
