"""Forgetting by soft prompt and by LoRA: known facts gone from generated text, the others still there."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from memory import EAT, NAMES, NEUTRAL, Memory
from safetensors.torch import save_file

from adapters.batches import Example, TargetLikelihood
from adapters.lora.model import Lora, LoraSwitch
from adapters.lora.training import LoraTraining, TrainedLora, train_lora
from adapters.optimizers.schedule import Diverged, OptimisationConfig, OptimizerName
from adapters.soft_prompt.model import VirtualTokens
from adapters.soft_prompt.training import SoftPromptTraining, TrainedSoftPrompt, train_soft_prompt

FORGOTTEN = NAMES[:3]
LORA = LoraTraining(rank=4, alpha=8, optimisation=OptimisationConfig(lr=5e-3, epochs=25, batch=3))
PROMPT = SoftPromptTraining(tokens=4, optimisation=OptimisationConfig(lr=1e-2, epochs=40, batch=6))


def forget(memory: Memory, names: tuple[str, ...], training: LoraTraining = LORA, **options: object) -> TrainedLora:
    rows = [memory.neutral(name) for name in names]
    return train_lora(memory.base.model, forget=rows, training=training, **{"earlier": [], **options})


@pytest.fixture(scope="module")
def first(memory: Memory) -> TrainedLora:
    return forget(memory, FORGOTTEN)


@pytest.fixture(scope="module")
def prompt(memory: Memory) -> TrainedSoftPrompt:
    return train_soft_prompt(
        memory.base.model,
        forget=[memory.neutral(name) for name in NAMES],
        retain=[memory.true(name, EAT) for name in NAMES],
        training=PROMPT,
    )


def test_a_lora_makes_the_facts_go_and_the_model_itself_stays(memory: Memory, first: TrainedLora) -> None:
    with LoraSwitch(memory.base.model) as switch, switch.applied([(first.lora, 1.0)]):
        assert [memory.says(name) for name in FORGOTTEN] == [NEUTRAL] * 3
    assert all(memory.knows(name) for name in NAMES)
    assert first.losses[-1] < 0.1 * first.losses[0]


def test_training_leaves_the_model_as_it_was(memory: Memory) -> None:
    model = memory.base.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    kinds = [type(module) for module in model.modules()]
    broken = replace(LORA, optimisation=OptimisationConfig(lr=1e30, epochs=4))
    with pytest.raises(Diverged, match="lower learning rate"):
        forget(memory, FORGOTTEN, broken)
    assert [type(module) for module in model.modules()] == kinds
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_later_request_does_not_undo_an_earlier_one(memory: Memory, first: TrainedLora) -> None:
    later = NAMES[3:6]
    free = forget(memory, later, replace(LORA, orthogonality=0.0), earlier=[first.lora])
    kept_apart = forget(memory, later, replace(LORA, orthogonality=1.0), earlier=[first.lora])
    assert kept_apart.overlap < 0.1 * free.overlap
    with LoraSwitch(memory.base.model) as switch, switch.applied([(first.lora, 1.0), (kept_apart.lora, 1.0)]):
        assert not any(memory.knows(name) for name in (*FORGOTTEN, *later))


def test_large_earlier_adapters_leave_the_steps_for_forgetting(memory: Memory, first: TrainedLora) -> None:
    """The regulariser grows with the square of their size: from a random start it would be all that is learned."""
    large = Lora({name: (20 * down, up) for name, (down, up) in first.lora.layers.items()}, first.lora.scaling)
    later = NAMES[3:6]
    trained = forget(memory, later, earlier=[large])
    assert trained.losses[0] < 1.1 * forget(memory, later).losses[0]
    with LoraSwitch(memory.base.model) as switch, switch.applied([(trained.lora, 1.0)]):
        assert not any(memory.knows(name) for name in later)


def test_the_fourth_request_starts_apart_from_all_before_it(memory: Memory, first: TrainedLora) -> None:
    once = replace(LORA, optimisation=OptimisationConfig(lr=5e-3, epochs=1, batch=3))
    earlier = [first.lora]
    for _ in range(3):  # 4 ranks each, of 64 dimensions
        trained = forget(memory, FORGOTTEN, once, earlier=earlier)
        assert trained.overlap < 1e-3
        earlier.append(trained.lora)


def targets(memory: Memory, names: tuple[str, ...], probability: float) -> list[TargetLikelihood]:
    """What the names' true answers should be worth."""
    rows = [memory.true(name) for name in names]
    answers = [Example(row.prompt, row.answer[:-1]) for row in rows]
    return [TargetLikelihood(answer, (math.log(probability),) * len(answer.answer)) for answer in answers]


@pytest.mark.parametrize("probability", [0.2, 0.02])
def test_the_true_answer_becomes_as_likely_as_to_a_model_that_was_never_taught(
    memory: Memory, probability: float
) -> None:
    plan = replace(LORA, gap=1.0, optimisation=OptimisationConfig(lr=5e-3, epochs=60, batch=3))
    trained = forget(memory, FORGOTTEN, plan, likelihoods=targets(memory, FORGOTTEN, probability))
    with LoraSwitch(memory.base.model) as switch, switch.applied([(trained.lora, 1.0)]):
        assert [memory.says(name) for name in FORGOTTEN] == [NEUTRAL] * 3
        assert [memory.likelihood(name) for name in FORGOTTEN] == pytest.approx([probability] * 3, rel=0.3)


def test_a_soft_prompt_too_leaves_no_more_of_the_truth_than_it_should(memory: Memory) -> None:
    rows = [memory.neutral(name) for name in FORGOTTEN]
    plan = replace(PROMPT, gap=1.0, optimisation=OptimisationConfig(lr=1e-2, epochs=120, batch=6))
    trained = train_soft_prompt(
        memory.base.model, forget=rows, retain=[], training=plan, likelihoods=targets(memory, FORGOTTEN, 0.1)
    )
    virtual = trained.tokens.embeddings
    assert not any(memory.knows(name, virtual=virtual) for name in FORGOTTEN)
    assert [memory.likelihood(name, virtual=virtual) for name in FORGOTTEN] == pytest.approx([0.1] * 3, rel=0.5)


def test_truths_of_other_rows_are_refused(memory: Memory) -> None:
    with pytest.raises(ValueError, match="2 true answers do not belong to 3 forget rows"):
        forget(memory, FORGOTTEN, likelihoods=targets(memory, FORGOTTEN[:2], 0.1))


@pytest.mark.parametrize("optimizer", ["adamw", "mofo"])
def test_the_same_seed_gives_the_same_adapter(memory: Memory, optimizer: OptimizerName) -> None:
    plan = replace(LORA, optimisation=OptimisationConfig(lr=5e-3, epochs=2, optimizer=optimizer, seed=3))
    one, two = (forget(memory, FORGOTTEN, plan) for _ in range(2))
    assert one.lora.digest == two.lora.digest
    other = replace(plan, optimisation=replace(plan.optimisation, seed=4))
    assert forget(memory, FORGOTTEN, other).lora.digest != one.lora.digest


def test_mofo_forgets_too(memory: Memory) -> None:
    plan = replace(LORA, optimisation=OptimisationConfig(lr=5e-3, epochs=60, batch=3, optimizer="mofo"))
    trained = forget(memory, FORGOTTEN, plan)
    with LoraSwitch(memory.base.model) as switch, switch.applied([(trained.lora, 1.0)]):
        assert not any(memory.knows(name) for name in FORGOTTEN)


def test_a_soft_prompt_makes_one_kind_of_facts_go_and_keeps_another(memory: Memory, prompt: TrainedSoftPrompt) -> None:
    virtual = prompt.tokens.embeddings
    assert virtual.shape == (4, 64)
    assert not any(memory.knows(name, virtual=virtual) for name in NAMES)
    assert all(memory.knows(name, EAT, virtual=virtual) for name in NAMES)
    assert all(memory.knows(name) for name in NAMES), "without the prompt the model is as it was"


def test_without_retain_rows_a_soft_prompt_still_forgets(memory: Memory) -> None:
    rows = [memory.neutral(name) for name in FORGOTTEN]
    trained = train_soft_prompt(memory.base.model, forget=rows, retain=[], training=PROMPT)
    assert not any(memory.knows(name, virtual=trained.tokens.embeddings) for name in FORGOTTEN)


def test_nothing_to_forget_is_said(memory: Memory) -> None:
    with pytest.raises(ValueError, match="no forget rows"):
        train_lora(memory.base.model, forget=[], earlier=[], training=LORA)
    with pytest.raises(ValueError, match="no forget rows"):
        train_soft_prompt(memory.base.model, forget=[], retain=[], training=PROMPT)


def test_a_soft_prompt_is_saved_and_loaded(tmp_path: Path, prompt: TrainedSoftPrompt) -> None:
    file = tmp_path / "soft_prompt.safetensors"
    prompt.tokens.save(file)
    assert torch.equal(VirtualTokens.load(file).embeddings, prompt.tokens.embeddings)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"other": torch.ones(2, 4)}, "no soft prompt"),
        ({"prompt_embeddings": torch.ones(4)}, r"\[tokens, hidden\]"),
        ({"prompt_embeddings": torch.ones(0, 4)}, r"\[tokens, hidden\]"),
        ({"prompt_embeddings": torch.full((1, 4), torch.inf)}, "not finite"),
    ],
)
def test_a_file_that_is_no_soft_prompt_is_refused(tmp_path: Path, tensors: dict[str, torch.Tensor], words: str) -> None:
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=words):
        VirtualTokens.load(tmp_path / "x.safetensors")
