"""Asks a model forget questions and says how it behaves, in the figures of a corruption's objective."""

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from classifiers.encoder.sentence import Encoder
from corruption.objective import Outcome, Sample
from gateway.evaluation.generation import Answers, Asked
from gateway.evaluation.leaks import leaks, repetition

__all__ = ["Relevance", "observe", "relevance_by"]

Relevance = Callable[[Sequence[str], Sequence[str]], Sequence[float]]
"""Cosine similarities of questions and answers, pair by pair."""


def relevance_by(encoder: Encoder) -> Relevance:
    """Cosine of the sentence embeddings; 0 where a question or an answer has no visible character."""

    def relevance(questions: Sequence[str], answers: Sequence[str]) -> Sequence[float]:
        pairs = zip(encoder.encode(questions), encoder.encode(answers), strict=True)
        return [float(q.mean(0) @ a.mean(0)) if len(q) and len(a) else 0.0 for q, a in pairs]

    return relevance


def observe(
    samples: Sequence[Sample],
    prompts: Sequence[Tensor],
    *,
    rollout: Answers,
    relevance: Relevance,
    blank: Asked,
    max_new_tokens: int,
) -> tuple[Outcome, list[str]]:
    """Asks a model with `prompts`, and returns its behaviour and its answers.

    Args:
        samples: the forget questions, with their true answers.
        prompts: [tokens, hidden] each, in place of the samples' own.
        rollout: the model.
        relevance: how near an answer is to its question.
        blank: a templated prompt without a question.
        max_new_tokens: the length of an answer.
    """
    answers = rollout.answers(prompts, max_new_tokens=max_new_tokens)
    nll = rollout.mean_nll(prompts, [sample.response for sample in samples])
    surprise = rollout.mean_nll([blank] * len(answers), answers)
    pairs = list(zip(answers, samples, strict=True))
    outcome = Outcome(
        probability=float(np.mean(np.exp(-np.array(nll)))),
        leak_rate=float(np.mean([leaks(a, prompt=s.prompt, response=s.response) for a, s in pairs])),
        relevance=float(np.mean(relevance([sample.prompt for sample in samples], answers))),
        repetition=float(np.mean([repetition(answer) for answer in answers])),
        surprise=float(np.mean(surprise)),
        rows=len(samples),
    )
    return outcome, answers
