"""The real sentence encoder for the detectors' tests."""

import pytest
from hypothesis import settings
from tiny import minilm

from classifiers.encoder import Encoder

# Two cores are shared with whatever else runs: no deadline for an example.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return minilm()
