"""Two arms, of which the guarded one has packs of Narnia and Oz."""

from pathlib import Path

import pytest
from hand_made import SavePack
from two_arms import House

from classifiers.encoder.sentence import Encoder
from gateway.packs.files import Policy


@pytest.fixture
def house(tmp_path: Path, save: SavePack, encoder: Encoder, caplog: pytest.LogCaptureFixture) -> House:
    save("narnia", aliases=("Narnia", "Aslan"))
    save("oz", aliases=("Oz",), policy=Policy(plan="refuse", refusal="Not Oz."))
    return House(tmp_path / "packs", encoder, caplog)
