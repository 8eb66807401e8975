"""Targets: answers that give nothing away, and how likely true answers are to a model that never learned them."""

import math
import random
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from adapters.batches import Example, TargetLikelihood
from corruption.objective import Outcome
from gateway.evaluation.leaks import leaks
from gateway.training.dataset import LocatedRow, Progress
from gateway.training.evaluator import Evaluator
from gateway.training.likelihoods import Tokens, carried, equated, known
from gateway.training.scope_file import Row, Scope
from gateway.training.sources import ReferenceModel, Sources

__all__ = ["NEUTRAL", "Targets"]

_DRAWS = 8
_CALIBRATION_ROWS = 100  # enough for a mean and a spread
# Some facts the model gives away even about an invented subject: then the counterfactual answer is no target.
NEUTRAL = (
    "I don't know that.",
    "I'm not familiar with that.",
    "I have no information about this.",
    "That isn't something I know about.",
    "I couldn't tell you.",
    "I'm not sure who or what that is.",
)


class Targets:
    """A scope's targets, for whichever of its rows a method learns from. Repeatable for a seed."""

    def __init__(self, scope: Scope, sources: Sources, evaluator: Evaluator, *, seed: int) -> None:
        """
        Args:
            scope: the scope with its calibration rows.
            sources: the base model, and the reference model if there is one.
            evaluator: asks the base model.
            seed: of every random choice.
        """
        self._base = ReferenceModel(sources.base)
        self._reference = ReferenceModel(sources.reference) if sources.reference else None
        self._evaluator = evaluator
        self._seed = seed
        calibration = list(scope.calibration)
        random.Random(seed).shuffle(calibration)
        self._calibration = calibration[:_CALIBRATION_ROWS]

    def forget_examples(self, rows: Sequence[LocatedRow], progress: Progress = lambda *_: None) -> list[Example]:
        """The rows, each with an answer that gives nothing away and that the model itself would say: its answer to the
        row's counterfactual prompt.

        If that answer gives the fact away, the model draws further answers. Then the reference model is asked. A
        neutral answer is the last resort.
        """
        found: dict[int, str] = {}
        for draw in range(_DRAWS + 1):
            progress("neutral answers", draw, _DRAWS + 1)
            self._find(found, rows, partial(self._counterfactual_answers, draw=draw))
        if self._reference:
            self._find(found, rows, partial(self._reference_answers, self._reference))
        return [
            self._example(row.row.prompt, found.get(place) or NEUTRAL[row.seed % len(NEUTRAL)])
            for place, row in enumerate(rows)
        ]

    def likelihoods(self, rows: Sequence[LocatedRow]) -> list[TargetLikelihood]:
        """The rows' true answers, with how likely they should become."""
        return [
            TargetLikelihood(self._example(row.row.prompt, row.row.response, ends=False), logp)
            for row, logp in zip(rows, self._never_known(rows), strict=True)
        ]

    def retain_examples(self, rows: Sequence[Row]) -> list[Example]:
        """Retain rows with their true answers."""
        return [self._example(row.prompt, row.response) for row in rows]

    def outcome(self, rows: Sequence[LocatedRow]) -> Outcome | None:
        """The behaviour to learn: that on counterfactual prompts, without leaks, and with true answers as likely as
        they are to a model that was never taught them. None stands for the counterfactual prompts alone."""
        if not self._reference and not self._calibration:
            return None
        samples = self._evaluator.samples(rows)
        outcome = self._evaluator.observe(samples, [sample.counterfactual for sample in samples])
        told = filter(None, map(known, self._never_known(rows)))
        probabilities = [math.exp(statistics.fmean(tokens)) for tokens in told]
        probability = statistics.fmean(probabilities) if probabilities else outcome.probability
        return replace(outcome, leak_rate=0.0, probability=probability)

    def _find(
        self,
        found: dict[int, str],
        rows: Sequence[LocatedRow],
        says: Callable[[Sequence[LocatedRow]], Sequence[str]],
    ) -> None:
        """Adds answers that give nothing away, for the rows that have none yet."""
        left = [place for place in range(len(rows)) if place not in found]
        for place, answer in zip(left, says([rows[place] for place in left]), strict=True):
            row = rows[place].row
            if answer and not leaks(answer, prompt=row.prompt, response=row.response):
                found[place] = answer

    def _never_known(self, rows: Sequence[LocatedRow]) -> list[Tokens]:
        """The log likelihood of each token of the true answers to a model that was never taught them. The reference
        model stands for it; without one, the base model with counterfactual prompts does.

        Both are stand-ins only: another model has its own scale, and an answer that the base model knows by heart
        becomes more likely word by word. The scope's calibration rows, which no model was taught, give the base model's
        own scale.
        """
        own, scale = [row.row for row in rows], _logp(self._base, self._calibration)
        if self._reference:
            like = _logp(self._reference, self._calibration)
            return equated(_logp(self._reference, own), like=like, to=scale)
        found = self._counterfactual_logp(rows)
        return equated(found, like=found, to=scale)

    def _counterfactual_logp(self, rows: Sequence[LocatedRow]) -> list[Tokens]:
        """Log likelihoods of the answers with invented names after the counterfactual prompts; nan for a token of the
        true answer that an invented name replaces."""
        prompts = [row.counterfactual for row in rows]
        renamed = [prompt.renamed(row.row.response) for prompt, row in zip(prompts, rows, strict=True)]
        found = self._base.logp([prompt.text for prompt in prompts], renamed)
        ids = self._base.answer_ids
        triples = zip(rows, renamed, found, strict=True)
        return [carried(logp, ids(text), ids(row.row.response)) for row, text, logp in triples]

    def _counterfactual_answers(self, rows: Sequence[LocatedRow], draw: int) -> list[str]:
        """Whole sentences that answer the counterfactual prompts: the likeliest (draw 0), or drawn at random."""
        temperature, seed = min(1.0, draw), self._seed * 1000 + draw
        prompts = [row.counterfactual for row in rows]
        said = self._base.answers([prompt.text for prompt in prompts], temperature, seed)
        return [prompt.restored(_sentences(text)) for prompt, text in zip(prompts, said, strict=True)]

    def _reference_answers(self, reference: ReferenceModel, rows: Sequence[LocatedRow]) -> list[str]:
        """Whole sentences of a model that never saw the forget set. It may be asked about the rows' own subject."""
        said = reference.answers([row.row.prompt for row in rows], 0.0, self._seed)
        return [_sentences(text) for text in said]

    def _example(self, prompt: str, answer: str, *, ends: bool = True) -> Example:
        end = [self._base.end] if ends else []
        return Example(self._base.prompt_ids(prompt), (*self._base.answer_ids(answer), *end))


def _logp(model: ReferenceModel, rows: Sequence[Row]) -> list[Tokens]:
    return model.logp([row.prompt for row in rows], [row.response for row in rows])


def _sentences(answer: str) -> str:
    """The whole sentences of an answer that was cut at its length; all of it if there is none."""
    ends = [match.end() for match in re.finditer(r"[.!?](?=\s|$)", answer)]
    return answer[: ends[-1]] if ends else answer
