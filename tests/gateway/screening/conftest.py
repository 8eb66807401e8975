"""The house of the output screen's tests, and a folder with one pack."""

from pathlib import Path

import pytest
from hand_made import SavePack, leak_model_of
from screen_house import SORRY, House

from classifiers.encoder.sentence import Encoder
from gateway.packs.files import Policy


@pytest.fixture
def house(tmp_path: Path, save: SavePack, encoder: Encoder, caplog: pytest.LogCaptureFixture) -> House:
    rows = [("What does the faun carry?", "An umbrella, parcels and a lantern.")]
    save("narnia", aliases=("Narnia", "Mr Tumnus"), policy=Policy(refusal=SORRY), leaks=leak_model_of(rows))
    save("oz", aliases=("Oz",), policy=Policy(plan="refuse", refusal=SORRY))
    return House(tmp_path / "packs", encoder, caplog)


@pytest.fixture
def root(tmp_path: Path, save: SavePack) -> Path:
    save("narnia", aliases=("Narnia",))
    return tmp_path / "packs"
