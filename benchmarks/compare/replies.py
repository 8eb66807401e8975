"""Puts a suite's items to one arm and gives its replies: greedy and sampled answers, and scores of given answers."""

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.compare.core import Reply
from benchmarks.compare.metrics.formulas import membership_scores
from benchmarks.items import Item, request_of
from gateway.core import DEFAULT_REFUSAL, Pass, Plan, Refuse, Request
from gateway.evaluation.generation import TokenScores
from gateway.evaluation.guarded_model import GuardedModel
from gateway.models.language_model import LanguageModel
from gateway.screening.gate import Gate
from gateway.training.dataset import Progress

__all__ = ["Asker"]

_CHUNK = 32
_SAMPLED = "forget"  # the part whose answers are sampled too
_UNRATED = "attack"  # no truth ratio is reported of this part, so its wrong answers are not scored


class Asker:
    """A model, and the gate in front of it if it has one. The gate reads prompts, never the answers to be scored.

    With `screens_answers` the gate reads the generated answer instead; a fixed refusal replaces an answer that is
    inside a scope. Probabilities are then the plain model's: no screen of text can change them.
    """

    def __init__(self, base: LanguageModel, gate: Gate | None = None, *, screens_answers: bool = False) -> None:
        self._probe = GuardedModel(base)
        self._gate = gate
        self._screens_answers = screens_answers

    def replies(
        self,
        items: Sequence[Item],
        *,
        max_new_tokens: int,
        samples: int,
        seed: int,
        progress: Progress = lambda *_: None,
    ) -> list[Reply]:
        """One reply to each item, in their order.

        Args:
            items: what is asked.
            max_new_tokens: the longest answer.
            samples: answers at temperature 1 to each item of the part "forget".
            seed: of sampling.
            progress: told the stage, and how far it is.
        """
        requests = [request_of(item) for item in items]
        plans = self._plans(requests)
        found: list[Reply] = []
        for start in range(0, len(items), _CHUNK):
            progress("asking", start, len(items))
            part = slice(start, start + _CHUNK)
            found += self._part(items[part], requests[part], plans[part], max_new_tokens)
        sampled = [index for index, item in enumerate(items) if item.part == _SAMPLED]
        of_sampled = [requests[index] for index in sampled], [plans[index] for index in sampled]
        drawn: dict[int, list[str]] = {index: [] for index in sampled}
        for number in range(samples if sampled else 0):
            progress("sampling", number, samples)
            said = self._said(*of_sampled, max_new_tokens, temperature=1.0, seed=seed * 1000 + number)
            for index, (_, text) in zip(sampled, said, strict=True):
                drawn[index].append(text)
        return [replace(reply, samples=tuple(drawn.get(index, ()))) for index, reply in enumerate(found)]

    def answers(self, items: Sequence[Item], *, max_new_tokens: int) -> list[str]:
        """The greedy answers alone."""
        requests = [request_of(item) for item in items]
        return [text for _, text in self._said(requests, self._plans(requests), max_new_tokens)]

    def probabilities(self, items: Sequence[Item]) -> list[float]:
        """exp(mean log likelihood of a token) of each item's true answer, in [0, 1]; 0 where the arm does not ask its
        model."""
        requests = [request_of(item) for item in items]
        scores = self._probe.scores(requests, self._plans(requests), [item.answer for item in items])
        return [_probability(score) or 0.0 for score in scores]

    def _part(
        self, items: Sequence[Item], requests: Sequence[Request], plans: Sequence[Plan], max_new_tokens: int
    ) -> list[Reply]:
        said = self._said(requests, plans, max_new_tokens)
        answers = self._probe.scores(requests, plans, [item.answer for item in items])
        others = self._others(items, requests, plans)
        return [
            Reply(
                item=item.id,
                plan=plan,
                text=text,
                answer=_probability(scores),
                paraphrase=of_one[0] if of_one and item.paraphrase is not None else None,
                perturbed=_known(of_one[1:] if item.paraphrase is not None else of_one),
                memorised=tuple(bool(flag) for flag in scores.likeliest) if scores else (),
                **(membership_scores(scores)._asdict() if scores else {}),
            )
            for item, (plan, text), scores, of_one in zip(items, said, answers, others, strict=True)
        ]

    def _others(
        self, items: Sequence[Item], requests: Sequence[Request], plans: Sequence[Plan]
    ) -> list[list[float | None]]:
        """The probabilities of each item's paraphrase, if it has one, and of its perturbed answers, in that order."""
        rows = [
            (index, text)
            for index, item in enumerate(items)
            if item.part != _UNRATED
            for text in (*([item.paraphrase] if item.paraphrase is not None else []), *item.perturbed)
        ]
        scores = self._probe.scores(
            [requests[index] for index, _ in rows], [plans[index] for index, _ in rows], [text for _, text in rows]
        )
        found: list[list[float | None]] = [[] for _ in items]
        for (index, _), score in zip(rows, scores, strict=True):
            found[index].append(_probability(score))
        return found

    def _plans(self, requests: Sequence[Request]) -> Sequence[Plan]:
        if self._gate is None or self._screens_answers:
            return [Pass()] * len(requests)
        return self._probe.plans(requests, self._gate)

    def _said(
        self,
        requests: Sequence[Request],
        plans: Sequence[Plan],
        max_new_tokens: int,
        *,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[tuple[str, str]]:
        """The name of the plan and the text, for each request."""
        texts = self._probe.answers(requests, plans, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
        if self._gate is None or not self._screens_answers:
            return [(plan.name, text) for plan, text in zip(plans, texts, strict=True)]
        screened = self._probe.plans(
            [_as_prompt(request, text) for request, text in zip(requests, texts, strict=True)], self._gate
        )
        return [
            (Pass.name, text) if isinstance(plan, Pass) else (Refuse.name, DEFAULT_REFUSAL)
            for plan, text in zip(screened, texts, strict=True)
        ]


def _as_prompt(request: Request, answer: str) -> Request:
    """An answer, to be screened as a prompt would be."""
    return replace(request, messages=(replace(request.messages[-1], text=answer),))


def _probability(scores: TokenScores | None) -> float | None:
    return float(scores.logprob.mean().exp()) if scores else None


def _known(values: Sequence[float | None]) -> tuple[float, ...]:
    return tuple(value for value in values if value is not None)
