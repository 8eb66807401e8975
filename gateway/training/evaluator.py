"""How a model behaves on located rows: plainly, behind a method, and on counterfactual prompts."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from torch import Tensor

from adapters.lora.model import Lora, adapted
from corruption.objective import Outcome, Sample
from corruption.operators import EmbeddingTable
from gateway.core import Plan
from gateway.evaluation.outcomes import observe, relevance_by
from gateway.packs.manifest import Figures, Forgetting
from gateway.prompts.execution import model_input
from gateway.training.dataset import LocatedRow
from gateway.training.sources import ReferenceModel, Sources, asked
from gateway.training.transcript import Answered

__all__ = ["Evaluator"]

_ANSWER_TOKENS = 24


class Evaluator:
    """Asks the base model, with other prompts in place of the rows' own or with LoRAs, and says how it behaves."""

    def __init__(self, sources: Sources) -> None:
        self._model: Any = sources.base.model
        self._base = ReferenceModel(sources.base)
        self._prompts = self._base.prompts
        self._relevance = relevance_by(sources.encoder)
        self._blank = self._base.prompt_ids("...")
        self.transcript: tuple[Answered, ...] = ()
        """What was said to the rows of which `figures` told last."""

    @property
    def table(self) -> EmbeddingTable:
        """What corruption operators know of the base model."""
        return self._prompts.table

    def samples(self, rows: Sequence[LocatedRow]) -> list[Sample]:
        """The rows with their embedded prompts."""
        return [self._sample(row) for row in rows]

    def surprise(self, rows: Sequence[LocatedRow]) -> list[float]:
        """How little the plain model expects each true answer: its mean negative log likelihood, in nats a token."""
        prompts = [self._base.prompt_ids(row.row.prompt) for row in rows]
        return self._base.rollout.mean_nll(prompts, [row.row.response for row in rows])

    def observe(
        self,
        samples: Sequence[Sample],
        prompts: Sequence[Tensor],
        *,
        loras: Sequence[tuple[Lora, float]] = (),
    ) -> Outcome:
        """How the model answers `prompts` in place of the samples' own, with `loras`, each times its weight. The plain
        model says how surprising the answers are."""
        return self._observed(samples, prompts, loras)[0]

    def _observed(
        self, samples: Sequence[Sample], prompts: Sequence[Tensor], loras: Sequence[tuple[Lora, float]] = ()
    ) -> tuple[Outcome, list[str]]:
        with adapted(self._model, loras):
            outcome, answers = observe(
                samples,
                prompts,
                rollout=self._base.rollout,
                relevance=self._relevance,
                blank=self._blank,
                max_new_tokens=_ANSWER_TOKENS,
            )
        if not loras:
            return outcome, answers
        surprise = self._base.rollout.mean_nll([self._blank] * len(answers), answers)
        return replace(outcome, surprise=sum(surprise) / len(surprise)), answers

    def under(self, rows: Sequence[LocatedRow], plan_of: Callable[[LocatedRow], Plan]) -> Outcome:
        """How the model answers rows under a plan for each: serving code makes the model's input. All plans must use
        the same adapters. Raises PlanError for a plan that a row cannot carry."""
        return self._observed_under(rows, plan_of)[0]

    def _observed_under(
        self, rows: Sequence[LocatedRow], plan_of: Callable[[LocatedRow], Plan]
    ) -> tuple[Outcome, list[str]]:
        given = [model_input(asked(row.row.prompt), plan_of(row), self._prompts) for row in rows]
        prompts = [self._prompts.embed(one.ids) if one.embeddings is None else one.embeddings for one in given]
        loras = [(adapter.lora, adapter.weight) for adapter in given[0].adapters]
        return self._observed(self.samples(rows), prompts, loras)

    def figures(
        self, held_out: Sequence[LocatedRow], plan_of: Callable[[LocatedRow], Plan], **extras: Any
    ) -> Forgetting:
        """Plain, guarded and counterfactual behaviour on held-out rows; `extras` are the method's own."""
        samples = self.samples(held_out)
        plain, before = self._observed(samples, [sample.original for sample in samples])
        counterfactual, invented = self._observed(samples, [sample.counterfactual for sample in samples])
        guarded, after = self._observed_under(held_out, plan_of)
        said = zip(samples, before, after, invented, strict=True)
        self.transcript = tuple(Answered(sample.prompt, sample.response, *answers) for sample, *answers in said)
        return Forgetting(
            rows=len(samples),
            plain=_typed(plain),
            guarded=_typed(guarded),
            counterfactual=_typed(counterfactual),
            extras=extras,
        )

    def _sample(self, row: LocatedRow) -> Sample:
        prompt = row.row.prompt
        return Sample(
            prompt=prompt,
            response=row.row.response,
            original=self._base.embedded(prompt),
            tokens=self._base.tokens_in(prompt, row.ranges),
            counterfactual=self._base.embedded(row.counterfactual.text),
            seed=row.seed,
        )


def _typed(outcome: Outcome) -> Figures:
    return Figures(**asdict(outcome))
