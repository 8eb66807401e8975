"""The real sentence encoder for the detectors' tests."""

from pathlib import Path

import pytest
from hypothesis import settings
from tiny import minilm

from classifiers.encoder.backbone import Backbone
from classifiers.encoder.sentence import Encoder
from gateway.models.folders import resolve

# Two cores are shared with whatever else runs: no deadline for an example.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return minilm()


@pytest.fixture(scope="session")
def encoder_folder() -> Path:
    return resolve("minilm")


@pytest.fixture(scope="session")
def backbone(encoder_folder: Path) -> Backbone:
    return Backbone(encoder_folder)
