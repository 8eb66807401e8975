"""O3's regulariser, worked out by hand."""

import pytest
import torch

from adapters.losses import orthogonality


def test_orthogonality_by_hand() -> None:
    now = torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, -1.0]])
    first = torch.tensor([[1.0, 0.0, 1.0], [0.0, 2.0, 0.0]])  # products 1, -1, 4, 2: squares sum to 22
    second = torch.tensor([[0.0, 0.0, 3.0]])  # of another rank; products 0, -3: squares sum to 9
    narrow = torch.tensor([[2.0, 1.0]])
    across = torch.tensor([[1.0, -2.0]])  # orthogonal to `narrow`
    along = torch.tensor([[1.0, 1.0]])  # product 3: square 9
    assert orthogonality([now], [[first]]).item() == 22
    assert orthogonality([now], [[first], [second]]).item() == 31
    assert orthogonality([now, narrow], [[first, across], [second, along]]).item() == 40


def test_orthogonality_is_zero_for_the_first_request_and_for_orthogonal_ones() -> None:
    basis = torch.eye(6)
    assert orthogonality([basis[:2]], []).item() == 0
    assert orthogonality([basis[:2]], [[basis[2:4]], [basis[4:]]]).item() == 0


def test_orthogonality_trains_the_current_request_alone() -> None:
    now = torch.ones((2, 3), requires_grad=True)
    before = torch.ones((2, 3), requires_grad=True)
    orthogonality([now], [[before]]).backward()
    assert before.grad is None
    # d/dA of the sum of squares: 2 A B^T B, each entry 2 * 3 * 2
    assert now.grad is not None
    assert now.grad.tolist() == [[12.0] * 3] * 2


def test_orthogonality_refuses_layers_that_do_not_match() -> None:
    layer = torch.ones((2, 3))
    with pytest.raises(ValueError, match="earlier request 1 has 2 LoRA layers, the current 1"):
        orthogonality([layer], [[layer], [layer, layer]])
    with pytest.raises(ValueError, match=r"got \[2, 4\] and \[2, 3\]"):
        orthogonality([layer], [[torch.ones((2, 4))]])
    with pytest.raises(ValueError, match=r"got \[3\] and \[2, 3\]"):
        orthogonality([layer], [[torch.ones(3)]])
    with pytest.raises(ValueError, match="at least one"):
        orthogonality([], [])
