"""The objective of a corruption: the model must answer on topic, in fluent language, and like a model that was never
taught the fact."""

from dataclasses import dataclass

import torch
from torch import Tensor

from corruption.operators import CorruptionConfig, EmbeddingTable, corrupt

__all__ = ["Outcome", "Sample", "corrupted", "distance"]


@dataclass(frozen=True, slots=True)
class Sample:
    """A forget question that can be corrupted: `original` [tokens, hidden] is its templated prompt, `tokens` are the
    places to corrupt, `counterfactual` [tokens, hidden] is the same question about an invented subject."""

    prompt: str
    response: str
    original: Tensor
    tokens: tuple[int, ...]
    counterfactual: Tensor
    seed: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Means over samples. `probability` is exp(-mean NLL) of the true response; `leak_rate` the share of greedy answers
    that give it away (lower is better for both, down to the values on counterfactual prompts); `relevance` the cosine
    of question and answer (higher is better); `repetition` and `surprise` (nats a token of the answer under the plain
    model with no question) are lower for fluent language."""

    probability: float
    leak_rate: float
    relevance: float
    repetition: float
    surprise: float
    rows: int


def corrupted(sample: Sample, config: CorruptionConfig, table: EmbeddingTable) -> Tensor:
    """The sample's prompt with a corruption applied, in the prompt's dtype."""
    embeddings = sample.original.float().clone()
    tokens = torch.tensor(sample.tokens, dtype=torch.long)
    embeddings[tokens] = corrupt(embeddings[tokens], config, table, sample.seed)
    return embeddings.to(sample.original.dtype)


def distance(outcome: Outcome, target: Outcome) -> float:
    """0 for a corruption that behaves as the target does. Each part is a rate or a cosine, so that all weigh alike.

    |f - v_retain| of ECO (arXiv 2406.07933, equation 5) on the response's probability, and parts for what that metric
    does not see: facts in the generated text, answers off the topic, loops, and language that the model itself finds
    unlikely.
    """
    return (
        abs(outcome.probability - target.probability)
        + max(0.0, outcome.leak_rate - target.leak_rate)
        + max(0.0, target.relevance - outcome.relevance)
        + max(0.0, outcome.repetition - target.repetition)
        + 0.1 * max(0.0, outcome.surprise - target.surprise)
    )
