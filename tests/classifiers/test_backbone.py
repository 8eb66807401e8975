"""The encoder as a pure function: it is the sentence encoder, and an adapter acts in its own call alone."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from classifiers.encoder.backbone import Adapter, Backbone
from classifiers.encoder.windows import Cut
from classifiers.ood.tuning import (
    Tuning,
    contrastive_entropy,
    mask_tokens,
    masked_language_loss,
    tune_adapter,
)
from gateway.models.encoders import find_encoder

TEXTS = ["Who wrote Emma?", "x" * 300, "A long one: " + "the river runs to the sea " * 20, "naïve café 東京"]


def cuts_of(backbone: Backbone, texts: list[str]) -> list[Cut]:
    return [cut for text in texts for cut in backbone.cutter.cuts(text)]


def random_adapter(backbone: Backbone, seed: int) -> Adapter:
    random = torch.Generator().manual_seed(seed)
    shape = (backbone.blocks, 3)
    return Adapter(
        0.05 * torch.randn(*shape, 4, backbone.hidden, generator=random),
        0.05 * torch.randn(*shape, backbone.hidden, 4, generator=random),
    )


def test_the_last_layer_is_the_sentence_embedding(backbone: Backbone) -> None:
    encoder = find_encoder("minilm", "torch").load()
    last = backbone.pooled(cuts_of(backbone, TEXTS))[:, -1]
    expected = np.concatenate(encoder.encode(TEXTS))
    cosines = (last * expected).sum(axis=1) / np.linalg.norm(last, axis=1)
    assert cosines.min() > 0.999


def test_padding_changes_nothing(backbone: Backbone) -> None:
    cuts = cuts_of(backbone, TEXTS)
    together = backbone.pooled(cuts)
    alone = np.concatenate([backbone.pooled([cut]) for cut in cuts])
    assert np.allclose(together, alone, atol=1e-4)


def test_an_adapter_acts_from_the_first_block_on_and_in_its_call_alone(backbone: Backbone) -> None:
    cuts = cuts_of(backbone, TEXTS[:1])
    before = backbone.pooled(cuts)
    tuned = backbone.pooled(cuts, random_adapter(backbone, 0))
    assert np.array_equal(tuned[:, 0], before[:, 0])
    assert all(not np.allclose(tuned[:, layer], before[:, layer], atol=1e-3) for layer in range(1, backbone.blocks + 1))
    assert np.array_equal(backbone.pooled(cuts), before)


def test_no_windows_no_rows(backbone: Backbone) -> None:
    assert backbone.pooled([]).shape == (0, backbone.blocks + 1, backbone.hidden)


@pytest.mark.parametrize("change", [{"model_type": "mpnet"}, {"hidden_act": "relu"}])
def test_another_architecture_is_refused(encoder_folder: Path, tmp_path: Path, change: dict[str, str]) -> None:
    config = json.loads((encoder_folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ValueError, match="reads BERT encoders"):
        Backbone(tmp_path)


def test_weights_that_cannot_be_read_are_refused(encoder_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((encoder_folder / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        Backbone(tmp_path)


def test_masking_takes_the_share_of_maskable_tokens_and_at_least_one() -> None:
    ids = torch.arange(1000, 1040).repeat(200, 1)
    maskable = torch.ones_like(ids, dtype=torch.bool)
    maskable[:, 0] = maskable[:, 30:] = False
    maskable[0] = False
    maskable[0, 5:7] = True
    random = torch.Generator().manual_seed(0)
    masked, labels = mask_tokens(ids, maskable, share=0.2, mask_id=103, size=900, random=random)
    chosen = labels != -100
    assert torch.equal(chosen.sum(1), torch.tensor([1] + [6] * 199))
    assert not (chosen & ~maskable).any()
    assert torch.equal(labels[chosen], ids[chosen])
    assert torch.equal(masked[~chosen], ids[~chosen])
    assert (masked[chosen] == 103).float().mean() == pytest.approx(0.8, abs=0.05)
    assert (masked[chosen] == ids[chosen]).float().mean() == pytest.approx(0.1, abs=0.04)


def test_contrastive_entropy_is_low_for_views_that_are_told_apart() -> None:
    apart = 20 * torch.eye(8)[:, None].repeat(1, 3, 1)
    alike = torch.ones(8, 3, 8)
    assert contrastive_entropy(apart, apart) < 0.01
    assert contrastive_entropy(alike, alike).item() == pytest.approx(3 * np.log(8), rel=1e-4)


def test_the_masked_language_loss_reads_the_hidden_tokens_alone() -> None:
    vocabulary = 30 * torch.eye(6)
    states = torch.eye(6)[torch.tensor([[0, 1, 2]])]
    right, wrong = torch.tensor([[-100, 1, -100]]), torch.tensor([[-100, 4, -100]])
    assert masked_language_loss(states, vocabulary, right) < 0.01
    assert masked_language_loss(states, vocabulary, wrong) > 10


def test_tuning_moves_the_adapter_and_leaves_the_weights(backbone: Backbone) -> None:
    cuts = cuts_of(backbone, [f"The {place} of the old kingdom" for place in ("king", "queen", "castle", "river")])
    before = backbone.pooled(cuts)
    vocabulary = backbone.vocabulary.clone()
    adapter = tune_adapter(backbone, cuts, Tuning(2, 3, 1e-2, 0.3), seed=0)
    assert not adapter.up.requires_grad
    assert adapter.up.abs().max() > 0
    assert not np.allclose(backbone.pooled(cuts, adapter), before, atol=1e-3)
    assert np.array_equal(backbone.pooled(cuts), before)
    assert torch.equal(backbone.vocabulary, vocabulary)
    untuned = tune_adapter(backbone, cuts, Tuning(2, 0, 1e-2, 0.3), seed=0)
    assert np.allclose(backbone.pooled(cuts, untuned), before, atol=1e-5)
