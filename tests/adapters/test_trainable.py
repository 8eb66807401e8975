"""A model in training looks back: its original answers and activations are at hand, and then it goes on."""

from typing import Any

import pytest
import torch
from learners import (
    TARGETS,
    copied,
    forget,
    forget_rows,
    idk_rows,
    moved,
    plan,
    run_plan,
    weights,
)
from memory import Memory

from adapters.batches import answer_logits, collate
from adapters.optimizers.schedule import OptimisationConfig, Trainer
from adapters.weights.terms import generic_answers
from adapters.weights.trainable import TrainableModel, own_weights, with_lora
from adapters.weights.training import Target, WeightMethod


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_trainable_model_computes_its_original_answers_and_then_goes_on(
    learner: Memory, target: Target, dtype: torch.dtype
) -> None:
    model = learner.base.model.to(dtype)
    batch = collate(forget_rows(learner), device=torch.device("cpu"))
    with student(model, target) as one:
        assert {parameter.dtype for parameter in one.parameters} == {torch.float32}, "small steps would be lost"
        with torch.no_grad():
            before = one.logits(batch)
        Trainer(one.parameters, OptimisationConfig(lr=1e-2, epochs=1), 1).step(one.logits(batch).square().mean())
        with torch.no_grad():
            now = one.logits(batch)
            with one.original():
                assert torch.equal(one.logits(batch), before)
            assert torch.equal(one.logits(batch), now)
    assert not torch.allclose(now, before, atol=1e-2)
    if dtype is torch.float32:
        with torch.no_grad():
            assert torch.allclose(answer_logits(model, batch), now, atol=1e-4)


def student(model: Any, target: Target) -> Any:
    if target == "lora":
        return with_lora(model, rank=2, alpha=4, merge=True)
    return own_weights(model, list(model.parameters()), remember=True)


def test_a_student_that_was_not_to_remember_says_so(learner: Memory) -> None:
    def look_back(one: TrainableModel) -> None:
        with one.original():
            pass

    parameters = list(learner.base.model.parameters())
    with own_weights(learner.base.model, parameters, remember=False) as one, pytest.raises(RuntimeError, match="kept"):
        look_back(one)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", ["kl", "rmu"])
def test_retained_activations_start_at_no_distance_from_the_original(
    learner: Memory, method: WeightMethod, target: Target
) -> None:
    distances = forget(learner, plan(method, target, lr=1e-2, epochs=4)).retain
    assert distances[0] == pytest.approx(0, abs=1e-6)
    assert min(distances[1:]) > 1e-6


def test_generic_answers_lack_the_reinforced_tokens_and_leave_the_model_as_it_was(divided: Memory) -> None:
    learner = copied(divided)
    before = weights(learner.base.model)
    kinds = [type(module) for module in learner.base.model.modules()]
    found = generic_answers(learner.base.model, forget_rows(learner), run_plan("whp", "full"))
    assert moved(learner.base.model, before) == set()
    assert [type(module) for module in learner.base.model.modules()] == kinds
    starts = [learner.base.tokenizer.decode(row[:1]) for row in found]
    assert starts == [learner.base.tokenizer.decode([row.answer[0]]) for row in idk_rows(learner)]
    assert [len(row) for row in found] == [len(row.answer) for row in forget_rows(learner)]
