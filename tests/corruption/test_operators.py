"""Corruption operators: what each touches, by how much, and that a seed repeats it."""

import math

import pytest
import torch
from torch import Tensor

from corruption.operators import OPERATORS, CorruptionConfig, EmbeddingTable, corrupt, operator

HIDDEN = 16


@pytest.fixture
def table() -> EmbeddingTable:
    weight = 0.5 * torch.randn((40, HIDDEN), generator=torch.Generator().manual_seed(7))
    return EmbeddingTable.of(weight, names=torch.arange(10, 20), words=torch.arange(20, 40))


def embeddings(tokens: int = 5, hidden: int = HIDDEN, seed: int = 1) -> Tensor:
    return torch.randn((tokens, hidden), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("share", [0.01, 0.25, 1.0])
def test_shape_and_repeatability(table: EmbeddingTable, name: str, share: float) -> None:
    before = embeddings()
    kept = before.clone()
    config = CorruptionConfig(name, share, 0.8, 0.1)
    after = corrupt(before, config, table, seed=3)
    assert after.shape == before.shape
    assert after.dtype == torch.float32
    assert after.isfinite().all()
    assert torch.equal(before, kept), "the caller's tensor was changed"
    assert torch.equal(after, corrupt(before, config, table, seed=3))
    assert not torch.equal(after, corrupt(before, config, table, seed=4))
    assert not torch.equal(after, before)


@pytest.mark.parametrize("name", sorted(OPERATORS.keys() - {"noise_keep_norm"}))
def test_only_the_chosen_share_of_dimensions_is_touched(table: EmbeddingTable, name: str) -> None:
    before = embeddings()
    after = corrupt(before, CorruptionConfig(name, 0.25, 0.8), table, seed=3)
    assert ((after != before).sum(dim=1) == HIDDEN // 4).all()


def test_gaussian_first_touches_the_first_and_gaussian_random_the_same_for_all_tokens(table: EmbeddingTable) -> None:
    before = embeddings()
    first = corrupt(before, CorruptionConfig("gaussian_first", 0.25, 1.0), table, 0) != before
    assert first[:, :4].all()
    assert not first[:, 4:].any()
    chosen = corrupt(before, CorruptionConfig("gaussian_random", 0.25, 1.0), table, 0) != before
    assert (chosen == chosen[0]).all()


def test_zero_top_by_hand(table: EmbeddingTable) -> None:
    before = torch.tensor([[1.0, -5.0, 2.0, 0.5], [0.1, 0.2, -0.3, 0.0]])
    after = corrupt(before, CorruptionConfig("zero_top", 0.5, 1.0), table, 0)
    assert after.tolist() == torch.tensor([[1.0, 0.0, 0.0, 0.5], [0.1, 0.0, 0.0, 0.0]]).tolist()


def test_flip_top_by_hand(table: EmbeddingTable) -> None:
    before = torch.tensor([[1.0, -5.0, 2.0, 0.5], [0.1, 0.2, -0.3, 0.0]])
    after = corrupt(before, CorruptionConfig("flip_top", 0.5, 1.0), table, 0)
    assert after.tolist() == torch.tensor([[1.0, 5.0, -2.0, 0.5], [0.1, -0.2, 0.3, 0.0]]).tolist()


def test_the_top_operators_touch_the_largest_dimensions(table: EmbeddingTable) -> None:
    before = torch.tensor([[1.0, -5.0, 2.0, 0.5]])
    for name in ("gaussian_top", "noise_top"):
        after = corrupt(before, CorruptionConfig(name, 0.5, 1.0), table, 0)
        assert (after != before).tolist() == [[False, True, True, False]]


def test_noise_keep_norm_keeps_each_norm(table: EmbeddingTable) -> None:
    before = embeddings()
    after = corrupt(before, CorruptionConfig("noise_keep_norm", 0.5, 3.0), table, 0)
    assert torch.allclose(after.norm(dim=1), before.norm(dim=1), rtol=1e-4)
    assert torch.nn.functional.cosine_similarity(after, before).max() < 0.99


@pytest.mark.parametrize("scale", [0.01, 1.0, 50.0])
@pytest.mark.parametrize("name", ["gaussian_first", "gaussian_random", "gaussian_top", "noise_top"])
def test_strength_is_in_units_of_the_table_s_root_mean_square(name: str, scale: float) -> None:
    weight = scale * torch.randn((200, 256), generator=torch.Generator().manual_seed(0))
    table = EmbeddingTable.of(weight, names=torch.tensor([1]), words=torch.tensor([2]))
    before = torch.zeros((50, 256))
    after = corrupt(before, CorruptionConfig(name, 1.0, 2.0), table, 0)
    assert table.rms == pytest.approx(scale, rel=0.02)
    assert float((after - before).pow(2).mean().sqrt()) == pytest.approx(2 * scale, rel=0.05)


def test_extra_noise_has_its_own_strength(table: EmbeddingTable) -> None:
    before = torch.zeros((100, 64))
    after = corrupt(before, CorruptionConfig("zero_top", 0.1, 0.0, noise=0.5), table, 0)
    assert float(after.pow(2).mean().sqrt()) == pytest.approx(0.5 * table.rms, rel=0.05)


@pytest.mark.parametrize(("name", "pool"), [("decoy_name", range(10, 20)), ("decoy_word", range(20, 40))])
def test_at_full_strength_a_token_becomes_a_decoy(table: EmbeddingTable, name: str, pool: range) -> None:
    after = corrupt(embeddings(6), CorruptionConfig(name, 1.0, 1.0), table, 5)
    decoys = [next((i for i in range(40) if torch.allclose(row, table.weight[i], atol=1e-5)), None) for row in after]
    assert set(decoys) <= set(pool)
    assert len(set(decoys)) == 6, "different tokens share a decoy although there are enough"


def test_equal_tokens_get_equal_decoys(table: EmbeddingTable) -> None:
    one, two = embeddings(2)
    after = corrupt(torch.stack([one, two, one, one, two]), CorruptionConfig("decoy_name", 1.0, 1.0), table, 5)
    assert torch.equal(after[0], after[2])
    assert torch.equal(after[0], after[3])
    assert torch.equal(after[1], after[4])
    assert not torch.equal(after[0], after[1])


def test_half_strength_goes_half_of_the_way_and_more_than_full_is_full(table: EmbeddingTable) -> None:
    before = embeddings()
    half, full, more = (corrupt(before, CorruptionConfig("decoy_name", 1.0, s), table, 5) for s in (0.5, 1.0, 3.0))
    assert torch.allclose(half, (before + full) / 2, atol=1e-5)
    assert torch.equal(full, more)


def test_more_tokens_than_decoys(table: EmbeddingTable) -> None:
    after = corrupt(embeddings(35), CorruptionConfig("decoy_name", 1.0, 1.0), table, 0)
    assert after.shape == (35, HIDDEN)
    nearest = torch.cdist(after, table.weight).min(dim=1)
    assert nearest.values.max() < 0.01  # cdist rounds
    assert set(nearest.indices.tolist()) == set(range(10, 20))


@pytest.mark.parametrize("name", OPERATORS)
def test_an_empty_selection_stays_empty(table: EmbeddingTable, name: str) -> None:
    empty = torch.zeros((0, HIDDEN), dtype=torch.bfloat16)
    after = corrupt(empty, CorruptionConfig(name, 0.5, 1.0, 0.3), table, 0)
    assert after.shape == (0, HIDDEN)
    assert after.dtype == torch.float32


def test_bfloat16_is_corrupted_in_float32(table: EmbeddingTable) -> None:
    before = embeddings().bfloat16()
    after = corrupt(before, CorruptionConfig("zero_top", 0.25, 1.0), table, 0)
    assert after.dtype == torch.float32
    assert torch.equal(after[after != 0], before.float()[after != 0])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (("gaussian", 0.5, 1.0), "unknown corruption operator 'gaussian'; there are gaussian_first"),
        (("zero_top", 0.0, 1.0), "share"),
        (("zero_top", 1.1, 1.0), "share"),
        (("zero_top", math.nan, 1.0), "share"),
        (("zero_top", 0.5, -1.0), "strength"),
        (("zero_top", 0.5, math.inf), "strength"),
        (("zero_top", 0.5, math.nan), "strength"),
        (("zero_top", 0.5, 1.0, -0.1), "noise"),
        (("zero_top", 0.5, 1.0, math.nan), "noise"),
    ],
)
def test_a_senseless_configuration_is_refused(values: tuple, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        CorruptionConfig(*values)


def test_an_unknown_operator_names_the_ones_there_are() -> None:
    with pytest.raises(ValueError, match="decoy_name"):
        operator("zap")


@pytest.mark.parametrize(("names", "words"), [([], [1]), ([1], [])])
def test_a_table_needs_decoys(names: list[int], words: list[int]) -> None:
    with pytest.raises(ValueError, match="decoy"):
        EmbeddingTable.of(torch.ones((4, 4)), names=torch.tensor(names), words=torch.tensor(words))
