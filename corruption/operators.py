"""Corruption operators: pure functions on the embeddings of selected prompt tokens.

Each takes embeddings [tokens, hidden] in float32 and returns as many. `dims` is how many of the hidden dimensions an
operator touches, `strength` its size in units of the embedding table's root mean square, so that one configuration
means the same on models of different scale. The first six are those of ECO (arXiv 2406.07933, section 3.2 and its
code); the norm-keeping one and the decoys are this project's own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

__all__ = ["OPERATORS", "Corruption", "CorruptionConfig", "EmbeddingTable", "corrupt", "operator"]


@dataclass(frozen=True, slots=True)
class EmbeddingTable:
    """What operators know of a model: `weight` [vocabulary, hidden], its `rms`, and decoys: token ids of invented
    `names` and of plain `words`."""

    weight: Tensor
    rms: float
    names: Tensor
    words: Tensor

    @classmethod
    def of(cls, weight: Tensor, *, names: Tensor, words: Tensor) -> "EmbeddingTable":
        """Measures the table. `names` and `words` are token ids [n], n >= 1."""
        if names.numel() == 0 or words.numel() == 0:
            raise ValueError("a corruption table needs at least one decoy name and one decoy word")
        return cls(weight, float(weight.float().pow(2).mean().sqrt()), names, words)


@dataclass(frozen=True, slots=True)
class CorruptionConfig:
    """A learned corruption. `share` of the hidden dimensions in (0, 1], `strength` and `noise` in RMS units."""

    operator: str
    share: float
    strength: float
    noise: float = 0.0

    def __post_init__(self) -> None:
        operator(self.operator)
        if not 0 < self.share <= 1:
            raise ValueError(f"share must lie in (0, 1], got {self.share}")
        if not (0 <= self.strength < 1e6 and 0 <= self.noise < 1e6):
            raise ValueError(f"strength and noise must be finite and not negative: {self}")


@dataclass(frozen=True, slots=True)
class Corruption:
    """A scope's two corruptions: `named` for its aliases, `described` for the salient words of a text without an alias;
    with `both` the salient words of a text with an alias are corrupted too."""

    named: CorruptionConfig
    described: CorruptionConfig
    both: bool


Operator = Callable[[Tensor, int, float, EmbeddingTable, torch.Generator], Tensor]


def gaussian_first(
    embeddings: Tensor, dims: int, strength: float, table: EmbeddingTable, rng: torch.Generator
) -> Tensor:
    """Gaussian noise on the first `dims` dimensions."""
    return _add_noise(embeddings, torch.arange(dims).expand(len(embeddings), -1), strength, table, rng)


def gaussian_random(
    embeddings: Tensor, dims: int, strength: float, table: EmbeddingTable, rng: torch.Generator
) -> Tensor:
    """Gaussian noise on `dims` dimensions drawn once for all tokens."""
    chosen = torch.randperm(embeddings.shape[1], generator=rng)[:dims]
    return _add_noise(embeddings, chosen.expand(len(embeddings), -1), strength, table, rng)


def gaussian_top(embeddings: Tensor, dims: int, strength: float, table: EmbeddingTable, rng: torch.Generator) -> Tensor:
    """Gaussian noise on each token's `dims` largest dimensions by magnitude."""
    return _add_noise(embeddings, _largest(embeddings, dims), strength, table, rng)


def zero_top(embeddings: Tensor, dims: int, strength: float, table: EmbeddingTable, rng: torch.Generator) -> Tensor:
    """Each token's `dims` largest dimensions set to zero; no strength."""
    return embeddings.scatter(1, _largest(embeddings, dims), 0.0)


def flip_top(embeddings: Tensor, dims: int, strength: float, table: EmbeddingTable, rng: torch.Generator) -> Tensor:
    """The sign of each token's `dims` largest dimensions flipped; no strength."""
    largest = _largest(embeddings, dims)
    return embeddings.scatter(1, largest, -embeddings.gather(1, largest))


def noise_top(embeddings: Tensor, dims: int, strength: float, table: EmbeddingTable, rng: torch.Generator) -> Tensor:
    """Each token's `dims` largest dimensions replaced by Gaussian noise."""
    noise = strength * table.rms * torch.randn((len(embeddings), dims), generator=rng)
    return embeddings.scatter(1, _largest(embeddings, dims), noise)


def noise_keep_norm(
    embeddings: Tensor, dims: int, strength: float, table: EmbeddingTable, rng: torch.Generator
) -> Tensor:
    """Gaussian noise on random dimensions, each token's norm then restored."""
    noisy = gaussian_random(embeddings, dims, strength, table, rng)
    scale: Tensor = embeddings.norm(dim=1, keepdim=True) / noisy.norm(dim=1, keepdim=True).clamp_min(1e-6)
    return noisy * scale


def decoy_name(embeddings: Tensor, dims: int, strength: float, table: EmbeddingTable, rng: torch.Generator) -> Tensor:
    """Moves each token `strength` of the way (at most all of it) to a token of an invented name.

    Equal tokens get equal decoys, so a name stays one name within a text. The model then answers about somebody it
    does not know, instead of about noise. `dims` random dimensions take part.
    """
    return _towards(embeddings, table.names, dims, strength, table, rng)


def decoy_word(embeddings: Tensor, dims: int, strength: float, table: EmbeddingTable, rng: torch.Generator) -> Tensor:
    """As `decoy_name`, towards plain words of everyday things."""
    return _towards(embeddings, table.words, dims, strength, table, rng)


OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        "gaussian_first": gaussian_first,
        "gaussian_random": gaussian_random,
        "gaussian_top": gaussian_top,
        "zero_top": zero_top,
        "flip_top": flip_top,
        "noise_top": noise_top,
        "noise_keep_norm": noise_keep_norm,
        "decoy_name": decoy_name,
        "decoy_word": decoy_word,
    }
)
"""By the name that packs keep."""


def operator(name: str) -> Operator:
    """The operator of that name; ValueError names the ones there are."""
    try:
        return OPERATORS[name]
    except KeyError:
        raise ValueError(f"unknown corruption operator {name!r}; there are {', '.join(OPERATORS)}") from None


def corrupt(embeddings: Tensor, config: CorruptionConfig, table: EmbeddingTable, seed: int) -> Tensor:
    """Corrupts the embeddings of the selected tokens; float32 [tokens, hidden], repeatable for a seed.

    Args:
        embeddings: of the selected tokens, [tokens, hidden], as the embedding table has them.
        config: the operator and how much of the embeddings it changes.
        table: what operators know of the model's embedding table.
        seed: of every random choice.
    """
    if len(embeddings) == 0:
        return embeddings.float()
    rng = torch.Generator().manual_seed(seed)
    dims = max(1, round(config.share * embeddings.shape[1]))
    corrupted = operator(config.operator)(embeddings.float(), dims, config.strength, table, rng)
    if config.noise:
        corrupted = corrupted + config.noise * table.rms * torch.randn(corrupted.shape, generator=rng)
    return corrupted


def _largest(embeddings: Tensor, dims: int) -> Tensor:
    return embeddings.abs().topk(dims, dim=1).indices


def _towards(
    embeddings: Tensor, decoys: Tensor, dims: int, strength: float, table: EmbeddingTable, rng: torch.Generator
) -> Tensor:
    _, kind = torch.unique(embeddings, dim=0, return_inverse=True)
    drawn = torch.randperm(len(decoys), generator=rng).repeat(1 + len(embeddings) // len(decoys))
    target = table.weight[decoys[drawn[kind]]].float()
    chosen = torch.randperm(embeddings.shape[1], generator=rng)[:dims]
    moved = embeddings.clone()
    moved[:, chosen] += min(strength, 1.0) * (target - embeddings)[:, chosen]
    return moved


def _add_noise(
    embeddings: Tensor, dimensions: Tensor, strength: float, table: EmbeddingTable, rng: torch.Generator
) -> Tensor:
    noise = strength * table.rms * torch.randn(dimensions.shape, generator=rng)
    return embeddings.scatter_add(1, dimensions, noise)
