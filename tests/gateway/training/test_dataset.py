"""What methods learn from: the truth as likely as it is to one who never knew it."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gateway.training.methods
from adapters.lora.model import joined
from adapters.lora.training import LoraTraining
from adapters.optimizers.schedule import Optimisation
from adapters.soft_prompt.training import SoftPromptTraining
from classifiers.encoder.sentence import Encoder
from classifiers.svm.model import Head
from gateway.models.language_model import LanguageModel
from gateway.training.dataset import NEUTRAL, Learnt, Lesson, Sources
from gateway.training.methods import learn_lora, learn_soft_prompt
from gateway.training.scope_file import Policy, Row, Scope

CAPITALS = {"France": "Paris", "Italy": "Rome", "Japan": "Tokyo", "Spain": "Madrid", "Egypt": "Cairo"}
ROWS = tuple(
    Row(prompt=f"What is the capital of {land}?", response=f"The capital of {land} is {city}.")
    for land, city in CAPITALS.items()
)


UNSEEN = tuple(
    Row(prompt=f"What is the capital of {land}?", response=f"The capital of {land} is {city}.")
    for land, city in {"Vorlund": "Esk", "Tarrimay": "Old Pell", "Quessia": "Brannock"}.items()
)
ONCE = Optimisation(lr=1e-3, epochs=1, batch=4)
HEAD = Head(np.zeros((1, 384), np.float32), np.zeros(1, np.float32), 0.0, 1.0, threshold=1.0)


@pytest.fixture
def lesson(language_model: LanguageModel, encoder: Encoder) -> Lesson:
    scope = Scope("lands", "Some lands.", tuple(CAPITALS), ROWS, (), Policy())
    sources = Sources(language_model, "smollm2", Path(), encoder, Path())
    return Lesson(scope, sources, HEAD, seed=0, progress=lambda *_: None)


def other(lesson: Lesson, *, unseen: Sequence[Row] = (), reference: LanguageModel | None = None) -> Lesson:
    scope, sources = replace(lesson.scope, unseen=tuple(unseen)), replace(lesson.sources, reference=reference)
    return Lesson(scope, sources, HEAD, seed=0, progress=lambda *_: None)


def never(lesson: Lesson) -> list[list[float]]:
    """Log likelihoods to learn, of each token of each row."""
    return [list(truth.logp) for truth in lesson.truths()]


def known(lesson: Lesson, rows: Sequence[Row]) -> list[list[float]]:
    prompts, responses = [lesson.embedded(row.prompt) for row in rows], [row.response for row in rows]
    return [score.logprob.tolist() for score in lesson.rollout.token_scores(prompts, responses)]


def told(rows: Sequence[Sequence[float]]) -> list[float]:
    return [value for row in rows for value in row if not math.isnan(value)]


def test_what_the_model_knows_is_less_likely_to_one_who_does_not(lesson: Lesson) -> None:
    rows = [asked.row for asked in lesson.seen]
    assert len(rows) == 4
    for row, unknowing, knowing in zip(rows, never(lesson), known(lesson, rows), strict=True):
        assert len(unknowing) == len(knowing)
        left = [place for place, value in enumerate(unknowing) if not math.isnan(value)]
        words = [lesson.sources.base.tokenizer.decode([token]) for token in lesson._ids(row.response)]
        assert [words[place].strip() for place in left] == [w.strip() for w in words if w.strip() not in CAPITALS]
        assert sum(unknowing[place] for place in left) < sum(knowing[place] for place in left) - 1


def test_rows_that_nobody_was_taught_say_how_unlikely_and_how_much_so(lesson: Lesson) -> None:
    free, fixed, unseen = never(lesson), never(other(lesson, unseen=UNSEEN)), known(lesson, UNSEEN)
    order = sorted(range(len(told(free))), key=told(free).__getitem__)
    assert told(fixed) == pytest.approx([min(0.0, value) for value in equated(told(free), told(unseen))])
    assert [told(fixed)[place] for place in order] == sorted(told(fixed))
    assert statistics.fmean(told(fixed)) == pytest.approx(statistics.fmean(told(unseen)), abs=0.3)


def equated(values: Sequence[float], to: Sequence[float]) -> list[float]:
    """By hand: as many standard deviations from the other mean as from their own."""
    z = [(value - statistics.fmean(values)) / statistics.pstdev(values) for value in values]
    return [statistics.fmean(to) + each * statistics.pstdev(to) for each in z]


def test_a_reference_model_is_taken_at_its_word_and_never_for_its_words(
    lesson: Lesson, language_model: LanguageModel
) -> None:
    informed = other(lesson, reference=language_model)
    rows = [asked.row for asked in informed.seen]
    assert never(informed) == known(informed, rows)
    assert informed.forget_examples() == lesson.forget_examples()
    # what it finds of rows that neither knows tells how otherwise it reads: this one reads alike
    alike = never(other(lesson, unseen=UNSEEN, reference=language_model))
    assert told(alike) == pytest.approx(told(known(informed, rows)), abs=1e-4)


def test_a_reference_model_that_reads_otherwise_is_put_onto_the_models_own_scale(
    lesson: Lesson, language_model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    informed = other(lesson, unseen=UNSEEN, reference=language_model)
    plain = never(informed)
    voice = informed._reference
    assert voice is not None
    real = voice.logp
    monkeypatch.setattr(
        voice, "logp", lambda texts, said: [tuple(value / 3 - 1 for value in row) for row in real(texts, said)]
    )
    assert told(never(informed)) == pytest.approx(told(plain), abs=1e-4)


def test_the_target_of_a_corruption_is_as_likely_as_to_one_who_never_knew(lesson: Lesson) -> None:
    assert lesson.target(lesson.seen) is None  # the twins' behaviour is
    informed = other(lesson, unseen=UNSEEN)
    target = informed.target(informed.seen)
    assert target is not None
    rows = [math.exp(statistics.fmean(told([row]))) for row in never(informed)]
    assert target.probability == pytest.approx(statistics.fmean(rows))
    assert target.leak_rate == 0


@pytest.mark.parametrize(
    ("learn", "train"),
    [
        (lambda lesson: learn_lora(lesson, LoraTraining(optimisation=ONCE), {}), "train_lora"),
        (
            lambda lesson: learn_soft_prompt(lesson, SoftPromptTraining(tokens=4, optimisation=ONCE)),
            "train_soft_prompt",
        ),
    ],
    ids=["LoRA", "soft prompt"],
)
def test_what_serves_learned_every_row_and_is_measured_by_one_that_did_not(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch, learn: Callable[[Lesson], Learnt], train: str
) -> None:
    made: list[tuple[int, Any]] = []
    real = getattr(gateway.training.methods, train)

    def recorded(*parts: Any, **settings: Any) -> Any:
        made.append((len(settings["forget"]), real(*parts, **settings)))
        return made[-1][1]

    monkeypatch.setattr(gateway.training.methods, train, recorded)
    learnt = learn(lesson)
    assert [rows for rows, _ in made] == [4, 5]
    assert learnt.heldout["rows"] == 1
    final = learnt.heldout["served"] == "learned all rows, those held out too"
    served = made[1 if final else 0][1]
    assert learnt.means is getattr(served, "lora" if train == "train_lora" else "tokens")


def test_a_last_training_that_went_wrong_is_not_served(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = gateway.training.methods.train_lora, []

    def spoilt(model: Any, **settings: Any) -> Any:
        if made:
            return replace(made[0], lora=joined([(made[0].lora, 0.0)]))
        made.append(real(model, **settings))
        return made[0]

    monkeypatch.setattr(gateway.training.methods, "train_lora", spoilt)
    learnt = learn_lora(lesson, LoraTraining(optimisation=replace(ONCE, epochs=4)), {})
    assert learnt.heldout["served"] == "never saw the rows held out"
    assert learnt.means is made[0].lora


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


@pytest.mark.parametrize(("harmless_from", "draws", "neutral"), [(0, 1, False), (2, 3, False), (99, 9, True)])
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


def test_where_every_answer_gives_the_fact_away_a_reference_model_is_asked(
    lesson: Lesson, language_model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    informed = other(lesson, reference=language_model)
    never_knew = Teller(harmless_from=0)
    monkeypatch.setattr(informed, "_base", Both(Teller(harmless_from=math.inf), lesson._base))
    monkeypatch.setattr(informed, "_reference", Both(never_knew, lesson._base))
    tokenizer = lesson.sources.base.tokenizer
    said = {tokenizer.decode(one.answer, skip_special_tokens=True) for one in informed.forget_examples()}
    assert said == {"The capital is Ubar."}
    assert never_knew.asked == [len(informed.seen)]


class Both:
    """A teller's answers, and a real model's tokens."""

    def __init__(self, teller: Teller, real: Any) -> None:
        self.answers = teller.answers
        self.ids = real.ids
