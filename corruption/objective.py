"""What a corruption is judged by: like a model that never knew, on topic, in fluent language."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from corruption.leak import leaks, repetition
from corruption.operators import Recipe, Table, corrupt
from corruption.rollout import Rollout

__all__ = ["Outcome", "Relevance", "Sample", "distance", "observe"]

# cosine similarities of questions and answers, pair by pair
Relevance = Callable[[Sequence[str], Sequence[str]], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Sample:
    """A forget question ready to be corrupted: `original` [tokens, hidden] is its templated prompt, `tokens` those to
    corrupt, `twin` [tokens, hidden] the templated prompt of its counterfactual twin."""

    prompt: str
    response: str
    original: Tensor
    tokens: tuple[int, ...]
    twin: Tensor
    seed: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Means over samples. `probability` is exp(-mean NLL) of the true response; `leak_rate` the share of greedy
    answers that give it away (lower is better for both, down to the twins'); `relevance` the cosine of question and
    answer (higher is better); `repetition` and `surprise` (nats a token of the answer under the plain model with no
    question) are lower for fluent language."""

    probability: float
    leak_rate: float
    relevance: float
    repetition: float
    surprise: float
    rows: int


def observe(
    samples: Sequence[Sample],
    prompts: Sequence[Tensor],
    *,
    rollout: Rollout,
    relevance: Relevance,
    blank: Tensor,
    max_new_tokens: int,
) -> tuple[Outcome, list[str]]:
    """Asks the model with `prompts` in place of the samples' own; `blank` is a templated prompt without a question."""
    answers = rollout.answers(prompts, max_new_tokens=max_new_tokens)
    nll = rollout.mean_nll(prompts, [sample.response for sample in samples])
    surprise = rollout.mean_nll([blank] * len(answers), answers)
    outcome = Outcome(
        probability=float(np.mean(np.exp(-np.array(nll)))),
        leak_rate=float(
            np.mean([leaks(a, prompt=s.prompt, response=s.response) for a, s in zip(answers, samples, strict=True)])
        ),
        relevance=float(np.mean(relevance([sample.prompt for sample in samples], answers))),
        repetition=float(np.mean([repetition(answer) for answer in answers])),
        surprise=float(np.mean(surprise)),
        rows=len(samples),
    )
    return outcome, answers


def corrupted(sample: Sample, recipe: Recipe, table: Table) -> Tensor:
    """The sample's prompt with the recipe applied, in the prompt's dtype."""
    embeddings = sample.original.float().clone()
    tokens = torch.tensor(sample.tokens, dtype=torch.long)
    embeddings[tokens] = corrupt(embeddings[tokens], recipe, table, sample.seed)
    return embeddings.to(sample.original.dtype)


def distance(outcome: Outcome, target: Outcome) -> float:
    """0 for a corruption that behaves as the target does; each part is a rate or a cosine, so they weigh alike.

    |f - v_retain| of ECO (arXiv 2406.07933, equation 5) on the response's probability, plus what that metric does not
    see: facts in the generated text, answers off the topic, loops, and language the model itself finds unlikely.
    """
    return (
        abs(outcome.probability - target.probability)
        + max(0.0, outcome.leak_rate - target.leak_rate)
        + max(0.0, target.relevance - outcome.relevance)
        + max(0.0, outcome.repetition - target.repetition)
        + 0.1 * max(0.0, outcome.surprise - target.surprise)
    )
