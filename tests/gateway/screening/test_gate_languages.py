"""The gate reads other languages than English with an encoder of its own, which English never waits for."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_made import artifacts_of, manifest_of

from classifiers.encoder.sentence import Encoder
from classifiers.languages.encoder import MultilingualEncoder
from classifiers.languages.model import MultilingualHead, Place
from classifiers.svm.model import Head, quantised
from gateway.core import Message, Request
from gateway.errors import PackError
from gateway.models.languages import language_loader
from gateway.packs.folders import verify_pack
from gateway.packs.store import load_packs, save_pack
from gateway.screening.gate import Gate

QUESTION = "Какой лев правит страной за платяным шкафом?"
ENGLISH = "Which lion rules the land behind the wardrobe?"


class Counting:
    """The packaged encoder, which counts what it is given."""

    def __init__(self) -> None:
        self.encoder = MultilingualEncoder.packaged()
        embed, self.read = self.encoder._embed, list[str]()

        def counted(texts: Any) -> Any:
            self.read += texts
            return embed(texts)

        self.encoder._embed = counted

    def __call__(self) -> MultilingualEncoder:
        return self.encoder


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    """A pack whose head flags what lies near QUESTION, and one that has none."""
    encoder = MultilingualEncoder.packaged()
    centre = encoder.embeddings(["Как сварить яйцо?", "Который час?", "Где вокзал?"]).mean(axis=0)
    point = encoder.embeddings([QUESTION]) - centre
    codes, scales = quantised(np.asarray(point / np.linalg.norm(point), np.float32))
    head = Head(codes, np.ones(1, np.float32), 0.0, 2.0, 0.0, scales)
    place = Place(np.asarray(centre, np.float32), 0.0, 0.1)
    learned = MultilingualHead(head, {"other": place}, 3.0, 6.0, 0.1)
    figures = {"encoder_fingerprint": encoder.fingerprint, "alpha": 0.015, "rows": 9, "alarms": 0, "held_out_rows": 9}
    save_pack(tmp_path, replace(artifacts_of(), languages=learned), manifest_of("narnia", languages=figures))
    save_pack(tmp_path, artifacts_of(aliases=("Oz",)), manifest_of("oz"))
    return tmp_path


def gate_of(packs: Path, encoder: Encoder, load: Any) -> Gate:
    loaded = load_packs(packs, base_fingerprint=None, encoder_fingerprint=None)
    return Gate(loaded, encoder, load_languages=load)


def flagged(gate: Gate, *texts: str) -> list[tuple[str, ...]]:
    return [found.scopes for found in gate.screen([_request(text) for text in texts])]


def _request(text: str) -> Request:
    return Request("1", "chat", "m", (Message("user", text),))


def test_a_question_in_another_language_is_flagged(packs: Path, encoder: Encoder, counting: Counting) -> None:
    gate = gate_of(packs, encoder, counting)
    assert flagged(gate, QUESTION, "Как сварить яйцо?") == [("narnia",), ()]


def test_it_is_found_among_other_questions(packs: Path, encoder: Encoder, counting: Counting) -> None:
    text = f"What time is it in Paris now? {QUESTION} Please tell me how long I should boil an egg."
    (screening,) = gate_of(packs, encoder, counting).screen([_request(text)])
    assert screening.scopes == ("narnia",)
    covered = "".join(text[a:b] for finding in screening.matched for _, a, b in finding.ranges)
    assert "лев" in covered
    assert "egg" not in covered


def test_english_is_never_given_to_the_second_encoder(packs: Path, encoder: Encoder, counting: Counting) -> None:
    gate = gate_of(packs, encoder, counting)
    counting.read.clear()
    flagged(gate, ENGLISH, "How long should I boil an egg until it is hard?")
    assert counting.read == []


def test_without_packs_that_guard_languages_nothing_is_loaded(tmp_path: Path, encoder: Encoder) -> None:
    save_pack(tmp_path, artifacts_of(), manifest_of("oz"))

    def never() -> MultilingualEncoder:
        raise AssertionError("loaded")

    assert flagged(gate_of(tmp_path, encoder, never), QUESTION) == [()]


def test_off_leaves_the_names(packs: Path, encoder: Encoder) -> None:
    gate = gate_of(packs, encoder, language_loader("off"))
    assert flagged(gate, QUESTION, "Где находится Narnia?") == [(), ("narnia",)]


def test_a_pack_of_another_encoder_is_refused(packs: Path, encoder: Encoder) -> None:
    other = MultilingualEncoder(MultilingualEncoder.packaged()._embed, "ef" * 32)
    with pytest.raises(PackError, match=r"narnia.*language_encoder"):
        gate_of(packs, encoder, lambda: other)


def test_a_pack_that_goes_takes_its_head_along(packs: Path, encoder: Encoder, counting: Counting) -> None:
    gate = gate_of(packs, encoder, counting)
    assert flagged(gate.updated({}, ["narnia"]), QUESTION) == [()]
    assert flagged(gate, QUESTION) == [("narnia",)], "the gate before it stays as it was"


def test_a_long_text_is_read_part_by_part(packs: Path, encoder: Encoder, counting: Counting) -> None:
    gate = gate_of(packs, encoder, counting)
    long = _request("Объясни, пожалуйста, как растёт картофель в открытом грунте. " * 60 + QUESTION)
    for part in gate.read_ahead(long):
        gate.read_part(part)
    counting.read.clear()
    assert gate.screen([long])[0].scopes == ("narnia",)
    assert counting.read == [], "the parts were remembered"


def test_a_damaged_head_is_told(packs: Path) -> None:
    (file,) = packs.glob("narnia/v-*/languages.safetensors")
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(PackError, match=r"languages\.safetensors"):
        verify_pack(packs / "narnia", whole=False)
