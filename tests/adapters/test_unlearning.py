"""Unlearning by weights: known facts gone from generated text, others still said; the model handed back in order."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from learners import (
    FORGOTTEN,
    METHODS,
    TARGETS,
    copied,
    forget,
    forget_rows,
    idk_rows,
    is_frozen,
    moved,
    plan,
    retained,
    run_plan,
    still_known,
    weights,
)
from memory import NEUTRAL, Memory
from torch import Tensor

from adapters.batches import collate
from adapters.losses import flat, gradient_ascent, simnpo, undial
from adapters.optimizers.schedule import Diverged, OptimisationConfig, Trainer
from adapters.weights.steering import steering_vector
from adapters.weights.training import LossCurves, Target, UnlearningConfig, WeightMethod, unlearn

# ------------------------------------------------------------------------------------------ what is said


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", METHODS)
def test_forgotten_facts_are_gone_and_the_others_still_said(
    memory: Memory, divided: Memory, method: WeightMethod, target: Target
) -> None:
    learner = copied(divided if method == "whp" else memory)
    assert (still_known(learner), retained(learner)) == (4, 20)
    kinds = [type(module) for module in learner.base.model.modules()]
    forget(learner, run_plan(method, target))
    assert still_known(learner) <= 1
    if method == "ga":
        assert retained(learner) <= 12, "plain ascent destroys; if it no longer does, the test above may mean little"
    else:
        assert retained(learner) >= 17
    assert is_frozen(learner.base.model)
    assert [type(module) for module in learner.base.model.modules()] == kinds


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", ["idk-dpo", "whp"])
def test_methods_that_teach_another_answer_have_it_said(divided: Memory, method: WeightMethod, target: Target) -> None:
    learner = copied(divided)
    forget(learner, run_plan(method, target))
    assert sum(learner.says(name) == NEUTRAL for name in FORGOTTEN) >= 3


@pytest.mark.parametrize("method", ["flat", "undial"])
def test_a_method_without_a_retain_term_by_default_is_gentler_with_one(memory: Memory, method: WeightMethod) -> None:
    alone, accompanied = copied(memory), copied(memory)
    assert forget(alone, run_plan(method, "full", alpha=None)).retain == ()
    assert forget(accompanied, run_plan(method, "full")).retain != ()
    assert retained(alone) < retained(accompanied)


def test_whp_finds_nothing_to_forget_in_a_fact_known_by_heart(learner: Memory) -> None:
    forget(learner, run_plan("whp", "full"))
    assert still_known(learner) == 4, "the documentation says otherwise"


@pytest.mark.parametrize("target", TARGETS)
def test_mofo_forgets_too(learner: Memory, target: Target) -> None:
    how = OptimisationConfig(lr=5e-3 if target == "full" else 1e-2, epochs=60, batch=4, optimizer="mofo")
    forget(learner, replace(run_plan("npo", target), optimisation=how))
    assert still_known(learner) <= 1
    assert retained(learner) >= 17


# ------------------------------------------------------------------------------------------ by definition


FIRST: dict[WeightMethod, dict[str, float]] = {
    "ga": {},
    "kl": {},
    "npo": {"beta": 0.7},
    "idk-dpo": {"beta": 0.7},
    "simnpo": {"beta": 3.0, "delta": 0.4},
    "undial": {"beta": 2.0},
    "flat": {},
    "rmu": {"beta": 3.0},
}


@pytest.mark.parametrize("method", FIRST)
def test_the_first_step_sees_the_methods_forget_term_of_the_original_model(
    divided: Memory, method: WeightMethod
) -> None:
    learner, options = copied(divided), FIRST[method]
    batch, idk = (collate(rows(learner), device=torch.device("cpu")) for rows in (forget_rows, idk_rows))
    with torch.no_grad():
        output = learner.base.model(input_ids=batch.ids, attention_mask=batch.mask, output_hidden_states=True)
        idk_logits = learner.base.model(input_ids=idk.ids, attention_mask=idk.mask).logits[:, idk.questions :]
    logits, labels, beta = output.logits[:, batch.questions :], batch.labels, options.get("beta", 0.0)
    # Against itself a model has gained nothing: log sigmoid 0.
    expected = {
        "ga": lambda: gradient_ascent(logits, labels),
        "kl": lambda: gradient_ascent(logits, labels),
        "npo": lambda: 2 / beta * math.log(2),
        "idk-dpo": lambda: 2 / beta * math.log(2),
        "simnpo": lambda: simnpo(logits, labels, **options),
        "undial": lambda: undial(logits, logits, labels, **options),
        "flat": lambda: flat(idk_logits, idk.labels, logits, labels),
        "rmu": lambda: steered(output.hidden_states[1][:, batch.questions :], labels, beta),
    }[method]()
    assert forget(learner, plan(method, epochs=1, **options)).forget == (pytest.approx(float(expected), rel=1e-4),)


def steered(activations: Tensor, labels: Tensor, beta: float) -> float:
    """rmu's term, over the places that predict an answer token; all answers are of one length."""
    predicting = activations[:, :-1][labels[:, 1:] != -100]
    target = beta * predicting.norm(dim=-1).mean() * steering_vector(activations.shape[-1], seed=0)
    return float((predicting - target).square().sum(-1).mean())


# ------------------------------------------------------------------------------------------ the model's order


@pytest.mark.parametrize("method", ["npo", "kl", "rmu"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_bfloat16_model_forgets_in_mixed_precision_and_stays_one(
    learner: Memory, method: WeightMethod, target: Target
) -> None:
    model = learner.base.model
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16()
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    forget(learner, run_plan(method, target))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in model.named_buffers()), "positions are exact"
    assert still_known(learner) <= 1
    assert retained(learner) >= 17
    assert is_frozen(model)


@pytest.mark.parametrize("target", TARGETS)
def test_a_loss_that_is_no_number_ends_it_with_the_curve_kept_and_the_model_frozen(
    learner: Memory, target: Target
) -> None:
    model = learner.base.model.to(torch.bfloat16)
    kinds = [type(module) for module in model.modules()]
    before = weights(model)
    with pytest.raises(Diverged, match="lower learning rate") as caught:
        forget(learner, plan("ga", target, lr=1e30, epochs=9))
    assert 1 <= len(caught.value.losses) < 9
    assert caught.value.losses[0] == pytest.approx(0, abs=0.1)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert is_frozen(model)
    assert [type(module) for module in model.modules()] == kinds
    assert bool(moved(model, before)) is (target == "full"), "a LoRA that diverged is dropped"


def test_weights_that_the_last_step_broke_are_noticed(learner: Memory) -> None:
    with pytest.raises(Diverged, match="weights are finite no more") as caught:
        forget(learner, plan("ga", "lora", lr=3e37, epochs=1, lora_alpha=8000))
    assert len(caught.value.losses) == 1


def test_a_stepper_tells_how_the_loss_went_before_it_diverged() -> None:
    parameter = torch.nn.Parameter(torch.ones(1))
    trainer = Trainer([parameter], OptimisationConfig(lr=0.1, epochs=2), 2)
    trainer.step(parameter.sum())
    with pytest.raises(Diverged, match="nan at step 2") as caught:
        trainer.step(parameter.sum() * torch.nan)
    assert caught.value.losses == (1.0,)


@pytest.mark.parametrize("optimizer", ["adamw", "mofo"])
@pytest.mark.parametrize("method", ["whp", "rmu"])
@pytest.mark.parametrize("target", TARGETS)
def test_the_same_seed_gives_the_same_weights(
    memory: Memory, method: WeightMethod, target: Target, optimizer: Any
) -> None:
    def trained(seed: int) -> tuple[LossCurves, dict[str, Tensor]]:
        how = OptimisationConfig(lr=1e-3, epochs=2, batch=2, optimizer=optimizer, seed=seed)
        learner = copied(memory)
        return forget(learner, UnlearningConfig(method, target, how, alpha=1.0)), weights(learner.base.model)

    (one, first), (two, second), (_, other) = trained(3), trained(3), trained(4)
    assert one == two
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert not all(torch.equal(value, other[name]) for name, value in first.items())


@pytest.mark.parametrize(("layer", "trained"), [(None, {0}), (0, {0}), (1, {0, 1})])
def test_rmu_trains_the_ends_of_a_few_mlps_alone(learner: Memory, layer: int | None, trained: set[int]) -> None:
    before = weights(learner.base.model)
    forget(learner, plan("rmu", lr=1e-2, layer=layer))
    assert moved(learner.base.model, before) == {f"model.layers.{one}.mlp.down_proj.weight" for one in trained}


def test_a_lora_ends_in_every_linear_layer_and_nowhere_else(learner: Memory) -> None:
    before = weights(learner.base.model)
    forget(learner, plan("graddiff", "lora", lr=1e-2))
    assert moved(learner.base.model, before) == {name for name in before if name.endswith("_proj.weight")}


# ------------------------------------------------------------------------------------------ what is told and refused


def test_losses_are_the_weighed_terms_and_progress_is_told(learner: Memory) -> None:
    reported: list[tuple[int, int, float]] = []
    how = plan("simnpo", epochs=3, gamma=0.5, alpha=3.0, delta=0.2)
    curves = forget(learner, how, progress=lambda *step: reported.append(step))
    weighed = [0.5 * gone + 3.0 * kept for gone, kept in zip(curves.forget, curves.retain, strict=True)]
    assert curves.losses == pytest.approx(weighed, rel=1e-5)
    assert reported == [(number + 1, 3, loss) for number, loss in enumerate(curves.losses)]


def test_rows_that_a_method_needs_are_asked_for(learner: Memory) -> None:
    model, rows = learner.base.model, forget_rows(learner)
    with pytest.raises(ValueError, match="no rows to forget"):
        unlearn(model, [], [], plan("ga"))
    with pytest.raises(ValueError, match="npo needs retain rows, or an alpha of 0"):
        unlearn(model, rows, [], plan("npo"))
    with pytest.raises(ValueError, match=r"flat needs a neutral answer .* 4 forget rows and 0 neutral"):
        unlearn(model, rows, [], plan("flat"))
    with pytest.raises(ValueError, match="in the same order"):
        unlearn(model, rows, rows, plan("idk-dpo"), idk=idk_rows(learner)[::-1])
    with pytest.raises(ValueError, match="2 layers, there is no layer 2"):
        unlearn(model, rows, rows, plan("rmu", layer=2))
    assert len(unlearn(model, rows, [], plan("npo", alpha=0.0)).losses) == 2


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("forgetting", {}, "unknown method 'forgetting'; there are ga, graddiff"),
        ("npo", {"target": "half"}, "unknown target 'half'; there are full, lora"),
        ("npo", {"gamma": 0.0}, "gamma must be above 0"),
        ("npo", {"alpha": -1.0}, "alpha not below"),
        ("npo", {"alpha": float("nan")}, "alpha not below"),
        ("npo", {"beta": 0.0}, "beta must be above 0"),
        ("kl", {"beta": 1.0}, "kl has no beta"),
        ("npo", {"delta": 1.0}, "delta is simnpo's"),
        ("npo", {"layer": 1}, "layer is rmu's"),
        ("rmu", {"layer": -1}, "counts from 0"),
        ("ga", {"alpha": 1.0}, "with a retain term it is graddiff"),
        ("npo", {"rank": 0}, "rank and lora_alpha"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(method: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plan(method, **options)
