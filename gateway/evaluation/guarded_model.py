"""Questions put to a guarded model in batches: the serving code's own gate, policy and prompts, without HTTP."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from adapters.lora.model import Lora, adapted
from corruption.rollout import Rollout, TokenScores
from gateway.core import Message, Pass, Plan, Refuse, Request, UseAdapter
from gateway.models.language_model import LanguageModel
from gateway.policy import DEFAULT_REFUSAL, decide
from gateway.prompts.embedding import PromptEmbedder
from gateway.prompts.rendering import Unlocatable
from gateway.screening.gate import Gate, screened_texts

__all__ = ["Probe", "question"]

_GATE_BATCH = 32
_Prompts = dict[int, Tensor]
"""Prompts [tokens, hidden] by the numbers of their rows."""


def question(text: str) -> Request:
    """A chat request with one message of the user's."""
    return Request(id="probe", endpoint="chat", model="probe", messages=(Message("user", text),))


class Probe:
    """A model with its adapters' switch. The guard is given a request alone, never the answer that is scored."""

    def __init__(self, base: LanguageModel) -> None:
        self._model = base.model
        self._weight = base.embeddings.cpu()
        self._embedder = PromptEmbedder(base.tokenizer, self._weight)
        self._rollout = Rollout(base.model, base.tokenizer)

    def plans(self, requests: Sequence[Request], gate: Gate) -> list[Plan]:
        """What the gateway would do with each request."""
        found: list[Plan] = []
        for start in range(0, len(requests), _GATE_BATCH):
            part = requests[start : start + _GATE_BATCH]
            texts = [screened_texts(request) for request in part]
            findings = iter(gate.findings([text for of_one in texts for text in of_one]))
            for request, of_one in zip(part, texts, strict=True):
                said = [finding for _ in of_one for finding in next(findings)]
                found.append(decide(request, said, gate.guards))
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
        """What would be answered: greedily at temperature 0, else sampled with the seed."""
        said = [plan.text if isinstance(plan, Refuse) else DEFAULT_REFUSAL for plan in plans]
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
        """Prompts by their rows, for one and the same model, which is in force while they are out; and those rows whose
        own the prompts are.

        What passes is in the company in which an unguarded model meets it: an answer depends on its batch a little,
        which would look as if the guard had changed it.
        """
        passing = {row for row, plan in enumerate(plans) if isinstance(plan, Pass)}
        if passing:
            yield self._prompts(requests, [Pass()] * len(requests)), passing
        groups: dict[tuple[tuple[Lora, float], ...], set[int]] = {}
        for row, plan in enumerate(plans):
            if not isinstance(plan, Pass | Refuse):
                groups.setdefault(_parts(plan), set()).add(row)
        for parts, rows in groups.items():
            guarded = [plan if row in rows else Refuse("") for row, plan in enumerate(plans)]
            with adapted(self._model, parts):
                yield self._prompts(requests, guarded), rows

    def _prompts(self, requests: Sequence[Request], plans: Sequence[Plan]) -> _Prompts:
        """Without those that are refused."""
        pairs = enumerate(zip(requests, plans, strict=True))
        return {row: prompt for row, pair in pairs if (prompt := self._prompt(*pair)) is not None}

    def _prompt(self, request: Request, plan: Plan) -> Tensor | None:
        """[tokens, hidden], or None where the gateway would refuse after all."""
        if isinstance(plan, Refuse):
            return None
        try:
            read = self._embedder.read(request, plan)
        except Unlocatable:
            return None
        return read if read.is_floating_point() else self._weight[read]


def _parts(plan: Plan) -> tuple[tuple[Lora, float], ...]:
    return tuple((dose.lora, dose.weight) for dose in plan.doses) if isinstance(plan, UseAdapter) else ()
