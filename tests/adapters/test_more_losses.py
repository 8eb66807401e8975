"""The gap, UNDIAL, FLAT, WHP and RMU: numbers worked out by hand, and plain Python loops over the definitions."""

import math
from collections.abc import Callable

import pytest
import torch
from memory import Memory
from torch import Tensor

from adapters.batches import Example, TargetLikelihood, collate, targets_of
from adapters.losses import answer_nll, flat, likelihood_gap, sequence_logp, undial, whp_labels
from adapters.weights.steering import (
    activation_distance,
    activation_norm,
    decoder_layers,
    mlp_outputs,
    recorded,
    steering_vector,
)

BATCH, TOKENS, VOCABULARY = 3, 6, 7
# Answers of 3, 1 and 2 tokens.
LABELS = torch.tensor([[-100, -100, 4, 1, 0, -100], [-100] * 5 + [6], [-100, 2, -100, 3, -100, -100]])


def random_logits(seed: int) -> Tensor:
    return 2 * torch.randn((BATCH, TOKENS, VOCABULARY), generator=torch.Generator().manual_seed(seed))


def logits_of(*probabilities: float) -> Tensor:
    """One row over a vocabulary of two whose answer tokens, all of id 1, have these probabilities."""
    return torch.tensor([[*([math.log(1 - p), math.log(p)] for p in probabilities), [9.0, -9.0]]])


def ones_after_prompt(answer_tokens: int) -> Tensor:
    return torch.tensor([[-100, *[1] * answer_tokens]])


def answer_positions() -> list[tuple[int, int, int]]:
    """Row, the position whose logits predict, and the label."""
    return [(row, t - 1, y) for row, answer in enumerate(LABELS.tolist()) for t, y in enumerate(answer) if y != -100]


# --------------------------------------------------------------------------- the likelihood's gap


def test_the_gap_by_hand_is_two_sided_and_token_by_token() -> None:
    logits, labels = torch.cat([logits_of(0.5, 0.125), logits_of(0.8, 0.8)]), ones_after_prompt(2).repeat(2, 1)
    likely = torch.tensor([[math.nan, 0.5, 0.125], [math.nan, 0.8, 0.8]]).log()
    assert float(likelihood_gap(logits, labels, target=likely)) == pytest.approx(0, abs=1e-9)
    near, far = math.log(2), 9.0
    off = torch.tensor([[0.0, near, -near], [0.0, far, 0.0]])
    by_hand = (near**2 / 10 + near**2 / 10 + (far - 2.5) + 0) / 4
    for sign in (1, -1):
        assert float(likelihood_gap(logits, labels, target=likely + sign * off)) == pytest.approx(by_hand, rel=1e-5)


def test_the_gap_leaves_out_tokens_without_a_target() -> None:
    logits, labels = logits_of(0.5, 0.5).requires_grad_(), ones_after_prompt(2)
    target = torch.tensor([[math.nan, math.log(0.25), math.nan]])
    gap = likelihood_gap(logits, labels, target=target)
    assert float(gap.detach()) == pytest.approx(math.log(2) ** 2 / 10)
    nothing = likelihood_gap(logits, labels, target=torch.full((1, 3), math.nan))
    nothing.backward()
    assert float(nothing.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_targets_stand_where_their_tokens_do() -> None:
    likelihoods = [
        TargetLikelihood(Example((5, 5, 5), (1, 2)), (-1.0, -2.0)),
        TargetLikelihood(Example((5, 5), (3,)), (math.nan,)),
    ]
    batch = collate([target.example for target in likelihoods], device=torch.device("cpu"))
    found = targets_of(likelihoods, batch)
    assert found.shape == batch.labels.shape == (2, 4)
    assert found[0, 2:].tolist() == [-1.0, -2.0]
    assert found.isnan().sum() == found.numel() - 2
    with pytest.raises(ValueError, match="1 likelihoods do not belong to 2 answer tokens"):
        TargetLikelihood(Example((5,), (3, 4)), (-1.0,))


def test_the_gap_refuses_targets_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"target must be \[3, 6\]"):
        likelihood_gap(random_logits(0), LABELS, target=torch.zeros(3))


# ------------------------------------------------------------------------------------------ UNDIAL


def test_undial_by_hand() -> None:
    # The teacher's odds for the label are 4 to 1; less ln 4 they are even. The student says .8.
    loss = undial(logits_of(0.8), logits_of(0.8), ones_after_prompt(1), beta=math.log(4))
    assert loss.item() == pytest.approx(-0.5 * math.log(0.2) - 0.5 * math.log(0.8), rel=1e-5)


def test_undial_is_the_mean_over_answer_tokens_of_cross_entropy_to_the_lowered_teacher() -> None:
    teacher, logits = random_logits(1), random_logits(2)
    losses = []
    for row, position, label in answer_positions():
        lowered = teacher[row, position].clone()
        lowered[label] -= 3.0
        losses.append(-(lowered.softmax(0) * logits[row, position].log_softmax(0)).sum().item())
    assert len(losses) == 6
    assert undial(teacher, logits, LABELS, beta=3.0).item() == pytest.approx(sum(losses) / 6, rel=1e-5)


def test_undial_has_no_gradient_if_the_model_equals_the_lowered_teacher() -> None:
    teacher = random_logits(1)
    resting = teacher.clone()
    for row, position, label in answer_positions():
        resting[row, position, label] -= 10.0
    resting.requires_grad_()
    (gradient,) = torch.autograd.grad(undial(teacher, resting, LABELS), resting)
    assert gradient.abs().max() < 1e-6


# ------------------------------------------------------------------------------------------ FLAT


def test_flat_by_hand() -> None:
    # mean probabilities: template (.9 + .6) / 2, original (.5 + .2 + .2) / 3
    loss = flat(logits_of(0.9, 0.6), ones_after_prompt(2), logits_of(0.5, 0.2, 0.2), ones_after_prompt(3))
    assert loss.item() == pytest.approx((math.tanh(0.3) - math.tanh(0.75)) / 2, rel=1e-5)


def test_flat_weighs_rows_alike_whatever_their_length() -> None:
    template, logits = random_logits(3), random_logits(4)
    template_labels = torch.tensor([[-100, 1, 2, 3, 0, 5], [-100, -100, 0, 6, -100, -100], [-100, 5, -100, -100, 1, 1]])

    def mean_probability(source: Tensor, labels: Tensor, row: int) -> float:
        found = [source[row, t - 1].softmax(0)[y].item() for t, y in enumerate(labels[row].tolist()) if y != -100]
        return sum(found) / len(found)

    expected = sum(
        math.tanh(mean_probability(logits, LABELS, row)) / 2
        - math.tanh(mean_probability(template, template_labels, row)) / 2
        for row in range(BATCH)
    )
    assert flat(template, template_labels, logits, LABELS).item() == pytest.approx(expected / BATCH, rel=1e-5)


def test_flat_raises_the_template_and_lowers_the_original() -> None:
    template, logits = logits_of(0.5).requires_grad_(), logits_of(0.5).requires_grad_()
    flat(template, ones_after_prompt(1), logits, ones_after_prompt(1)).backward()
    assert template.grad is not None
    assert logits.grad is not None
    assert template.grad[0, 0, 1] < 0 < logits.grad[0, 0, 1]


def test_flat_refuses_answers_that_do_not_pair_up_and_rows_without_one() -> None:
    with pytest.raises(ValueError, match="1 template answers and 3 original"):
        flat(random_logits(3)[:1], LABELS[:1], random_logits(4), LABELS)
    empty = LABELS.clone()
    empty[1] = -100
    with pytest.raises(ValueError, match=r"rows \[1\] have no answer token"):
        flat(random_logits(3), empty, random_logits(4), LABELS)


# ------------------------------------------------------------------------------------------ WHP


def test_whp_by_hand() -> None:
    base = torch.tensor([[[3.0, 2.0, 1.0, 0.0], [0.0, 5.0, 4.5, 4.0], [9.0, 0.0, 0.0, 0.0]]])
    # Token 0 rises by 1 where label 0 is said; token 2 by .2 and token 1 by .5 where label 1 is.
    reinforced = torch.tensor([[[4.0, 1.0, 1.0, 0.0], [0.0, 5.5, 4.7, 4.0], [0.0, 99.0, 0.0, 0.0]]])
    labels = torch.tensor([[-100, 0, 1]])
    # 3 - 5 < 2 (a fall, of token 1, changes nothing); 5 - 2.5 and 4.5 - 1 < 4
    assert whp_labels(base, reinforced, labels, beta=5.0).tolist() == [[-100, 1, 3]]
    # 3 - .5 > 2; 5 - .25 > 4.5 - .1
    assert whp_labels(base, reinforced, labels, beta=0.5).tolist() == [[-100, 0, 1]]
    # 3 - 1.5 < 2; 5 - .75 < 4.5 - .3 is false
    assert whp_labels(base, reinforced, labels, beta=1.5).tolist() == [[-100, 1, 1]]


def test_whp_labels_stay_put_outside_the_answer() -> None:
    base, reinforced = random_logits(5), random_logits(6)
    labels = whp_labels(base, reinforced, LABELS)
    assert ((labels == -100) == (LABELS == -100)).all()
    for row, position, _ in answer_positions():
        before, after = base[row, position], reinforced[row, position]
        assert labels[row, position + 1] == (before - 5 * (after - before).clamp_min(0)).argmax()
    assert answer_nll(base, labels) != answer_nll(base, LABELS)


# ------------------------------------------------------------------------------------------ all of these


OF_TWO: dict[str, Callable[..., Tensor]] = {"undial": undial, "whp": whp_labels}


@pytest.mark.parametrize("name", OF_TWO)
def test_two_models_logits_are_of_one_shape(name: str) -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        OF_TWO[name](random_logits(1)[:, :, :-1], random_logits(2), LABELS)
    with pytest.raises(ValueError, match="no answer token"):
        OF_TWO[name](random_logits(1), random_logits(2), torch.full_like(LABELS, -100))


@pytest.mark.parametrize("name", OF_TWO)
@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan])
def test_beta_must_be_positive(name: str, beta: float) -> None:
    with pytest.raises(ValueError, match="beta must be positive"):
        OF_TWO[name](random_logits(1), random_logits(2), LABELS, beta=beta)


FORGET: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "undial": lambda teacher, logits: undial(teacher, logits, LABELS),
    "flat": lambda template, logits: flat(template, LABELS, logits, LABELS),
    "whp": lambda base, logits: answer_nll(logits, whp_labels(base, base + 2 * answers(), LABELS)),
}


def answers() -> Tensor:
    """One at the answer tokens' logits, else 0."""
    said = torch.zeros((BATCH, TOKENS, VOCABULARY))
    for row, position, label in answer_positions():
        said[row, position, label] = 1.0
    return said


@pytest.mark.parametrize("name", FORGET)
def test_a_step_down_makes_the_forgotten_answer_less_likely(name: str) -> None:
    knowing = (random_logits(7) + 6 * answers()).requires_grad_()
    loss = FORGET[name](knowing.detach(), knowing)
    assert loss.shape == ()
    assert loss.dtype == torch.float32
    (gradient,) = torch.autograd.grad(loss, knowing)
    after = knowing.detach() - 0.1 * gradient
    assert (sequence_logp(after, LABELS)[0] < sequence_logp(knowing, LABELS)[0]).all()


def test_the_teacher_is_not_taught() -> None:
    teacher, logits = random_logits(1).requires_grad_(), random_logits(2).requires_grad_()
    undial(teacher, logits, LABELS).backward()
    assert teacher.grad is None
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize("name", FORGET)
@pytest.mark.parametrize("certainty", [-1e4, 1e4])
def test_extreme_logits_stay_finite(name: str, certainty: float) -> None:
    logits = (certainty * answers()).requires_grad_()
    loss = FORGET[name](random_logits(1), logits)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite()
    assert gradient.isfinite().all()


# ------------------------------------------------------------------------------------------ RMU


def test_the_steering_vector_is_a_unit_vector_of_the_first_orthant() -> None:
    vector = steering_vector(4096, seed=1)
    assert vector.norm().item() == pytest.approx(1, rel=1e-5)
    assert vector.min() >= 0
    # Uniform entries have mean 1/2 and mean square 1/3: the mean over the norm is sqrt(3) / 2 / sqrt(size).
    assert vector.mean().item() == pytest.approx(math.sqrt(3) / 2 / 64, rel=0.02)
    assert torch.equal(vector, steering_vector(4096, seed=1))
    assert not torch.equal(vector, steering_vector(4096, seed=2))


ACTIVATIONS = torch.tensor([[[3.0, 4.0], [0.0, 1.0], [7.0, 7.0]], [[1.0, 1.0], [9.0, 9.0], [9.0, 9.0]]])
MASK = torch.tensor([[1, 1, 0], [1, 0, 0]])


def test_distances_by_hand_are_means_of_rows_over_counted_tokens() -> None:
    # To (3, 0): row 0 is (16 + 9 + 1) / 2 = 13, row 1 is 4 + 1 = 5.
    assert activation_distance(ACTIVATIONS, torch.tensor([3.0, 0.0]), MASK).item() == pytest.approx(9)
    # To activations that differ by 2 in one place, and anywhere at all where nothing counts.
    others = ACTIVATIONS.clone()
    others[0, 0, 0] += 2
    others[1, 1:] = math.inf
    assert activation_distance(ACTIVATIONS, others, MASK).item() == pytest.approx((4 / 2 + 0) / 2)
    # Norms: (5 + 1) / 2 and sqrt 2.
    assert activation_norm(ACTIVATIONS, MASK).item() == pytest.approx((3 + math.sqrt(2)) / 2)


def test_steering_moves_counted_activations_alone_and_no_reference() -> None:
    activations, wanted = ACTIVATIONS.clone().requires_grad_(), torch.zeros_like(ACTIVATIONS).requires_grad_()
    activation_distance(activations, wanted, MASK).backward()
    assert wanted.grad is None
    assert activations.grad is not None
    assert (activations.grad.abs().sum(-1) > 0).tolist() == MASK.bool().tolist()


def test_activations_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the mask \[batch, tokens\], got \[2, 3, 2\] and \[2, 2\]"):
        activation_distance(ACTIVATIONS, ACTIVATIONS, MASK[:, 1:])
    with pytest.raises(ValueError, match=r"cannot come to be \[1, 3, 2\]"):
        activation_distance(ACTIVATIONS, ACTIVATIONS[:1], MASK)
    with pytest.raises(ValueError, match="no token that counts"):
        activation_norm(ACTIVATIONS, torch.tensor([[1, 0, 0], [0, 0, 0]]))


def test_layers_are_found_and_their_outputs_are_recorded(memory: Memory) -> None:
    model = memory.base.model
    ids = torch.tensor([[3, 4, 5]])
    with torch.no_grad(), recorded(decoder_layers(model)[0]) as seen:
        states = model(input_ids=ids, output_hidden_states=True).hidden_states
    assert torch.equal(seen[0], states[1])
    model(input_ids=ids)
    assert len(seen) == 1, "nothing is recorded after the context"


def test_the_matrices_that_end_the_mlps_are_those_of_the_layer_and_two_before(memory: Memory) -> None:
    layers = memory.base.model.model.layers
    assert [id(one) for one in mlp_outputs(memory.base.model, 0)] == [id(layers[0].mlp.down_proj.weight)]
    assert [id(one) for one in mlp_outputs(memory.base.model, 1)] == [id(one.mlp.down_proj.weight) for one in layers]


def test_a_model_without_such_layers_is_refused(memory: Memory) -> None:
    class Flat(torch.nn.Module):
        config = memory.base.model.config

    with pytest.raises(ValueError, match="Flat has no list of its 2 layers"):
        decoder_layers(Flat())
    bare = Flat()
    bare.layers = torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)])
    with pytest.raises(ValueError, match="layer 1 has no MLP"):
        mlp_outputs(bare, 1)
