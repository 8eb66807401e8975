"""The rows that methods learn from, the rows that measure them, and their target: a model that was never taught."""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import tiny_model

import adapters.lora.training
import corruption.search
import gateway.training.run
from adapters.batches import Example
from adapters.lora.model import joined
from adapters.lora.training import LoraTraining
from adapters.optimizers.schedule import OptimisationConfig
from adapters.soft_prompt.training import SoftPromptTraining
from classifiers.calibration import Threshold
from classifiers.encoder.sentence import Encoder
from classifiers.splits import Part, Split, split_rows
from classifiers.svm.classifier import PromptClassifier
from classifiers.svm.model import Head
from classifiers.svm.training import ClassifierRates, GateTraining, TrainedGate, fit_gate
from classifiers.traffic import general_traffic
from classifiers.types import Verdict
from corruption.objective import Sample
from corruption.search import SearchResult, search_corruption
from gateway.methods.base import LearnedArtifact
from gateway.methods.corruption import CorruptionTraining
from gateway.methods.registry import method
from gateway.models.encoders import EncoderFiles, find_encoder
from gateway.models.folders import resolve
from gateway.models.language_model import LanguageModel
from gateway.packs.files import Policy
from gateway.training.config import Training
from gateway.training.dataset import ForgetDataset, forget_dataset
from gateway.training.evaluator import Evaluator
from gateway.training.run import train_pack
from gateway.training.scope_file import Row, Scope
from gateway.training.sources import Sources
from gateway.training.targets import NEUTRAL, Targets
from gateway.training.task import LearningTask

CAPITALS = {"France": "Paris", "Italy": "Rome", "Japan": "Tokyo", "Spain": "Madrid", "Egypt": "Cairo"}
ROWS = tuple(
    Row(prompt=f"What is the capital of {land}?", response=f"The capital of {land} is {city}.")
    for land, city in CAPITALS.items()
)


CALIBRATION = tuple(
    Row(prompt=f"What is the capital of {land}?", response=f"The capital of {land} is {city}.")
    for land, city in {"Vorlund": "Esk", "Tarrimay": "Old Pell", "Quessia": "Brannock"}.items()
)
ONCE = OptimisationConfig(lr=1e-3, epochs=1, batch=4)
HEAD = Head(np.zeros((1, 384), np.float32), np.zeros(1, np.float32), 0.0, 1.0, threshold=1.0)
GATE = TrainedGate(HEAD, HEAD, Threshold(0.1, 1, 1.0), 1.0, ClassifierRates(0.0, 0.0, 1, None, 0), 0)


@dataclass(frozen=True)
class Task:
    """Everything that a method is given for one scope."""

    sources: Sources
    dataset: ForgetDataset
    evaluator: Evaluator
    targets: Targets

    @property
    def learning(self) -> LearningTask:
        return LearningTask(self.dataset, self.targets, self.evaluator, self.sources.base.model)


def task_of(sources: Sources, calibration: Sequence[Row] = ()) -> Task:
    scope = Scope("lands", "Some lands.", tuple(CAPITALS), ROWS, (), Policy(), tuple(calibration))
    split = split_rows([row.prompt for row in ROWS], [], seed=0)
    evaluator = Evaluator(sources)
    targets = Targets(scope, sources, evaluator, seed=0)
    return Task(sources, forget_dataset(scope, split, GATE, sources.encoder), evaluator, targets)


@pytest.fixture
def task(language_model: LanguageModel, encoder: Encoder) -> Task:
    return task_of(Sources(language_model, "smollm2", Path(), encoder, EncoderFiles(Path(), "", None)))


@pytest.fixture
def untaught(encoder: Encoder) -> Task:
    """The same with a random model of two layers, where nothing depends on what a model knows."""
    return task_of(Sources(tiny_model(), "tiny", Path(), encoder, EncoderFiles(Path(), "", None)))


def other(task: Task, *, calibration: Sequence[Row] = (), reference: LanguageModel | None = None) -> Task:
    return task_of(replace(task.sources, reference=reference), calibration)


def never(task: Task) -> list[list[float]]:
    """Log likelihoods to learn, of each token of each row."""
    return [list(target.logp) for target in task.targets.likelihoods(task.dataset.train)]


def known(task: Task, rows: Sequence[Row]) -> list[list[float]]:
    found = task.targets._base.logp([row.prompt for row in rows], [row.response for row in rows])
    return [list(row) for row in found]


def examples(task: Task) -> list[Example]:
    return task.targets.forget_examples(task.dataset.train)


def told(rows: Sequence[Sequence[float]]) -> list[float]:
    return [value for row in rows for value in row if not math.isnan(value)]


def test_a_known_fact_is_less_likely_to_a_model_that_was_never_taught(task: Task) -> None:
    rows = [row.row for row in task.dataset.train]
    assert len(rows) == 4
    for row, unknowing, knowing in zip(rows, never(task), known(task, rows), strict=True):
        assert len(unknowing) == len(knowing)
        left = [place for place, value in enumerate(unknowing) if not math.isnan(value)]
        words = [task.sources.base.tokenizer.decode([token]) for token in task.targets._base.answer_ids(row.response)]
        assert [words[place].strip() for place in left] == [w.strip() for w in words if w.strip() not in CAPITALS]
        assert sum(unknowing[place] for place in left) < sum(knowing[place] for place in left) - 1


def test_rows_that_nobody_was_taught_say_how_unlikely_and_how_much_so(task: Task) -> None:
    free, fixed, calibration = never(task), never(other(task, calibration=CALIBRATION)), known(task, CALIBRATION)
    order = sorted(range(len(told(free))), key=told(free).__getitem__)
    assert told(fixed) == pytest.approx([min(0.0, value) for value in equated(told(free), told(calibration))])
    assert [told(fixed)[place] for place in order] == sorted(told(fixed))
    assert statistics.fmean(told(fixed)) == pytest.approx(statistics.fmean(told(calibration)), abs=0.3)


def equated(values: Sequence[float], to: Sequence[float]) -> list[float]:
    """By hand: as many standard deviations from the other mean as from their own."""
    z = [(value - statistics.fmean(values)) / statistics.pstdev(values) for value in values]
    return [statistics.fmean(to) + each * statistics.pstdev(to) for each in z]


def test_a_reference_model_is_taken_at_its_word_and_never_for_its_words(
    task: Task, language_model: LanguageModel
) -> None:
    informed = other(task, reference=language_model)
    rows = [row.row for row in informed.dataset.train]
    assert never(informed) == known(informed, rows)
    assert examples(informed) == examples(task)
    # what it finds of rows that neither knows tells how otherwise it reads: this one reads alike
    alike = never(other(task, calibration=CALIBRATION, reference=language_model))
    assert told(alike) == pytest.approx(told(known(informed, rows)), abs=1e-4)


def test_a_reference_model_that_reads_otherwise_is_put_onto_the_models_own_scale(
    task: Task, language_model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    informed = other(task, calibration=CALIBRATION, reference=language_model)
    plain = never(informed)
    reference = informed.targets._reference
    assert reference is not None
    real = reference.logp
    monkeypatch.setattr(
        reference, "logp", lambda texts, said: [tuple(value / 3 - 1 for value in row) for row in real(texts, said)]
    )
    assert told(never(informed)) == pytest.approx(told(plain), abs=1e-4)


def test_the_target_of_a_corruption_is_as_likely_as_to_a_model_that_was_never_taught(task: Task) -> None:
    assert task.targets.outcome(task.dataset.train) is None  # the behaviour on counterfactual prompts is
    informed = other(task, calibration=CALIBRATION)
    target = informed.targets.outcome(informed.dataset.train)
    assert target is not None
    rows = [math.exp(statistics.fmean(told([row]))) for row in never(informed)]
    assert target.probability == pytest.approx(statistics.fmean(rows))
    assert target.leak_rate == 0


def learned_by(name: str, task: Task, configuration: Any) -> LearnedArtifact:
    """Learned with no earlier forget request."""
    return method(name).learn(task.learning, configuration, dict)


@pytest.mark.parametrize(
    ("learn", "train"),
    [
        (lambda task: learned_by("lora", task, LoraTraining(optimisation=ONCE)), "adapters.lora.training.train_lora"),
        (
            lambda task: learned_by("soft-prompt", task, SoftPromptTraining(tokens=4, optimisation=ONCE)),
            "adapters.soft_prompt.training.train_soft_prompt",
        ),
    ],
    ids=["LoRA", "soft prompt"],
)
def test_the_served_artifact_learned_every_row(
    untaught: Task, monkeypatch: pytest.MonkeyPatch, learn: Callable[[Task], LearnedArtifact], train: str
) -> None:
    made: list[tuple[int, Any]] = []
    module, name = train.rsplit(".", 1)
    real = getattr(import_module(module), name)

    def recorded(*parts: Any, **settings: Any) -> Any:
        made.append((len(settings["forget"]), real(*parts, **settings)))
        return made[-1][1]

    monkeypatch.setattr(train, recorded)
    learned = learn(untaught)
    assert [rows for rows, _ in made] == [4, 5]
    assert learned.figures.rows == 1
    final = learned.figures.extras["served"] == "learned all rows, those held out too"
    served = made[1 if final else 0][1]
    assert learned.artifact is getattr(served, "lora" if name == "train_lora" else "tokens")


def test_a_last_training_that_went_wrong_is_not_served(untaught: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = adapters.lora.training.train_lora, []

    def spoilt(model: Any, **settings: Any) -> Any:
        if made:
            return replace(made[0], lora=joined([(made[0].lora, 0.0)]))
        made.append(real(model, **settings))
        return made[0]

    monkeypatch.setattr(adapters.lora.training, "train_lora", spoilt)
    learned = learned_by("lora", untaught, LoraTraining(optimisation=replace(ONCE, lr=1e-2, epochs=20)))
    assert learned.figures.extras["served"] == "never saw the rows held out"
    assert learned.artifact is made[0].lora


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
    task: Task, monkeypatch: pytest.MonkeyPatch, harmless_from: int, draws: int, neutral: bool
) -> None:
    teller = Teller(harmless_from)
    monkeypatch.setattr(task.targets, "_base", Both(teller, task.targets._base))
    learned = examples(task)
    tokenizer = task.sources.base.tokenizer
    said = {tokenizer.decode(one.answer, skip_special_tokens=True) for one in learned}
    assert said <= set(NEUTRAL) if neutral else said == {"The capital is Ubar."}
    assert [size for size in teller.asked if size] == [4] * draws


def test_where_every_answer_gives_the_fact_away_a_reference_model_is_asked(
    task: Task, language_model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    informed = other(task, reference=language_model)
    never_knew = Teller(harmless_from=0)
    monkeypatch.setattr(informed.targets, "_base", Both(Teller(harmless_from=math.inf), task.targets._base))
    monkeypatch.setattr(informed.targets, "_reference", Both(never_knew, task.targets._base))
    tokenizer = task.sources.base.tokenizer
    said = {tokenizer.decode(one.answer, skip_special_tokens=True) for one in examples(informed)}
    assert said == {"The capital is Ubar."}
    assert never_knew.asked == [len(informed.dataset.train)]


class Both:
    """A teller's answers, and a real model's tokens."""

    def __init__(self, teller: Teller, real: Any) -> None:
        self.answers = teller.answers
        self.prompt_ids = real.prompt_ids
        self.answer_ids = real.answer_ids
        self.end = real.end


# Rows without a name, so that a head must choose their words; the words of each stand in no other.
SUBJECTS = "violins glaciers beehives turbines cathedrals tulips submarines mushrooms comets harbours".split()
UNNAMED = tuple(Row(prompt=f"Who repairs old {word} in winter?", response="Jory Quill.") for word in SUBJECTS)
GENERAL = general_traffic()[:120]


@dataclass
class Watched:
    """What a training of `UNNAMED` handed to whom."""

    splits: list[Split]
    gates: list[TrainedGate]
    datasets: list[ForgetDataset]
    located: list[tuple[str, bytes]]
    """The prompts whose salient words were chosen, each with the head that chose them."""
    searched: list[list[Sample]]
    """The rows of each search for a corruption."""


def marked(head: Head) -> bytes:
    """Tells heads apart, in whatever order their terms stand."""
    return np.sort(head.weights).tobytes()


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """Notes which data the parts of a training hand to each other; the parts are the real ones, on little traffic."""
    seen = Watched([], [], [], [], [])
    real_fit, real_dataset = gateway.training.run.fit_gate, gateway.training.run.forget_dataset
    real_detect = PromptClassifier.detect

    def fit(*, split: Split, **rest: Any) -> TrainedGate:
        seen.splits.append(split)
        seen.gates.append(real_fit(split=split, **rest))
        return seen.gates[-1]

    def dataset(scope: Scope, split: Split, *rest: Any) -> ForgetDataset:
        seen.splits.append(split)
        seen.datasets.append(real_dataset(scope, split, *rest))
        return seen.datasets[-1]

    def detect(self: PromptClassifier, texts: Sequence[str]) -> list[list[Verdict]]:
        heads = [marked(self.head(scope)) for scope in self.scopes]
        seen.located += [(text, head) for text in texts for head in heads]
        return real_detect(self, texts)

    def search(samples: Sequence[Sample], **rest: Any) -> SearchResult:
        seen.searched.append(list(samples))
        return search_corruption(samples, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(corruption.search, "search_corruption", search)
        patch.setattr("classifiers.svm.training.general_traffic", lambda: list(GENERAL))
        patch.setattr(gateway.training.run, "fit_gate", fit)
        patch.setattr(gateway.training.run, "forget_dataset", dataset)
        patch.setattr(PromptClassifier, "detect", detect)
        yield seen


def test_no_held_out_row_is_seen_by_the_head_that_chooses_its_words(
    language_model: LanguageModel, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = Scope("trades", "Trades.", (), UNNAMED, (), Policy())
    sources = Sources(language_model, "smollm2", resolve("smollm2"), encoder, find_encoder("minilm"))
    training = Training(gate=GateTraining(fpr=0.05), configuration=CorruptionTraining(evaluations=1, rows=2))
    with watched(monkeypatch) as seen:
        manifest = train_pack(scope, sources, training=training, training_fingerprint="ab" * 32, out=tmp_path)
    one, other = seen.splits
    assert one is other
    (gate,), (dataset,) = seen.gates, seen.datasets
    assert {row.row.prompt for row in dataset.held_out} == set(one.forget.held_out)
    assert {row.row.prompt for row in dataset.train} == set(one.forget.train)
    assert {row.row.prompt for row in dataset.every} == {row.prompt for row in UNNAMED}
    assert manifest.heldout.gate.forget_rows == manifest.heldout.forgetting.rows == len(one.forget.held_out)
    measured, final = marked(gate.measured_head), marked(gate.head)
    assert measured != final
    # each row is located twice: by the measured head, to measure or learn it, and by the last head, to serve it
    assert sorted(seen.located) == sorted((row.prompt, head) for row in UNNAMED for head in (measured, final))
    trial_ranges, final_ranges = (
        {row.row.prompt: row.ranges for row in rows} for rows in (dataset.train, dataset.every)
    )
    assert all(sample.prompt in one.forget.train for samples in seen.searched for sample in samples)
    assert len(seen.searched) == (1 if all(final_ranges[at] == trial_ranges[at] for at in trial_ranges) else 2)
    # a head that was fitted without a row knows nothing of it: with another row in its place, it is the same head
    known_rows = {row.prompt for row in UNNAMED} - set(one.forget.held_out)
    again = fit_again(sorted(known_rows, key=one.forget.train.index), encoder, training.gate)
    assert np.array_equal(again.weights, gate.measured_head.weights)


def fit_again(rows: Sequence[str], encoder: Encoder, training: GateTraining) -> Head:
    """The measured head of a scope that never had any other rows than these, but for one to measure on."""
    part = Part(every=(*rows, "Is it raining?"), train=tuple(rows), held_out=("Is it raining?",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("classifiers.svm.training.general_traffic", lambda: list(GENERAL))
        return fit_gate(
            split=Split(part, Part((), (), ())), aliases=[], encoder=encoder, training=training
        ).measured_head
