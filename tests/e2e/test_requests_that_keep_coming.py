"""One forget request after another: each adds a pack, none touches those before it."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from tiny import minilm, tiny_model

from adapters.lora.model import Lora
from benchmarks.compare.invented import people, world_facts, write_scope
from gateway.core import Message, Request
from gateway.errors import PackError, SetupError
from gateway.packs.manifest import Manifest
from gateway.packs.store import Pack, load_pack
from gateway.screening.gate import Gate
from gateway.training.config import training_of
from gateway.training.run import train_scope

PEOPLE = people(3, seed=0)
DETECTORS = ("ood", "classifier", "classifier")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    base = tiny_model()
    base.model.save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def packs(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packs")


def train(number: int, model: Path, packs: Path, **options: Any) -> Manifest:
    scope = write_scope(PEOPLE[number], world_facts()[:10], packs.with_name(f"{packs.name}-scope-{number}"))
    training = training_of("lora", epochs=1, **options)
    return train_scope(scope_file=scope, model=str(model), encoder="minilm", out=packs, training=training)


def hashes(packs: Path) -> dict[str, str]:
    """Of every file of every pack."""
    files = (path for path in packs.glob("*/**/*") if path.is_file())
    return {str(path.relative_to(packs)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
def test_each_scope_adds_a_pack_orthogonal_to_those_before_it(model: Path, packs: Path) -> None:
    before: dict[str, str] = {}
    for number, person in enumerate(PEOPLE):
        manifest = train(number, model, packs, detector=DETECTORS[number])
        assert (manifest.method, manifest.detector) == ("lora", DETECTORS[number])
        assert manifest.heldout.forgetting.extras["orthogonal_to"] == sorted(one.id for one in PEOPLE[:number])
        assert (manifest.heldout.forgetting.extras["overlap"] > 0) is (number > 0)
        after = hashes(packs)
        assert {file: after.get(file) for file in before} == before, "earlier packs are as they were"
        assert after.keys() - before.keys() == {file for file in after if file.startswith(person.id)}
        before = after
    assert train(0, model, packs, detector="ood").version == load_pack(packs / PEOPLE[0].id).version, (
        "nothing changed: kept"
    )
    assert hashes(packs) == before
    learned = load_pack(packs / PEOPLE[2].id).guard.ready()
    assert learned is not None
    assert isinstance(learned.artifact, Lora)
    assert_the_detector_gives_a_weight(load_pack(packs / PEOPLE[0].id))


def assert_the_detector_gives_a_weight(pack: Pack) -> None:
    """A verbatim question is inside beyond doubt; one that has nothing to do with it weighs less."""
    gate = Gate({pack.guard.scope: pack}, minilm())
    texts = [PEOPLE[0].forget[0].prompt, "Sort this list of numbers in Python, please."]
    inside, outside = (
        [finding for finding in screening.findings if finding.detector == "ood"]
        for screening in gate.screen([Request("1", "chat", "m", (Message("user", text),)) for text in texts])
    )
    assert inside[0].matched
    assert inside[0].weight > 0.9 > outside[0].weight > 0


@pytest.mark.slow
def test_an_earlier_pack_that_cannot_be_read_stops_the_next(model: Path, packs: Path) -> None:
    file = next((packs / PEOPLE[1].id).glob("v-*/adapter_model.safetensors"))
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    before = hashes(packs)
    with pytest.raises(PackError, match=PEOPLE[1].id):
        train(2, model, packs, seed=1)
    assert hashes(packs) == before
    file.write_bytes(content)


@pytest.mark.slow
def test_a_training_that_diverges_writes_nothing(model: Path, packs: Path) -> None:
    before = hashes(packs)
    with pytest.raises(SetupError, match="lower learning rate"):
        train(2, model, packs, lr=1e30)
    assert hashes(packs) == before
