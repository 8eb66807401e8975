"""The model that knows two dozen facts, taught once."""

import pytest
from memory import EAT, LIVE, NAMES, Memory, memorised


@pytest.fixture(scope="session")
def memory() -> Memory:
    taught = memorised()
    assert all(taught.knows(name, question) for name in NAMES for question in (LIVE, EAT)), (
        "the tests below are about forgetting what is known"
    )
    return taught
