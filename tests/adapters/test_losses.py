"""Unlearning objectives against plain Python loops over the definitions, and numbers worked out by hand."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from adapters.losses import (
    answer_nll,
    combined,
    gradient_ascent,
    idk_dpo,
    kl_divergence,
    npo,
    sequence_logp,
    simnpo,
)

BATCH, TOKENS, VOCABULARY = 3, 6, 7
# Answers of 3, 1 and 2 tokens. Row 1's first label is an answer token that nothing predicts.
LABELS = torch.tensor(
    [
        [-100, -100, 4, 1, 0, -100],
        [5, -100, -100, -100, -100, 6],
        [-100, 2, -100, 3, -100, -100],
    ]
)
LENGTHS = [3, 1, 2]


def random_logits(seed: int = 0, tokens: int = TOKENS) -> Tensor:
    return 2 * torch.randn((BATCH, tokens, VOCABULARY), generator=torch.Generator().manual_seed(seed))


def softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(value) for value in row)
    return [math.exp(value) / total for value in row]


def token_logps(logits: Tensor, labels: Tensor) -> list[list[float]]:
    """Each row's answer tokens' log likelihoods; the token at t is predicted by the logits at t - 1."""
    return [
        [math.log(softmax(row[t - 1])[label]) for t, label in enumerate(answer) if t > 0 and label != -100]
        for row, answer in zip(logits.tolist(), labels.tolist(), strict=True)
    ]


def row_sums(logits: Tensor, labels: Tensor) -> list[float]:
    return [sum(row) for row in token_logps(logits, labels)]


def log_sigmoid(value: float) -> float:
    return -math.log(1 + math.exp(-value))


def logits_of(*probabilities: float) -> Tensor:
    """One row over a vocabulary of two whose answer tokens, all of id 1, have these probabilities."""
    answer = [[math.log(1 - p), math.log(p)] for p in probabilities]
    return torch.tensor([[*answer, [9.0, -9.0]]])


def ones_after_prompt(answer_tokens: int) -> Tensor:
    return torch.tensor([[-100, *[1] * answer_tokens]])


# ------------------------------------------------------------------------------------------ likelihoods


def test_nll_is_the_mean_over_the_batchs_answer_tokens_not_over_rows() -> None:
    logits = random_logits()
    by_row = token_logps(logits, LABELS)
    assert [len(row) for row in by_row] == LENGTHS
    tokens = [logp for row in by_row for logp in row]
    assert answer_nll(logits, LABELS).item() == pytest.approx(-sum(tokens) / 6, rel=1e-5)
    mean_of_rows = -sum(sum(row) / len(row) for row in by_row) / 3
    assert answer_nll(logits, LABELS).item() != pytest.approx(mean_of_rows, rel=1e-2)


def test_logits_predict_the_label_one_further_on() -> None:
    tokens = torch.tensor([[3, 1, 4, 1, 5]])
    knows_the_next = torch.zeros((1, 5, VOCABULARY))
    knows_the_next[0, torch.arange(4), tokens[0, 1:]] = 50.0
    assert answer_nll(knows_the_next, tokens).item() == pytest.approx(0, abs=1e-6)
    knows_the_present = torch.zeros((1, 5, VOCABULARY))
    knows_the_present[0, torch.arange(5), tokens[0]] = 50.0
    assert answer_nll(knows_the_present, tokens).item() > 10


def test_sequence_logp_sums_and_counts_each_row() -> None:
    logits = random_logits(1)
    logp, count = sequence_logp(logits, LABELS)
    assert logp.tolist() == pytest.approx(row_sums(logits, LABELS), rel=1e-5)
    assert count.tolist() == LENGTHS


def test_a_row_without_an_answer_sums_to_nothing() -> None:
    labels = LABELS.clone()
    labels[1, 5] = -100
    logp, count = sequence_logp(random_logits(1), labels)
    assert count.tolist() == [3, 0, 2]
    assert logp[1] == 0


def test_gradient_flows_to_the_predicting_positions_alone() -> None:
    logits = random_logits().requires_grad_()
    (answered,) = torch.autograd.grad(answer_nll(logits, LABELS), logits)
    touched = answered.abs().sum(2) > 0
    assert touched.nonzero().tolist() == [[0, 1], [0, 2], [0, 3], [1, 4], [2, 0], [2, 2]]


def test_logits_outside_the_answer_may_be_anything() -> None:
    logits = random_logits()
    expected = answer_nll(logits, LABELS)
    logits[:, 5] = math.nan
    logits[0, 0] = math.inf
    logits.requires_grad_()
    loss = answer_nll(logits, LABELS)
    assert loss == expected
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.isfinite().all()


def test_half_precision_logits_are_summed_in_full() -> None:
    logits = random_logits().bfloat16()
    exact = answer_nll(logits.float(), LABELS)
    assert answer_nll(logits, LABELS).dtype == torch.float32
    assert answer_nll(logits, LABELS) == exact
    assert sequence_logp(logits, LABELS)[0].dtype == torch.float32
    assert kl_divergence(random_logits(3).bfloat16(), logits, LABELS).dtype == torch.float32


# ------------------------------------------------------------------------------------------ forget and retain terms


def test_gradient_ascent_is_minus_the_nll() -> None:
    logits = random_logits(2)
    mean = sum(row_sums(logits, LABELS)) / 6
    assert gradient_ascent(logits, LABELS).item() == pytest.approx(mean, rel=1e-5)


def test_combined_weighs_forget_by_gamma_and_retain_by_alpha() -> None:
    forget, retain = torch.tensor(-3.0), torch.tensor(5.0)
    assert combined(forget, retain).item() == 2.0
    assert combined(forget, retain, gamma=0.5, alpha=2.0).item() == 8.5
    with pytest.raises(ValueError, match=r"scalars, got \[2\] and \[\]"):
        combined(torch.zeros(2), retain)


def test_kl_is_the_mean_over_answer_tokens_with_the_reference_first() -> None:
    reference, logits = random_logits(3), random_logits(4)
    divergences = []
    for row, answer in enumerate(LABELS.tolist()):
        for t, label in enumerate(answer):
            if t > 0 and label != -100:
                p, q = softmax(reference[row, t - 1].tolist()), softmax(logits[row, t - 1].tolist())
                divergences.append(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)))
    assert len(divergences) == 6
    assert kl_divergence(reference, logits, LABELS).item() == pytest.approx(sum(divergences) / 6, rel=1e-5)
    assert kl_divergence(logits, reference, LABELS).item() != pytest.approx(sum(divergences) / 6, rel=1e-2)


def test_kl_is_zero_for_equal_distributions_and_positive_otherwise() -> None:
    logits = random_logits(4)
    assert kl_divergence(logits + 3.0, logits, LABELS).item() == pytest.approx(0, abs=1e-6)
    for row, position in ((0, 1), (0, 3), (1, 4), (2, 2)):
        moved = logits.clone()
        moved[row, position, 0] += 1.0
        assert kl_divergence(moved, logits, LABELS).item() > 1e-4, (row, position)


def test_kl_looks_at_answer_tokens_alone() -> None:
    logits = random_logits(4)
    elsewhere = logits.clone()
    for row, position in ((0, 0), (0, 4), (0, 5), (1, 0), (1, 5), (2, 1)):
        elsewhere[row, position] = random_logits(9)[row, position]
    assert kl_divergence(elsewhere, logits, LABELS).item() == 0


def test_kl_never_trains_the_reference() -> None:
    reference, logits = random_logits(3).requires_grad_(), random_logits(4).requires_grad_()
    kl_divergence(reference, logits, LABELS).backward()
    assert reference.grad is None
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0


def test_dpo_by_hand() -> None:
    # log ratios: IDK ln(.5 * .5 / .2), original ln(.4 / .8); their difference is ln(1.25 / .5) = ln 2.5
    loss = idk_dpo(
        logits_of(0.5, 0.5),
        ones_after_prompt(2),
        logits_of(0.4),
        ones_after_prompt(1),
        idk_reference_logp=torch.tensor([math.log(0.2)]),
        reference_logp=torch.tensor([math.log(0.8)]),
        beta=1.0,
    )
    # sigmoid(ln 2.5) = 2.5 / 3.5
    assert loss.item() == pytest.approx(-2 * math.log(2.5 / 3.5), rel=1e-5)


def test_dpo_over_a_batch_with_answers_of_other_lengths() -> None:
    idk_logits, logits = random_logits(5, tokens=4), random_logits(6)
    idk_labels = torch.tensor([[-100, 1, 2, 3], [-100, -100, 0, 6], [-100, 5, 5, -100]])
    idk_reference, reference = [-4.0, -9.0, -2.0], [-1.0, -3.0, -8.0]
    idk_sums, sums = row_sums(idk_logits, idk_labels), row_sums(logits, LABELS)
    expected = 0.0
    for row in range(BATCH):
        delta = (idk_sums[row] - idk_reference[row]) - (sums[row] - reference[row])
        expected += -(2 / 0.1) * log_sigmoid(0.1 * delta) / BATCH
    loss = idk_dpo(
        idk_logits,
        idk_labels,
        logits,
        LABELS,
        idk_reference_logp=torch.tensor(idk_reference),
        reference_logp=torch.tensor(reference),
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_dpo_raises_the_idk_answer_and_lowers_the_original() -> None:
    idk_logits, logits = logits_of(0.5).requires_grad_(), logits_of(0.5).requires_grad_()
    at_the_reference = torch.tensor([math.log(0.5)])
    labels = ones_after_prompt(1)
    idk_dpo(
        idk_logits, labels, logits, labels, idk_reference_logp=at_the_reference, reference_logp=at_the_reference
    ).backward()
    assert idk_logits.grad is not None
    assert logits.grad is not None
    assert idk_logits.grad[0, 0, 1] < 0 < logits.grad[0, 0, 1]


def test_npo_by_hand() -> None:
    # ratio .6 * .5 / .1 = 3, squared by beta 2: -(2 / 2) log sigmoid(-ln 9) = ln 10
    loss = npo(logits_of(0.6, 0.5), ones_after_prompt(2), reference_logp=torch.tensor([math.log(0.1)]), beta=2.0)
    assert loss.item() == pytest.approx(math.log(10), rel=1e-5)


def test_npo_uses_sums_and_averages_rows() -> None:
    logits, reference = random_logits(7), [-2.0, -7.0, -4.0]
    expected = 0.0
    for logp, before in zip(row_sums(logits, LABELS), reference, strict=True):
        expected += -(2 / 0.1) * log_sigmoid(-0.1 * (logp - before)) / BATCH
    assert npo(logits, LABELS, reference_logp=torch.tensor(reference)).item() == pytest.approx(expected, rel=1e-5)


def test_npos_gradient_goes_to_gradient_ascents_as_beta_vanishes() -> None:
    logits = random_logits(8).requires_grad_()
    labels = torch.tensor([[-100, 1, 2, -100, -100, -100], [-100, -100, 3, 4, -100, -100], [-100] * 4 + [5, 6]])
    reference = torch.tensor([-3.0, -1.0, -6.0])
    (ascent,) = torch.autograd.grad(gradient_ascent(logits, labels), logits)

    def distance(beta: float) -> float:
        (gradient,) = torch.autograd.grad(npo(logits, labels, reference_logp=reference, beta=beta), logits)
        # Two answer tokens in each row: the sum's gradient is twice the mean's.
        return float((gradient - 2 * ascent).abs().max())

    assert distance(1e-4) < 1e-3
    assert distance(1e-4) < distance(0.1) < distance(1.0)


def test_npo_stops_where_gradient_ascent_runs_on() -> None:
    logits = torch.zeros((1, 2, VOCABULARY))
    logits[0, 0, 1] = -300.0
    labels = torch.tensor([[-100, 1]])
    logits.requires_grad_()
    loss = npo(logits, labels, reference_logp=torch.tensor([-1.0]), beta=1.0)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert gradient.abs().max() < 1e-6
    (ascent,) = torch.autograd.grad(gradient_ascent(logits, labels), logits)
    assert ascent.abs().max() > 0.1


def test_simnpo_by_hand() -> None:
    # NLL a token: -ln(.5 * .125) / 2 = ln 4; beta 1: -2 log sigmoid(ln 4) = -2 ln(4 / 5)
    two = logits_of(0.5, 0.125)
    assert simnpo(two, ones_after_prompt(2), beta=1.0).item() == pytest.approx(-2 * math.log(0.8), rel=1e-5)
    # less a delta of ln 2: sigmoid(2 * ln 2) at beta 2
    shifted = simnpo(two, ones_after_prompt(2), beta=2.0, delta=math.log(2))
    assert shifted.item() == pytest.approx(-math.log(0.8), rel=1e-5)


def test_simnpo_divides_by_each_rows_own_length() -> None:
    logits = random_logits(10)
    expected = 0.0
    for logp, length in zip(row_sums(logits, LABELS), LENGTHS, strict=True):
        expected += -(2 / 2.5) * log_sigmoid(2.5 * (-logp / length - 0.3)) / BATCH
    assert simnpo(logits, LABELS, delta=0.3).item() == pytest.approx(expected, rel=1e-5)


FORGET: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "ascent": lambda logits, labels, _: gradient_ascent(logits, labels),
    "npo": lambda logits, labels, reference: npo(logits, labels, reference_logp=reference),
    "simnpo": lambda logits, labels, _: simnpo(logits, labels),
    "dpo": lambda logits, labels, reference: idk_dpo(
        random_logits(11), LABELS, logits, labels, idk_reference_logp=reference, reference_logp=reference
    ),
}


@pytest.mark.parametrize("name", FORGET)
def test_a_step_down_makes_the_forgotten_answer_less_likely(name: str) -> None:
    logits = random_logits(12).requires_grad_()
    reference = sequence_logp(logits, LABELS)[0]
    loss = FORGET[name](logits, LABELS, reference)
    assert loss.shape == ()
    (gradient,) = torch.autograd.grad(loss, logits)
    after = logits.detach() - 0.1 * gradient
    assert (sequence_logp(after, LABELS)[0] < sequence_logp(logits, LABELS)[0]).all()


@pytest.mark.parametrize("name", ["npo", "dpo"])
def test_no_gradient_flows_into_the_reference(name: str) -> None:
    reference = torch.tensor([-3.0, -1.0, -6.0], requires_grad=True)
    logits = random_logits(12).requires_grad_()
    FORGET[name](logits, LABELS, reference).backward()
    assert reference.grad is None
    assert logits.grad is not None


@pytest.mark.parametrize("name", FORGET)
@pytest.mark.parametrize("certainty", [-1e4, 1e4])
def test_extreme_logits_stay_finite(name: str, certainty: float) -> None:
    logits = torch.zeros((BATCH, TOKENS, VOCABULARY))
    logits[:, :-1].scatter_(2, LABELS[:, 1:, None].clamp_min(0), certainty)
    logits.requires_grad_()
    loss = FORGET[name](logits, LABELS, torch.tensor([-3.0, -1.0, -6.0]))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite()
    assert gradient.isfinite().all()


REFERENCE = torch.tensor([-3.0, -1.0, -6.0])
ON_LABELS: dict[str, Callable[[Tensor, Tensor], object]] = {
    "nll": answer_nll,
    "logp": sequence_logp,
    "kl": lambda logits, labels: kl_divergence(logits, logits, labels),
} | {name: lambda logits, labels, f=function: f(logits, labels, REFERENCE) for name, function in FORGET.items()}


@pytest.mark.parametrize("name", ON_LABELS)
def test_shapes_that_do_not_match_are_refused(name: str) -> None:
    logits = random_logits()
    for wrong in (LABELS[:, 1:], LABELS[:1], LABELS[0]):
        with pytest.raises(ValueError, match=r"labels \[batch, tokens\], got"):
            ON_LABELS[name](logits, wrong)
    with pytest.raises(ValueError, match=r"logits must be \[batch, tokens, vocabulary\]"):
        ON_LABELS[name](logits[0], LABELS)


@pytest.mark.parametrize("name", ON_LABELS)
def test_a_batch_without_a_predicted_answer_token_is_refused(name: str) -> None:
    labels = torch.full_like(LABELS, -100)
    labels[:, 0] = 3
    with pytest.raises(ValueError, match="no answer token"):
        ON_LABELS[name](random_logits(), labels)


@pytest.mark.parametrize("name", ["npo", "simnpo", "dpo"])
def test_methods_that_compare_rows_refuse_a_row_without_an_answer(name: str) -> None:
    labels = LABELS.clone()
    labels[1, 5] = -100
    with pytest.raises(ValueError, match=r"rows \[1\] have no answer token"):
        FORGET[name](random_logits(), labels, REFERENCE)


@pytest.mark.parametrize("name", ["npo", "dpo"])
@pytest.mark.parametrize("shape", [(), (1,), (BATCH, 1)])
def test_reference_sums_of_another_shape_are_refused_not_broadcast(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must be \[3\]"):
        FORGET[name](random_logits(), LABELS, torch.zeros(shape))


def test_kl_refuses_a_reference_of_another_shape() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        kl_divergence(random_logits()[:, :, :-1], random_logits(), LABELS)


def test_dpo_refuses_answers_that_do_not_pair_up() -> None:
    with pytest.raises(ValueError, match="1 IDK answers and 3 original"):
        idk_dpo(
            random_logits()[:1],
            LABELS[:1],
            random_logits(),
            LABELS,
            idk_reference_logp=REFERENCE[:1],
            reference_logp=REFERENCE,
        )


@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan])
def test_beta_must_be_positive(beta: float) -> None:
    with pytest.raises(ValueError, match="beta must be positive"):
        npo(random_logits(), LABELS, reference_logp=REFERENCE, beta=beta)
    with pytest.raises(ValueError, match="beta must be positive"):
        simnpo(random_logits(), LABELS, beta=beta)
