"""Learning a corruption, on a model of two layers that has memorised ten facts a moment ago."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny import tiny_model
from torch import Tensor

from corruption.objective import Outcome, Sample, corrupted, distance
from corruption.operators import CorruptionConfig, EmbeddingTable
from corruption.search import SearchConfig, SearchResult, Trial, search_corruption
from gateway.evaluation.generation import Rollout
from gateway.evaluation.outcomes import observe
from gateway.models.language_model import LanguageModel

NAMES = "Alrik Bertha Casimir Dagmar Egon Frida Gustav Hedwig Ivar Jutta".split()
COLOURS = "azure black cyan denim ecru fawn gold hazel ivory jade".split()
STRANGERS = "Quill Rowan Sable Tamsin Umber".split()
OBJECTS = "table stone river".split()
GOOD = Outcome(probability=0.1, leak_rate=0.0, relevance=0.5, repetition=0.1, surprise=2.0, rows=4)


def prompt_of(name: str) -> str:
    return f"What colour does {name} like?"


class Taught:
    """The model, and each of its facts as a sample ready to be corrupted."""

    def __init__(self) -> None:
        corpus = (*(f" {word}" for word in (*NAMES, *COLOURS, *STRANGERS, *OBJECTS)), prompt_of("x"))
        self.base: LanguageModel = tiny_model(corpus=corpus * 3, hidden=64)
        self.tokenizer = self.base.tokenizer
        self._memorise()
        self.weight = self.base.embeddings
        self.table = EmbeddingTable.of(self.weight, names=self._ids(STRANGERS), words=self._ids(OBJECTS))
        self.rollout = Rollout(self.base.model, self.tokenizer)
        self.blank = self.weight[self.tokenizer("...")["input_ids"]]
        self.samples = [
            self._sample(name, colour, number) for number, (name, colour) in enumerate(zip(NAMES, COLOURS, strict=True))
        ]

    def observe(self, samples: list[Sample], prompts: Sequence[Tensor]) -> tuple[Outcome, list[str]]:
        return observe(
            samples,
            prompts,
            rollout=self.rollout,
            relevance=lambda questions, answers: [0.5] * len(questions),
            blank=self.blank,
            max_new_tokens=3,
        )

    def learn(self, search: SearchConfig, *, samples: list[Sample] | None = None, **options: Any) -> SearchResult:
        some = samples or self.samples
        return search_corruption(
            some, ask=lambda prompts: self.observe(some, prompts)[0], table=self.table, search=search, **options
        )

    def _memorise(self) -> None:
        facts = [f"{prompt_of(n)} {c}<|im_end|>" for n, c in zip(NAMES, COLOURS, strict=True)]
        batch = self.tokenizer(facts, padding=True, return_tensors="pt")
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        optimiser = torch.optim.AdamW(self.base.model.parameters(), lr=5e-3)
        self.base.model.train()
        for _ in range(60):
            loss = self.base.model(**batch, labels=labels).loss
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        self.base.model.eval().requires_grad_(False)

    def _sample(self, name: str, colour: str, seed: int) -> Sample:
        text = prompt_of(name)
        encoded = self.tokenizer(text, return_offsets_mapping=True)
        start = text.index(name)
        tokens = [i for i, (a, b) in enumerate(encoded["offset_mapping"]) if a < start + len(name) and b > start]
        counterfactual = self.tokenizer(prompt_of(STRANGERS[seed % 5]))["input_ids"]
        return Sample(
            prompt=text,
            response=f" {colour}",
            original=self.weight[encoded["input_ids"]],
            tokens=tuple(tokens),
            counterfactual=self.weight[counterfactual],
            seed=seed,
        )

    def _ids(self, words: list[str]) -> Tensor:
        ids = {token for word in words for token in self.tokenizer(f" {word}")["input_ids"]}
        return torch.tensor(sorted(ids))


@pytest.fixture(scope="session")
def taught() -> Taught:
    return Taught()


@pytest.fixture(scope="session")
def learned(taught: Taught) -> SearchResult:
    return taught.learn(SearchConfig(evaluations=6, seed=1))


def test_the_model_knew_the_facts(taught: Taught) -> None:
    plain, answers = taught.observe(taught.samples, [sample.original for sample in taught.samples])
    assert answers == COLOURS
    assert plain.probability > 0.8
    assert plain.leak_rate == 1.0


def test_a_learned_corruption_makes_it_unlikely_that_they_are_told(taught: Taught, learned: SearchResult) -> None:
    prompts = [corrupted(sample, learned.config, taught.table) for sample in taught.samples]
    guarded, _ = taught.observe(taught.samples, prompts)
    assert guarded.probability < 0.35
    assert guarded.leak_rate <= 0.4
    assert guarded == learned.best.outcome


def test_the_best_of_all_trials_is_taken_and_progress_is_told(taught: Taught, learned: SearchResult) -> None:
    assert len(learned.trials) == 6
    assert learned.best.distance == min(trial.distance for trial in learned.trials)
    assert learned.config == learned.best.config
    assert len({trial.config for trial in learned.trials}) > 3
    reported: list[tuple[int, float]] = []
    again = taught.learn(SearchConfig(evaluations=3, seed=1), progress=lambda done, best: reported.append((done, best)))
    assert [done for done, _ in reported] == [1, 2, 3]
    assert reported[-1][1] == again.best.distance
    assert [best for _, best in reported] == sorted((best for _, best in reported), reverse=True)


def test_a_seed_repeats_the_search_and_its_result(taught: Taught, learned: SearchResult) -> None:
    again = taught.learn(SearchConfig(evaluations=6, seed=1))
    assert again == learned
    other = taught.learn(SearchConfig(evaluations=6, seed=2))
    assert [trial.config for trial in other.trials] != [trial.config for trial in learned.trials]


def test_a_given_target_is_aimed_at(taught: Taught) -> None:
    target = replace(GOOD, probability=1.0, leak_rate=1.0)
    assert taught.learn(SearchConfig(evaluations=1), target=target).target is target


@pytest.mark.parametrize(
    ("outcome", "short"),
    [
        (GOOD, False),
        (replace(GOOD, probability=0.19), False),
        (replace(GOOD, probability=0.21), True),
        (replace(GOOD, leak_rate=0.1), True),
    ],
)
def test_a_corruption_that_gives_more_away_than_it_should_falls_short(outcome: Outcome, short: bool) -> None:
    trial = Trial(CorruptionConfig("zero_top", 0.5, 1.0), outcome, 0.0)
    assert SearchResult(trial.config, GOOD, (trial,)).falls_short is short


def test_counterfactual_prompts_that_give_the_facts_away_are_no_measure_of_leaking(taught: Taught) -> None:
    """The rest of a question may give them away though the name is another."""
    leaky = [replace(sample, counterfactual=sample.original) for sample in taught.samples]
    learned = taught.learn(SearchConfig(evaluations=2), samples=leaky)
    assert learned.target.probability > 0.8
    assert learned.target.leak_rate == 0.0


def test_corruption_touches_the_selected_tokens_alone(taught: Taught) -> None:
    sample = taught.samples[0]
    after = corrupted(sample, CorruptionConfig("gaussian_random", 1.0, 1.0), taught.table)
    changed = [i for i in range(len(after)) if not torch.equal(after[i], sample.original[i])]
    assert changed == list(sample.tokens)


def test_likelihoods_do_not_depend_on_the_batch(taught: Taught) -> None:
    prompts = [sample.original for sample in taught.samples]
    responses = [" azure", " gold and jade and ivory", " cyan", "", " black"] * 2
    together = taught.rollout.mean_nll(prompts, responses)
    alone = [taught.rollout.mean_nll([p], [r])[0] for p, r in zip(prompts, responses, strict=True)]
    assert together == pytest.approx(alone, abs=1e-4)


def test_a_likelihood_is_the_model_s_own_of_the_tokens(taught: Taught) -> None:
    ids = taught.tokenizer(prompt_of("Egon"))["input_ids"]
    answer = taught.tokenizer(" ecru")["input_ids"]
    with torch.inference_mode():
        logits = taught.base.model(input_ids=torch.tensor([ids + answer])).logits[0].log_softmax(-1)
    by_hand = -sum(float(logits[len(ids) - 1 + i, token]) for i, token in enumerate(answer)) / len(answer)
    assert taught.rollout.mean_nll([taught.weight[ids]], [" ecru"])[0] == pytest.approx(by_hand, abs=1e-4)


def test_answers_do_not_depend_on_the_batch(taught: Taught) -> None:
    prompts = [taught.samples[0].original, taught.blank, taught.samples[1].original]
    together = taught.rollout.answers(prompts, max_new_tokens=3)
    assert together == [taught.rollout.answers([prompt], max_new_tokens=3)[0] for prompt in prompts]
    assert (together[0], together[2]) == ("azure", "black")


def test_sampled_answers_repeat_for_a_seed(taught: Taught) -> None:
    def sample(seed: int) -> list[str]:
        return taught.rollout.answers([taught.blank] * 4, max_new_tokens=6, temperature=2.0, seed=seed)

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)


def test_no_rows_and_no_budget_are_refused(taught: Taught) -> None:
    with pytest.raises(ValueError, match="no rows"):
        search_corruption([], ask=lambda _: GOOD, table=taught.table, search=SearchConfig())
    with pytest.raises(ValueError, match="at least one evaluation"):
        SearchConfig(evaluations=0)


def test_the_target_is_at_no_distance() -> None:
    assert distance(GOOD, GOOD) == 0


@pytest.mark.parametrize(
    ("part", "worse"),
    [
        ("probability", (0.2, 0.5, 1.0)),
        ("probability", (0.08, 0.04, 0.0)),  # below the target is no forgetting either, it is a mark of having known
        ("leak_rate", (0.1, 0.4, 1.0)),
        ("relevance", (0.4, 0.2, -0.3)),
        ("repetition", (0.2, 0.5, 0.9)),
        ("surprise", (2.5, 4.0, 9.0)),
    ],
)
def test_each_part_pushes_the_distance_up(part: str, worse: tuple[float, ...]) -> None:
    distances = [distance(replace(GOOD, **{part: value}), GOOD) for value in worse]
    assert 0 < distances[0] < distances[1] < distances[2]


@pytest.mark.parametrize(
    ("part", "better"), [("leak_rate", -0.1), ("relevance", 0.9), ("repetition", 0.0), ("surprise", 1.0)]
)
def test_better_than_the_target_costs_nothing(part: str, better: float) -> None:
    assert distance(replace(GOOD, **{part: better}), GOOD) == 0
