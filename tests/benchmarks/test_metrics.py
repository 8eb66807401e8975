"""Every measure against values worked out by hand."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.compare.metrics.formulas import (
    UTILITY_PARTS,
    auroc,
    bootstrap_interval,
    choice_probability,
    distinguishability,
    exact_memorisation,
    extraction_strength,
    false_negative_rate,
    false_positive_rate,
    forget_quality,
    fpr_at_tpr,
    leak_at_k,
    loss_score,
    mia_auc,
    min_k,
    min_k_plus,
    model_utility,
    relevance,
    rouge_l_recall,
    truth_ratio,
    utility_truth,
)
from gateway.evaluation.generation import TokenScores


def scores(logprob: list[float], mean: list[float], deviation: list[float]) -> TokenScores:
    return TokenScores(
        logprob=torch.tensor(logprob),
        likeliest=torch.zeros(len(logprob), dtype=torch.bool),
        mean=torch.tensor(mean),
        deviation=torch.tensor(deviation),
    )


SCORES = scores([-1.0, -3.0, -0.5, -2.0, -6.0], [-2.0] * 5, [1.0, 0.5, 2.0, 4.0, 8.0])


def test_the_truth_ratio_of_both_aggregators() -> None:
    assert truth_ratio(0.5, [0.1, 0.4]) == pytest.approx(0.2 / 0.5)  # sqrt(.1 * .4) = .2
    assert truth_ratio(0.5, [0.1, 0.4], aggregator="arithmetic") == pytest.approx(0.25 / 0.5)
    assert truth_ratio(0.3, [0.6]) == pytest.approx(2.0)


@pytest.mark.parametrize("aggregator", ["geometric", "arithmetic"])
def test_a_probability_of_zero_leaves_the_truth_ratio_finite(aggregator: str) -> None:
    tiny = 2.2250738585072014e-308
    assert truth_ratio(0.0, [1.0], aggregator=aggregator) == pytest.approx(1 / tiny)
    assert truth_ratio(1.0, [0.0], aggregator=aggregator) == pytest.approx(tiny)
    assert truth_ratio(0.0, [0.0], aggregator=aggregator) == pytest.approx(1.0)


def test_without_perturbed_answers_there_is_no_truth_ratio_and_no_choice() -> None:
    with pytest.raises(ValueError, match="perturbed"):
        truth_ratio(0.5, [])
    with pytest.raises(ValueError, match="perturbed"):
        choice_probability(0.5, [])


def test_forget_quality_is_the_exact_p_of_ks() -> None:
    apart = forget_quality([0.1, 0.2, 0.3], [0.5, 0.6, 0.7])
    assert apart.raw_p == pytest.approx(2 / math.comb(6, 3))  # of 20 orders the two that are fully apart
    assert (apart.n, apart.n_retrained) == (3, 3)
    assert forget_quality([0.1, 0.2], [0.1, 0.2]).raw_p == 1.0


def test_folding_hides_the_direction_that_the_raw_p_sees() -> None:
    knowing = [0.1, 0.2, 0.25, 0.4, 0.5]
    shunning = [1 / ratio for ratio in knowing]
    quality = forget_quality(shunning, knowing)
    assert quality.raw_p == pytest.approx(2 / math.comb(10, 5))
    assert quality.eco_compatible_p == 1.0


def test_a_ratio_of_zero_can_be_folded() -> None:
    assert forget_quality([0.0, 0.5], [0.0, 2.0]).eco_compatible_p == 1.0


def test_forget_quality_needs_both_sides() -> None:
    for sides in (([], [0.5]), ([0.5], [])):
        with pytest.raises(ValueError, match="both"):
            forget_quality(*sides)


def test_a_choice_is_the_share_of_the_true_answer() -> None:
    assert choice_probability(0.3, [0.1, 0.2]) == pytest.approx(0.5)
    assert choice_probability(0.0, [0.1]) == 0.0
    assert choice_probability(0.0, [0.0]) == 0.0


def test_the_truth_part_of_utility() -> None:
    assert utility_truth(0.25) == 0.75
    assert utility_truth(1.0) == utility_truth(7.0) == 0.0


def test_utility_is_the_harmonic_mean_of_nine() -> None:
    assert len(UTILITY_PARTS) == 9
    parts = dict.fromkeys(UTILITY_PARTS, 0.5) | {"retain_truth": 0.25, "world_facts_probability": 1.0}
    assert model_utility(parts) == pytest.approx(9 / (7 / 0.5 + 1 / 0.25 + 1 / 1.0))
    assert model_utility(parts | {"real_authors_truth": 0.0}) == 0.0


@pytest.mark.parametrize("wrong", [{"retain_truth": 1.0}, dict.fromkeys((*UTILITY_PARTS, "forget_truth"), 1.0)])
def test_utility_of_other_parts_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="three parts a slice"):
        model_utility(wrong)


@pytest.mark.parametrize(
    ("true", "said", "recall"),
    [
        ("the red house stands", "a red barn and a house", 2 / 4),
        ("house red", "red house", 1 / 2),  # in that order
        ("she walked", "He walks.", 1 / 2),  # stems
        ("gold", "", 0.0),
        ("", "gold", 0.0),
    ],
)
def test_rouge_l_recall(true: str, said: str, recall: float) -> None:
    assert rouge_l_recall(true, said) == pytest.approx(recall)


@pytest.mark.parametrize(
    ("flags", "memorised", "strength"),
    [
        ("1111", 1.0, 1.0),
        ("0111", 0.75, 0.75),
        ("1011", 0.75, 0.5),
        ("1110", 0.75, 0.0),  # where OpenUnlearning's loop would say .25
        ("0000", 0.0, 0.0),
        ("1", 1.0, 1.0),
    ],
)
def test_memorisation(flags: str, memorised: float, strength: float) -> None:
    as_bools = [flag == "1" for flag in flags]
    assert exact_memorisation(as_bools) == pytest.approx(memorised)
    assert extraction_strength(as_bools) == pytest.approx(strength)


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_extraction_strength_is_the_longest_correct_suffix(flags: list[bool]) -> None:
    shown = min(k for k in range(len(flags) + 1) if all(flags[k:]))
    assert extraction_strength(flags) == pytest.approx(1 - shown / len(flags))
    assert extraction_strength(flags) <= exact_memorisation(flags) + 1e-9


def test_membership_scores_of_five_tokens() -> None:
    assert loss_score(SCORES) == pytest.approx(-12.5 / 5)
    assert min_k(SCORES) == pytest.approx(-6.0)  # a fifth of five is one
    assert min_k(SCORES, share=0.4) == pytest.approx((-6.0 - 3.0) / 2)
    assert min_k_plus(SCORES) == pytest.approx((-3.0 + 2.0) / 0.5)  # (1, -2, .75, 0, -.5)
    assert min_k_plus(SCORES, share=0.4) == pytest.approx((-2.0 - 0.5) / 2)


def test_a_short_answer_still_has_its_least_likely_token() -> None:
    assert min_k(scores([-1.0, -4.0], [0.0] * 2, [1.0] * 2)) == pytest.approx(-4.0)


def test_a_model_that_is_certain_does_not_divide_by_zero() -> None:
    assert min_k_plus(scores([-0.5], [0.0], [0.0])) == pytest.approx(-500.0)
    assert min_k_plus(scores([0.0], [0.0], [0.0])) == 0.0


def test_areas_under_the_curve() -> None:
    assert mia_auc([3.0, 1.0], [2.0, 0.0]) == pytest.approx(3 / 4)  # three of four pairs in order
    assert mia_auc([1.0, 1.0], [1.0]) == pytest.approx(0.5)
    assert mia_auc([0.0], [1.0, 2.0]) == 0.0
    assert auroc([0.9, 0.4], [0.4, 0.1]) == pytest.approx(3.5 / 4)  # a tie counts half


def test_leak_at_k_reads_the_first_k() -> None:
    flags = [False, False, True, False]
    assert [leak_at_k(flags, k) for k in (1, 2, 3, 4)] == [False, False, True, True]
    for k in (0, 5):
        with pytest.raises(ValueError, match=f"leak@{k}"):
            leak_at_k(flags, k)


def test_relevance_is_a_cosine() -> None:
    assert relevance([3.0, 4.0], [4.0, 3.0]) == pytest.approx(24 / 25)
    assert relevance([1.0, 0.0], [-2.0, 0.0]) == pytest.approx(-1.0)
    assert relevance([1.0, 0.0], [0.0, 0.0]) == 0.0


def test_gate_rates() -> None:
    inside, outside = [float(score) for score in range(81, 101)], [79.0, 81.0, 82.0, 99.0]
    assert fpr_at_tpr(inside, outside) == pytest.approx(2 / 4)  # 82 and above catches 19 of 20
    assert fpr_at_tpr(inside, outside, tpr=1.0) == pytest.approx(3 / 4)
    assert false_negative_rate([True, False, False, True]) == 0.5
    assert false_positive_rate([True, False, False, False]) == 0.25
    with pytest.raises(ValueError, match="true-positive rate"):
        fpr_at_tpr(inside, outside, tpr=0.0)


def answers(shift: float, *, seed: int, rows: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 4)) + shift


def test_answers_of_another_kind_are_told_apart_and_the_same_are_not() -> None:
    questions = answers(0, seed=0)
    assert distinguishability(questions, answers(9, seed=1), answers(0, seed=2), seed=0) == pytest.approx(1.0)
    assert distinguishability(questions, answers(0, seed=1), answers(0, seed=1), seed=0) == pytest.approx(0.5)
    assert distinguishability(questions, answers(0, seed=1), answers(0, seed=2), seed=0) == pytest.approx(0.5, abs=0.15)


def test_a_question_is_never_on_both_sides_of_the_split() -> None:
    """Each question was asked four times and always answered alike, so a split between its rows would tell by heart."""
    rng = np.random.default_rng(3)
    questions, ours, theirs = (np.repeat(rng.normal(size=(15, 40)), 4, axis=0) for _ in range(3))
    leaky = np.hstack([questions, np.arange(60)[:, None]])  # to the classifier's eyes sixty different questions
    assert distinguishability(leaky, ours, theirs, seed=0) > 0.95
    assert distinguishability(questions, ours, theirs, seed=0) < 0.8


def test_the_deal_of_questions_is_seeded() -> None:
    three = answers(0, seed=0), answers(0.3, seed=1), answers(0, seed=2)
    found = [distinguishability(*three, seed=seed) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


def test_there_are_no_more_folds_than_questions_and_no_fold_of_one() -> None:
    assert (
        0 <= distinguishability(answers(0, seed=0, rows=2), *[answers(0, seed=s, rows=2) for s in (1, 2)], seed=0) <= 1
    )
    with pytest.raises(ValueError, match="two different questions"):
        distinguishability(np.ones((3, 2)), np.ones((3, 2)), np.zeros((3, 2)), seed=0)
    with pytest.raises(ValueError, match="pair up"):
        distinguishability(np.ones((3, 2)), np.ones((3, 2)), np.ones((2, 2)), seed=0)


def test_a_bootstrap_interval_is_seeded_holds_the_mean_and_narrows() -> None:
    values = [0.0, 1.0] * 8
    some = bootstrap_interval(values, seed=1)
    assert some == bootstrap_interval(values, seed=1)
    uneven = [0.137 * n * n for n in range(9)]
    assert bootstrap_interval(uneven, seed=1) != bootstrap_interval(uneven, seed=2)
    assert some.low == pytest.approx(0.5 - 1.96 * 0.125, abs=0.05)
    assert some.high == pytest.approx(0.5 + 1.96 * 0.125, abs=0.05)
    widths = [one.high - one.low for one in (bootstrap_interval(values * n, seed=1) for n in (1, 4, 16))]
    assert all(wide > narrow for wide, narrow in pairwise(widths))
    assert bootstrap_interval([0.25], seed=0).low == bootstrap_interval([0.25], seed=0).high == 0.25


@pytest.mark.parametrize(
    "measure",
    [
        lambda: exact_memorisation([]),
        lambda: extraction_strength([]),
        lambda: mia_auc([], [1.0]),
        lambda: auroc([1.0], []),
        lambda: fpr_at_tpr([1.0], []),
        lambda: false_negative_rate([]),
        lambda: false_positive_rate([]),
        lambda: bootstrap_interval([], seed=0),
        lambda: loss_score(scores([], [], [])),
        lambda: min_k(scores([], [], [])),
        lambda: min_k_plus(scores([], [], [])),
    ],
)
def test_nothing_cannot_be_measured(measure: object) -> None:
    with pytest.raises(ValueError, match="nothing to measure"):
        measure()
