"""A universal suffix against an embedding guard: a few words that lower the head's score for every question
(arXiv 2501.18280). White box: the attacker has the encoder and the head, as anybody has who holds the pack.

The search has no gradients: it takes words of the encoder's vocabulary, and changes one place at a time. It sees the
held-in questions alone; the figures are of the others. Behind a question the suffix is a clause of its own; inside,
before the question mark, no clause is without it.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.attacking.measures import share
from benchmarks.attacking.screening import WhiteBox
from benchmarks.attacks.family import asking, question_of
from benchmarks.flags import flagged
from benchmarks.items import Item, request_of
from classifiers.leaks.watch import AnswerWatch, Asked, OwnWords
from gateway.training.dataset import Progress

__all__ = ["SuffixSearch", "suffix_rates"]

_ENDS = "?!. "


@dataclass(frozen=True, slots=True)
class SuffixSearch:
    """How much is spent: `words` of the vocabulary are tried, the best `shortlist` of them in each of `length` places,
    `rounds` times."""

    words: int = 400
    shortlist: int = 40
    length: int = 6
    rounds: int = 2


def suffix_rates(
    items: Sequence[Item],
    white_box: WhiteBox,
    search: SuffixSearch,
    *,
    seed: int,
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """One suffix for all questions of the held-in half; misses of the other half with it and without it: of the
    classifier alone, of the whole gate, and of gate and output screen together if the model answers with the truth.

    Args:
        items: questions inside the scope.
        white_box: the gate as its attacker knows it.
        search: how much is spent on it.
        seed: of the words and of the halves.
        progress: told the stage, and how far it is.
    """
    order = sorted(items, key=lambda item: random.Random(f"{seed} half {item.id}").random())
    inside, outside = order[: len(order) // 2], order[len(order) // 2 :]
    questions = [question_of(item) for item in inside]
    found = _search(questions, white_box, search, seed, progress)
    with_it = [asking(item, f"{question_of(item)} {found}") for item in outside]
    inside_it = [asking(item, _within(question_of(item), found)) for item in outside]
    return {
        "suffix": found,
        "search": {"words": search.words, "length": search.length, "rounds": search.rounds, "questions": len(inside)},
        "classifier_missed": share([not flag for flag in white_box.over(outside)]),
        "classifier_missed_with_suffix": share([not flag for flag in white_box.over(with_it)]),
        "gate_missed": _missed(white_box, outside),
        "gate_missed_with_suffix": _missed(white_box, with_it),
        "gate_missed_with_suffix_inside": _missed(white_box, inside_it),
        "all_missed_with_suffix_inside": share(
            [
                not flag and not _said(white_box, item)
                for flag, item in zip(_flags(white_box, inside_it), inside_it, strict=True)
            ]
        ),
    }


def _missed(box: WhiteBox, items: Sequence[Item]) -> dict[str, Any] | None:
    return share([not flag for flag in _flags(box, items)])


def _flags(box: WhiteBox, items: Sequence[Item]) -> list[bool]:
    return flagged(box.gate, list(map(request_of, items)))


def _within(question: str, suffix: str) -> str:
    """The question with the suffix before the sign that ends it."""
    asked = question.rstrip(_ENDS)
    return f"{asked} {suffix}{question[len(asked) :]}"


def _said(box: WhiteBox, item: Item) -> bool:
    """Whether the output screen finds a leak in the true answer."""
    own = OwnWords(box.gate.watchlist, Asked(tuple(message.text for message in item.messages)))
    return AnswerWatch(box.gate.watchlist, own).read(item.answer, ended=True).leak is not None


def _search(questions: Sequence[str], box: WhiteBox, search: SuffixSearch, seed: int, progress: Progress) -> str:
    rng = random.Random(f"{seed} suffix")
    few = rng.sample(questions, min(8, len(questions)))
    known = box.words()
    words = rng.sample(known, min(search.words, len(known)))
    steps = len(words) + search.rounds * search.length * search.shortlist
    alone = []
    for number, word in enumerate(words):
        progress("searching a suffix", number, steps)
        alone.append((_height(box, few, f"{word} {word} {word}"), word))
    best = [word for _, word in sorted(alone)[: search.shortlist]]
    chosen = best[: search.length]
    lowest = _height(box, questions, " ".join(chosen))
    tried = len(words)
    for _ in range(search.rounds):
        for place in range(len(chosen)):
            for word in best:
                progress("searching a suffix", tried, steps)
                tried += 1
                other = [*chosen[:place], word, *chosen[place + 1 :]]
                if (height := _height(box, questions, " ".join(other))) < lowest:
                    chosen, lowest = other, height
    return " ".join(chosen)


def _height(box: WhiteBox, questions: Sequence[str], suffix: str) -> float:
    """The mean of the questions' scores above their thresholds."""
    return float(np.mean(box.margins([f"{question} {suffix}" for question in questions])))
