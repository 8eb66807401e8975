"""Fine-tuning teaches all the weights, and hands the model back as it was lent."""

import pytest
import torch
from memory import Memory, memorised

from adapters.optimizers.schedule import Diverged, OptimisationConfig
from adapters.weights.fine_tuning import fine_tune

PLAN = OptimisationConfig(lr=3e-3, epochs=30, batch=8)
HOME = "Wennet"


@pytest.fixture
def blank() -> Memory:
    return memorised()


def rows(memory: Memory, name: str = "Hask") -> list:  # type: ignore[type-arg]
    return [memory.example(name, HOME, "Where does {} live?"), memory.true("Vela"), memory.true("Orin")]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_new_fact_is_known_and_the_model_is_frozen_again(blank: Memory, dtype: torch.dtype) -> None:
    model = blank.base.model.to(dtype)
    assert HOME not in blank.says("Hask")
    reported: list[tuple[int, int]] = []
    losses = fine_tune(model, rows(blank), PLAN, progress=lambda done, total, _: reported.append((done, total)))
    assert HOME in blank.says("Hask")
    assert blank.knows("Vela")
    assert model.dtype is dtype
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert len(losses) == 30
    assert losses[-1] < losses[0] / 10
    assert reported[-1] == (30, 30)


def test_the_same_seed_gives_the_same_weights() -> None:
    one, other = memorised(), memorised()
    plan = OptimisationConfig(lr=1e-3, epochs=2, batch=2, seed=3)
    assert fine_tune(one.base.model, rows(one), plan) == fine_tune(other.base.model, rows(other), plan)


def test_nothing_to_learn_is_said(blank: Memory) -> None:
    with pytest.raises(ValueError, match="no rows"):
        fine_tune(blank.base.model, [], PLAN)


def test_a_loss_that_is_no_number_ends_it_with_the_model_frozen(blank: Memory) -> None:
    with pytest.raises(Diverged, match="lower learning rate"):
        fine_tune(blank.base.model, rows(blank), OptimisationConfig(lr=1e30, epochs=30))
    assert not any(parameter.requires_grad for parameter in blank.base.model.parameters())
