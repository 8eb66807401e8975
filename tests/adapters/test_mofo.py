"""MoFO against its rule written out in plain Python, and against AdamW where the two must agree."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from adapters.optimizers.mofo import MoFO


def parameter(*values: float) -> Parameter:
    return Parameter(torch.tensor(values))


def random_tensor(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def step(optimizer: MoFO | torch.optim.AdamW, *gradients: Tensor) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for p, gradient in zip(parameters, gradients, strict=True):
        p.grad = gradient.clone()
    optimizer.step()


def by_hand(start: list[float], gradients: list[list[float]], k: int, decay: float) -> list[list[float]]:
    """The values after each step, at lr .1, betas (.8, .9), eps .01."""
    x, m, v = list(start), [0.0] * len(start), [0.0] * len(start)
    history = []
    for t, gradient in enumerate(gradients, 1):
        m = [0.8 * a + 0.2 * g for a, g in zip(m, gradient, strict=True)]
        v = [0.9 * b + 0.1 * g * g for b, g in zip(v, gradient, strict=True)]
        largest = sorted(range(len(m)), key=lambda i: abs(m[i]), reverse=True)[:k]
        x = [value - 0.1 * decay * value for value in x]
        for i in largest:
            x[i] -= 0.1 * (m[i] / (1 - 0.8**t)) / (math.sqrt(v[i] / (1 - 0.9**t)) + 0.01)
        history.append(list(x))
    return history


START = [1.0, -2.0, 3.0, -4.0, 0.5]
GRADIENTS = [[0.5, -3.0, 1.0, 2.0, 0.1], [4.0, 2.0, -1.0, 2.0, 0.2], [-0.3, 2.5, 5.0, 0.1, -6.0]]


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_three_steps_by_hand(decay: float) -> None:
    expected = by_hand(START, GRADIENTS, k=2, decay=decay)
    p = parameter(*START)
    optimizer = MoFO([p], lr=0.1, betas=(0.8, 0.9), eps=0.01, weight_decay=decay, fraction=0.4)
    for gradient, after in zip(GRADIENTS, expected, strict=True):
        step(optimizer, torch.tensor(gradient))
        assert p.tolist() == pytest.approx(after, rel=1e-5)


def test_momentum_chooses_not_the_gradient() -> None:
    p = parameter(0.0, 0.0, 0.0)
    optimizer = MoFO([p], lr=0.1, weight_decay=0.0, fraction=0.34)
    step(optimizer, torch.tensor([10.0, 0.0, 0.0]))
    before = p.detach().clone()
    # First moments: .9, .2 and 0 (betas .9): the second entry has the largest gradient, the first the largest moment.
    step(optimizer, torch.tensor([0.0, 2.0, 0.0]))
    assert p[0] < before[0]
    assert p[1:].tolist() == [0.0, 0.0]


def test_magnitude_counts_not_sign() -> None:
    p = parameter(0.0, 0.0, 0.0)
    step(MoFO([p], fraction=0.34), torch.tensor([1.0, -5.0, 2.0]))
    assert (p != 0).tolist() == [False, True, False]


def test_moments_grow_where_nothing_moves() -> None:
    p = parameter(0.0, 0.0)
    optimizer = MoFO([p], betas=(0.5, 0.5), weight_decay=0.0, fraction=0.5)
    step(optimizer, torch.tensor([8.0, 2.0]))
    assert optimizer.state[p]["exp_avg"].tolist() == [4.0, 1.0]
    assert optimizer.state[p]["exp_avg_sq"].tolist() == [32.0, 2.0]
    assert p[1] == 0


def test_untouched_entries_stay_exactly_as_they_were_without_decay() -> None:
    start = random_tensor(30, 10, seed=1)
    p = Parameter(start.clone())
    optimizer = MoFO([p], lr=0.1, weight_decay=0.0, fraction=0.1)
    step(optimizer, random_tensor(30, 10, seed=2))
    moved = p != start
    assert moved.sum() == 30
    assert torch.equal(p[~moved], start[~moved])
    largest = optimizer.state[p]["exp_avg"].abs()
    assert largest[moved].min() > largest[~moved].max()


def test_decay_reaches_every_entry() -> None:
    p = parameter(1.0, 2.0, 4.0)
    step(MoFO([p], lr=0.5, weight_decay=0.5, fraction=0.1), torch.tensor([0.0, 1.0, 0.0]))
    assert [p[0].item(), p[2].item()] == [0.75, 3.0]
    assert p[1].item() == pytest.approx(1.5 - 0.5, rel=1e-6)


@pytest.mark.parametrize(
    ("entries", "fraction", "k"), [(1, 0.1, 1), (4, 0.1, 1), (20, 0.1, 2), (100, 0.07, 7), (8, 0.99, 8), (10, 1e-9, 1)]
)
def test_how_many_entries_move(entries: int, fraction: float, k: int) -> None:
    p = Parameter(torch.zeros(entries))
    step(MoFO([p], fraction=fraction), random_tensor(entries, seed=3))
    assert (p != 0).sum() == k


def test_ties_do_not_move_more() -> None:
    p = Parameter(torch.zeros(4, 5))
    step(MoFO([p], fraction=0.25), torch.ones(4, 5))
    assert (p != 0).sum() == 5


def test_each_tensor_has_its_own_share() -> None:
    quiet, loud = Parameter(torch.zeros(10)), Parameter(torch.zeros(10))
    step(MoFO([quiet, loud], fraction=0.2), random_tensor(10, seed=4), 1e3 * random_tensor(10, seed=5))
    assert [(quiet != 0).sum().item(), (loud != 0).sum().item()] == [2, 2]


def test_all_entries_is_adamw() -> None:
    ours, theirs = (
        [Parameter(random_tensor(6, 5, seed=6)), Parameter(torch.tensor(2.0)), Parameter(random_tensor(4, 3, seed=7).T)]
        for _ in range(2)
    )
    options: dict[str, Any] = {"lr": 0.05, "betas": (0.7, 0.95), "eps": 1e-6, "weight_decay": 0.2}
    mofo, adamw = MoFO(ours, fraction=1.0, **options), torch.optim.AdamW(theirs, **options)
    for number in range(8):
        gradients = [random_tensor(*p.shape, seed=100 + 10 * number + i) for i, p in enumerate(ours)]
        step(mofo, *gradients)
        step(adamw, *gradients)
    for mine, his in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, his, rtol=1e-5, atol=1e-6)


def test_the_defaults_are_adamws() -> None:
    mofo, adamw = MoFO([parameter(1.0)]).defaults, torch.optim.AdamW([parameter(1.0)]).defaults
    shared = ("lr", "betas", "eps", "weight_decay")
    assert {name: mofo[name] for name in shared} == {name: adamw[name] for name in shared}
    assert mofo["fraction"] == 0.1


def test_a_saved_state_goes_on_identically() -> None:
    p = Parameter(random_tensor(5, 4, seed=8))
    optimizer = MoFO([p], lr=0.1, betas=(0.6, 0.8), fraction=0.3)
    for seed in range(3):
        step(optimizer, random_tensor(5, 4, seed=20 + seed))

    copied = Parameter(p.detach().clone())
    restored = MoFO([copied], lr=9.0, fraction=1.0)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    fresh_start = Parameter(p.detach().clone())
    fresh = MoFO([fresh_start], lr=0.1, betas=(0.6, 0.8), fraction=0.3)
    for seed in range(3):
        for each in (optimizer, restored, fresh):
            step(each, random_tensor(5, 4, seed=30 + seed))
    assert torch.equal(p, copied)
    assert not torch.equal(p, fresh_start), "the state made no difference: the test proves nothing"


def test_groups_override_options() -> None:
    few, all_of_them, frozen = (Parameter(torch.ones(10)) for _ in range(3))
    optimizer = MoFO(
        [{"params": [few]}, {"params": [all_of_them], "fraction": 1.0}, {"params": [frozen], "lr": 0.0}],
        weight_decay=0.0,
        fraction=0.1,
    )
    step(optimizer, *[random_tensor(10, seed=9)] * 3)
    assert [(p != 1).sum().item() for p in (few, all_of_them, frozen)] == [1, 10, 0]


def test_the_closure_has_gradients_and_its_loss_comes_back() -> None:
    p = parameter(3.0)
    optimizer = MoFO([p], lr=0.1, weight_decay=0.0)

    def closure() -> float:
        optimizer.zero_grad()
        loss = p.square().sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 9.0
    assert p.item() == pytest.approx(2.9, rel=1e-5)


def test_parameters_without_a_gradient_are_left_alone() -> None:
    idle, busy = parameter(1.0), parameter(1.0)
    optimizer = MoFO([idle, busy])
    busy.grad = torch.tensor([1.0])
    optimizer.step()
    assert idle.item() == 1.0
    assert busy.item() != 1.0
    assert idle not in optimizer.state


def test_a_sparse_gradient_is_refused_before_anything_moves() -> None:
    first, second = Parameter(torch.ones(3)), Parameter(torch.ones(3))
    optimizer = MoFO([first, second])
    with pytest.raises(ValueError, match="dense real gradients"):
        step(optimizer, torch.ones(3), torch.ones(3).to_sparse())
    assert first.tolist() == second.tolist() == [1.0, 1.0, 1.0]
    assert not optimizer.state


def test_a_complex_gradient_is_refused() -> None:
    p = Parameter(torch.ones(3, dtype=torch.complex64))
    with pytest.raises(ValueError, match="dense real gradients"):
        step(MoFO([p]), torch.ones(3, dtype=torch.complex64))


WRONG: list[tuple[str, Any]] = [
    ("lr", -1.0),
    ("lr", math.nan),
    ("eps", -1e-9),
    ("weight_decay", -0.1),
    ("weight_decay", math.inf),
    ("betas", (1.0, 0.9)),
    ("betas", (0.9, -0.1)),
    ("betas", (0.9,)),
    ("fraction", 0.0),
    ("fraction", 1.01),
    ("fraction", math.nan),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_options_out_of_range_are_refused(name: str, value: Any) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=f"{name} must"):
        MoFO([parameter(1.0)], **options)
    with pytest.raises(ValueError, match=f"{name} must"):
        MoFO([{"params": [parameter(1.0)], **options}])
