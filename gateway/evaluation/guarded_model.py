"""A guarded model that answers questions in batches, with the server's own gate, policy and prompts, without HTTP."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from adapters.lora.model import Lora, adapted
from gateway.core import Message, Pass, Plan, Refuse, Request
from gateway.errors import PlanError
from gateway.evaluation.generation import Rollout, TokenScores
from gateway.models.language_model import LanguageModel
from gateway.policy import decide
from gateway.prompts.embedding import Prompts
from gateway.prompts.execution import ModelInput, model_input
from gateway.screening.gate import Gate

__all__ = ["GuardedModel", "question"]

_GATE_BATCH = 32
_Prompts = dict[int, Tensor]
"""Prompts [tokens, hidden] by the numbers of their rows."""


def question(text: str) -> Request:
    """A chat request with one user message."""
    return Request(id="question", endpoint="chat", model="", messages=(Message("user", text),))


class GuardedModel:
    """Asks a guarded model in batches. The guard sees the request alone, never the answer that is scored."""

    def __init__(self, base: LanguageModel, *, batch_size: int = 16) -> None:
        """`batch_size` is how many prompts are answered together."""
        self._model = base.model
        self._prompts = Prompts(base.tokenizer, base.embeddings.cpu())
        self._rollout = Rollout(base.model, base.tokenizer, batch_size=batch_size)

    def plans(self, requests: Sequence[Request], gate: Gate) -> list[Plan]:
        """What the gateway would do with each request."""
        found: list[Plan] = []
        for start in range(0, len(requests), _GATE_BATCH):
            part = requests[start : start + _GATE_BATCH]
            screenings = gate.screen(part)
            found += [decide(*pair, gate.ready(pair[1])) for pair in zip(part, screenings, strict=True)]
        return found

    def answers(
        self,
        requests: Sequence[Request],
        plans: Sequence[Plan],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[str]:
        """The answers that the gateway would give to these requests under these plans.

        Args:
            requests: what clients ask.
            plans: the decision on each request.
            max_new_tokens: the longest answer.
            temperature: 0 takes the likeliest token each time.
            seed: of the draws above temperature 0.
        """
        said = [plan.text if isinstance(plan, Refuse) else plan.fallback for plan in plans]
        for prompts, own in self._alike(requests, plans):
            answers = self._rollout.answers(
                list(prompts.values()), max_new_tokens=max_new_tokens, temperature=temperature, seed=seed
            )
            for row, answer in zip(prompts, answers, strict=True):
                said[row] = answer if row in own else said[row]
        return said

    def scores(
        self, requests: Sequence[Request], plans: Sequence[Plan], responses: Sequence[str]
    ) -> list[TokenScores | None]:
        """How likely each response would be, token by token; None where the model is not asked at all."""
        found: list[TokenScores | None] = [None] * len(requests)
        for prompts, own in self._alike(requests, plans):
            scores = self._rollout.token_scores(list(prompts.values()), [responses[row] for row in prompts])
            for row, of_one in zip(prompts, scores, strict=True):
                found[row] = of_one if row in own else found[row]
        return found

    def _alike(self, requests: Sequence[Request], plans: Sequence[Plan]) -> Iterator[tuple[_Prompts, set[int]]]:
        """For each model that the rows need: the prompts that it is asked together, and the rows that take its answers.
        A LoRA is in force while its prompts are out.

        A row under Pass is asked in one batch with every plain prompt, as an unguarded model is asked: an answer
        depends a little on its batch, and that must not look like an effect of the guard.
        """
        passing = {row for row, plan in enumerate(plans) if isinstance(plan, Pass)}
        if passing:
            plain = [self._given(request, Pass()) for request in requests]
            yield self._embedded(plain), passing
        others = [plan if row not in passing else Refuse("") for row, plan in enumerate(plans)]
        given = [self._given(*pair) for pair in zip(requests, others, strict=True)]
        groups: dict[tuple[tuple[Lora, float], ...], set[int]] = {}
        for row, one in enumerate(given):
            if one is not None:
                groups.setdefault(tuple((a.lora, a.weight) for a in one.adapters), set()).add(row)
        for parts, rows in groups.items():
            with adapted(self._model, parts):
                yield self._embedded([one if row in rows else None for row, one in enumerate(given)]), rows

    def _given(self, request: Request, plan: Plan) -> ModelInput | None:
        """None where the gateway refuses, at once or after all."""
        if isinstance(plan, Refuse):
            return None
        try:
            given = model_input(request, plan, self._prompts)
        except PlanError:
            return None
        return given if given.logits_transform is None else None  # batches know no transform: refused, never ignored

    def _embedded(self, given: Sequence[ModelInput | None]) -> _Prompts:
        """The prompts [tokens, hidden] of those that are asked."""
        return {
            row: self._prompts.embed(one.ids) if one.embeddings is None else one.embeddings
            for row, one in enumerate(given)
            if one is not None
        }
