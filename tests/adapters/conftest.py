"""The model that knows two dozen facts, taught once."""

import pytest
from learners import copied, forget_rows, idk_rows, retain_rows
from memory import EAT, LIVE, NAMES, Memory, memorised

from adapters.optimizers.schedule import OptimisationConfig
from adapters.weights.fine_tuning import fine_tune


@pytest.fixture(scope="session")
def memory() -> Memory:
    taught = memorised()
    assert all(taught.knows(name, question) for name in NAMES for question in (LIVE, EAT)), (
        "the tests below are about forgetting what is known"
    )
    return taught


@pytest.fixture
def learner(memory: Memory) -> Memory:
    return copied(memory)


@pytest.fixture(scope="session")
def divided(memory: Memory) -> Memory:
    """Two times in three it is sure of the facts to be forgotten, else that nobody knows: there is more to learn."""
    of_two_minds = copied(memory)
    rows = [*forget_rows(memory) * 2, *idk_rows(memory), *retain_rows(memory)]
    fine_tune(of_two_minds.base.model, rows, OptimisationConfig(lr=2e-3, epochs=20, batch=16))
    return of_two_minds
