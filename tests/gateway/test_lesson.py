"""What methods learn from: the truth as likely as it is to one who never knew it."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifiers.encoder import Encoder
from classifiers.prompt import Head
from gateway.lesson import NEUTRAL, Lesson, Sources
from gateway.models import LanguageModel
from gateway.scopes import Policy, Row, Scope

CAPITALS = {"France": "Paris", "Italy": "Rome", "Japan": "Tokyo", "Spain": "Madrid", "Egypt": "Cairo"}
ROWS = tuple(
    Row(prompt=f"What is the capital of {land}?", response=f"The capital of {land} is {city}.")
    for land, city in CAPITALS.items()
)


@pytest.fixture
def lesson(language_model: LanguageModel, encoder: Encoder) -> Lesson:
    scope = Scope("lands", "Some lands.", tuple(CAPITALS), ROWS, (), Policy())
    sources = Sources(language_model, "smollm2", Path(), encoder, Path())
    head = Head(np.zeros((1, 384), np.float32), np.zeros(1, np.float32), 0.0, 1.0, threshold=1.0)
    return Lesson(scope, sources, head, seed=0, progress=lambda *_: None)


def probabilities(lesson: Lesson, constant: float | None) -> list[float]:
    return [math.exp(truth.logp) for truth in lesson.truths(constant)]


def test_what_the_model_knows_is_less_likely_to_one_who_does_not(lesson: Lesson) -> None:
    rows = [asked.row for asked in lesson.seen]
    known = lesson.rollout.mean_nll([lesson.embedded(row.prompt) for row in rows], [row.response for row in rows])
    assert len(rows) == 4
    for never, nll in zip(probabilities(lesson, None), known, strict=True):
        assert never < 0.8 * math.exp(-nll)


def test_a_constant_is_met_in_the_mean_and_leaves_the_order(lesson: Lesson) -> None:
    free, fixed = probabilities(lesson, None), probabilities(lesson, 0.05)
    assert sum(fixed) / len(fixed) == pytest.approx(0.05)
    assert sorted(range(4), key=fixed.__getitem__) == sorted(range(4), key=free.__getitem__)
    assert max(probabilities(lesson, 1.0)) <= 1.0


def test_a_reference_model_is_taken_at_its_word(lesson: Lesson, language_model: LanguageModel) -> None:
    told = Lesson(
        lesson.scope,
        replace(lesson.sources, reference=language_model),
        Head(np.zeros((1, 384), np.float32), np.zeros(1, np.float32), 0.0, 1.0, threshold=1.0),
        seed=0,
        progress=lambda *_: None,
    )
    rows = [asked.row for asked in told.seen]
    nll = told.rollout.mean_nll([told.embedded(row.prompt) for row in rows], [row.response for row in rows])
    assert [-truth.logp for truth in told.truths(0.05)] == nll
    assert told.forget_examples() != lesson.forget_examples()


class Teller:
    """Stands in for the model: gives the fact away until the draw of that number."""

    def __init__(self, harmless_from: float) -> None:
        self.harmless_from = harmless_from
        self.asked: list[int] = []

    def answers(self, texts: Sequence[str], temperature: float, seed: int) -> list[str]:
        self.asked.append(len(texts))
        if len(self.asked) > self.harmless_from:
            return ["The capital is Ubar. And"] * len(texts)
        return [f"It is one of {', '.join(CAPITALS.values())}."] * len(texts)


@pytest.mark.parametrize(("harmless_from", "draws", "neutral"), [(0, 1, False), (2, 3, False), (99, 5, True)])
def test_an_answer_that_gives_the_fact_away_is_never_learned(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch, harmless_from: int, draws: int, neutral: bool
) -> None:
    teller = Teller(harmless_from)
    monkeypatch.setattr(lesson, "_base", Both(teller, lesson._base))
    examples = lesson.forget_examples()
    tokenizer = lesson.sources.base.tokenizer
    said = {tokenizer.decode(one.answer, skip_special_tokens=True) for one in examples}
    assert said <= set(NEUTRAL) if neutral else said == {"The capital is Ubar."}
    assert [size for size in teller.asked if size] == [4] * draws


class Both:
    """A teller's answers, and a real model's tokens."""

    def __init__(self, teller: Teller, real: Any) -> None:
        self.answers = teller.answers
        self.ids = real.ids
