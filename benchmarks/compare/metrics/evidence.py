"""What a metric is measured from: the answers of an arm, and those of the retrained and the original model."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.compare.core import Reply, Suite
from benchmarks.compare.metrics import formulas
from benchmarks.items import Item
from gateway.core import Pass, Refuse
from gateway.evaluation.leaks import leaks

__all__ = ["AGGREGATOR", "Answered", "Answers", "Evidence", "answers_to"]

AGGREGATOR: formulas.Aggregator = "geometric"


@dataclass(frozen=True, slots=True)
class Answered:
    """An item and what one arm replied to it."""

    item: Item
    reply: Reply

    @property
    def flagged(self) -> bool:
        return self.reply.plan != Pass.name

    @property
    def refused(self) -> bool:
        """The arm said a fixed text and did not ask its model."""
        return self.reply.plan == Refuse.name and self.reply.answer is None

    @property
    def probability(self) -> float | None:
        """Of the true answer; 0 where the arm refused: it says something else for certain."""
        return 0.0 if self.refused else self.reply.answer

    @property
    def choice(self) -> float | None:
        """The probability as the share of all choices, as TOFU reads it outside its own authors."""
        if self.refused:
            return 0.0
        known = self.reply.answer is not None and self._complete
        return formulas.choice_probability(self.reply.answer or 0.0, self.reply.perturbed) if known else None

    @property
    def ratio(self) -> float | None:
        """The truth ratio, against the true answer itself where the item has no paraphrase of it."""
        truth = self.reply.answer if self.item.paraphrase is None else self.reply.paraphrase
        if truth is None or not self._complete:
            return None
        return formulas.truth_ratio(truth, self.reply.perturbed, aggregator=AGGREGATOR)

    @property
    def truth(self) -> float | None:
        """What utility counts of the truth ratio; 0 where the arm refused."""
        if self.refused:
            return 0.0
        return None if self.ratio is None else formulas.utility_truth(self.ratio)

    @property
    def rouge_l(self) -> float:
        return formulas.rouge_l_recall(self.item.answer, self.reply.text)

    def leaks(self, text: str) -> bool:
        """Does a text give the item's fact away?"""
        return leaks(text, prompt=self.item.prompt, response=self.item.fact or self.item.answer)

    @property
    def _complete(self) -> bool:
        """Every wrong answer of the item has its probability, and there is one."""
        return 0 < len(self.item.perturbed) == len(self.reply.perturbed)


class Answers(tuple[Answered, ...]):
    """The answers of one model to all items, in the suite's order."""

    __slots__ = ()

    def part(self, name: str) -> "Answers":
        """Those to items of that part: "forget" holds the slices "forget" and "forget/level1"."""
        return Answers(row for row in self if row.item.part == name)

    def slice(self, name: str) -> "Answers":
        """Those to items of that slice alone."""
        return Answers(row for row in self if row.item.slice == name)


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a metric may read.

    Args:
        arm: the arm's answers.
        retrained: those of the retrained model, empty where there is none.
        original: those of the original model, None where there is none.
        vectors: a sentence embedding [hidden] for the prompt and the text of each answer of the part "forget".
        seed: of folds and resampling.
        gated: False for an arm without a gate, whose error rates nobody can ask for.
    """

    arm: Answers
    retrained: Answers
    original: Answers | None
    vectors: Mapping[str, NDArray[np.float64]]
    seed: int
    gated: bool


def answers_to(suite: Suite, replies: Sequence[Reply], whose: str) -> Answers:
    """The replies beside their items. Raises ValueError, naming `whose` replies they are, if one is missing, given
    twice, or holds a number that is not finite."""
    by_item = {reply.item: reply for reply in replies}
    if len(by_item) < len(replies):
        raise ValueError(f"{whose} gave {len(replies) - len(by_item)} replies to items that have another reply")
    missing = [item.id for item in suite.items if item.id not in by_item]
    if missing:
        some = ", ".join(missing[:3])
        raise ValueError(f"{whose} gave no reply to {len(missing)} of {len(suite.items)} items: {some}, ...")
    wild = [item.id for item in suite.items if not _finite(by_item[item.id])]
    if wild:
        raise ValueError(f"{whose} gave {len(wild)} replies with numbers that are not finite: {', '.join(wild[:3])}")
    return Answers(Answered(item, by_item[item.id]) for item in suite.items)


def _finite(reply: Reply) -> bool:
    numbers = (reply.answer, reply.paraphrase, *reply.perturbed, reply.loss, reply.min_k, reply.min_k_plus)
    return all(number is None or math.isfinite(number) for number in numbers)
