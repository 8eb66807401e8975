"""The compiled 8-bit encoder: near the original, the same beside any other text, and told apart from it."""

import base64
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import fresh_minilm

from classifiers.encoder.runtimes import OpenVinoRuntime
from classifiers.encoder.sentence import Encoder
from classifiers.encoder.windows import BATCH_LENGTHS, BATCH_SIZES, WINDOW_TOKENS, batches
from classifiers.traffic import general_traffic
from gateway.errors import ModelError
from gateway.models.encoders import EncoderFiles, find_encoder

PROMPTS = general_traffic()[3::97]
ODD = [base64.b64encode(text.encode()).decode() for text in PROMPTS[:5]] + [" ".join(text) for text in PROMPTS[5:10]]


@pytest.fixture(scope="module")
def plain() -> Encoder:
    return find_encoder("minilm", "torch").load()


@pytest.mark.parametrize(("texts", "cosine"), [(PROMPTS, 0.99), (ODD, 0.97)], ids=["prompts", "odd"])
def test_embeddings_are_those_of_the_original(
    encoder: Encoder, plain: Encoder, texts: list[str], cosine: float
) -> None:
    for compiled, original in zip(encoder.encode(texts), plain.encode(texts), strict=True):
        assert (compiled * original).sum(1).min() > cosine


def test_a_text_is_read_alike_beside_any_other() -> None:
    """Else a verdict would depend on what other clients ask at that moment."""
    alone = [fresh_minilm().encode([text])[0] for text in PROMPTS[:5]]
    together = fresh_minilm().encode([*PROMPTS[:5], *ODD, "x" * 900])
    for one, other in zip(alone, together[:5], strict=True):
        assert np.abs(one - other).max() < 2e-3


def test_the_words_of_a_text_come_with_its_first_reading(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Which river runs through the town of the seventh lighthouse?"
    (embedding,) = encoder.encode([text])

    def no_second_pass(*_: object) -> None:
        raise AssertionError("the encoder computed again")

    monkeypatch.setattr(encoder, "_runtime", no_second_pass)
    (window,) = encoder.windows(text.upper())  # the same tokens, so it is the same text to the encoder
    assert np.array_equal(window.embedding, embedding[0])
    assert window.tokens.shape == (len(window.offsets), encoder.hidden)


def test_the_parts_of_a_long_text_are_read_once(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(f"Keeper number {number} of the lighthouse wrote letter {number * 7}." for number in range(200))
    parts = encoder.read_ahead([text, "A short one.", "A short one."])
    assert len(parts) > 10
    for part in parts:
        encoder.read_part(part)
    monkeypatch.setattr(encoder, "_runtime", None)
    assert len(encoder.encode([text])[0]) + 1 == sum(len(part) for part in parts)


@given(st.lists(st.integers(3, WINDOW_TOKENS + 2), max_size=70))
def test_batches_hold_every_window_once_in_few_shapes(tokens: list[int]) -> None:
    found = list(batches(tokens))
    assert sorted(number for numbers, _ in found for number in numbers) == list(range(len(tokens)))
    for numbers, (rows, length) in found:
        assert rows in BATCH_SIZES
        assert length in BATCH_LENGTHS
        assert len(numbers) >= 0.8 * rows
        assert max(tokens[number] for number in numbers) <= length


def test_empty_rows_and_places_change_nothing(encoder: Encoder) -> None:
    cut = next(encoder._cutter.cuts(PROMPTS[0]))
    exact, _ = encoder._runtime.forward(*encoder._cutter.padded([cut]))
    roomy, _ = encoder._runtime.forward(*encoder._cutter.padded([cut], (4, 48)))
    assert np.isfinite(roomy).all()
    assert np.abs(exact[0] - roomy[0]).max() < 2e-3


def test_a_runtime_is_part_of_what_a_pack_was_trained_with() -> None:
    compiled, plain = find_encoder("minilm"), find_encoder("minilm", "torch")
    assert compiled.folder == plain.folder
    assert compiled.fingerprint != plain.fingerprint


def test_a_file_that_is_no_compiled_encoder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "encoder.xml").write_text("<net/>")
    with pytest.raises(ValueError, match="no compiled encoder"):
        OpenVinoRuntime(tmp_path / "encoder.xml")
    with pytest.raises(ModelError, match="cannot be used"):
        EncoderFiles(find_encoder("minilm").folder, "", tmp_path / "encoder.xml").load()


@pytest.mark.parametrize("device", ["cuda:77", "gpu"])
def test_a_device_that_torch_cannot_use_is_named(device: str) -> None:
    with pytest.raises(ModelError, match=rf"cannot be used: torch cannot load it on the device '{device}'"):
        find_encoder("minilm", "torch").load(device=device)


def test_a_folder_that_cannot_be_compiled_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNRECALL_CACHE", str(tmp_path))
    monkeypatch.setattr("gateway.models.encoders.resolve", lambda *_, **__: tmp_path / "model")
    monkeypatch.setattr("gateway.models.encoders.fingerprint", lambda _: "0" * 64)
    with pytest.raises(ModelError, match="set encoder_runtime to torch"):
        find_encoder("somebody/encoder")
    assert not list(tmp_path.glob("encoder-*"))
