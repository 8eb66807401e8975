"""The measures of unlearning, as pure functions. Each says its unit, which way is better, and where it comes from.

Papers named more than once: TOFU arXiv 2401.06121 (its metrics are section 2.2), UWC arXiv 2406.09179, ECO arXiv
2406.07933. "The aim" below is the value of the retrained model, which never saw what was to be forgotten.
"""

import functools
import math
import statistics
import sys
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rouge_score.rouge_scorer import RougeScorer
from scipy.stats import ks_2samp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gateway.evaluation.generation import TokenScores

__all__ = [
    "UTILITY_PARTS",
    "UTILITY_SLICES",
    "Aggregator",
    "ForgetQuality",
    "Interval",
    "MembershipScores",
    "auroc",
    "bootstrap_interval",
    "choice_probability",
    "distinguishability",
    "exact_memorisation",
    "extraction_strength",
    "false_negative_rate",
    "false_positive_rate",
    "forget_quality",
    "fpr_at_tpr",
    "leak_at_k",
    "loss_score",
    "membership_scores",
    "mia_auc",
    "min_k",
    "min_k_plus",
    "model_utility",
    "relevance",
    "rouge_l_recall",
    "truth_ratio",
    "utility_truth",
]

Aggregator = Literal["geometric", "arithmetic"]
UTILITY_SLICES = ("retain", "real_authors", "world_facts")
UTILITY_PARTS = tuple(f"{one}_{part}" for one in UTILITY_SLICES for part in ("probability", "rouge_l_recall", "truth"))
_TINY = sys.float_info.min
_LEAST_DEVIATION = 1e-3


@dataclass(frozen=True, slots=True)
class ForgetQuality:
    """p-values in [0, 1] and how many truth ratios stand behind them; few ratios have low power: show both n."""

    raw_p: float
    eco_compatible_p: float
    n: int
    n_retrained: int


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval in the unit of what it is about."""

    low: float
    high: float


def truth_ratio(paraphrased: float, perturbed: Sequence[float], *, aggregator: Aggregator = "geometric") -> float:
    """How likely wrong answers are against a true one: aggregate of `perturbed` / `paraphrased`, in [0, inf).

    Probabilities are length-normalised, exp(mean log likelihood a token). Low: the model knows. The aim is the
    retrained model's distribution, not a value. TOFU averages the perturbed probabilities (arithmetic), and so does
    its code for utility; its code for forget quality averages their logarithms (geometric). Where there is no
    paraphrase, the caller gives the true answer's probability. A probability of 0 counts as the smallest normal float,
    about 2e-308: the ratio stays finite, and 0 against 0 is 1. Raises ValueError without perturbed answers.
    """
    if not perturbed:
        raise ValueError("a truth ratio needs at least one perturbed answer")
    wrong = [max(one, _TINY) for one in perturbed]
    together = statistics.fmean(wrong) if aggregator == "arithmetic" else _geometric(wrong)
    return together / max(paraphrased, _TINY)


def forget_quality(unlearned_r: Sequence[float], retrained_r: Sequence[float]) -> ForgetQuality:
    """p of the two-sample Kolmogorov-Smirnov test between truth ratios: higher is better, 1 cannot be told apart.

    TOFU, "Forget Quality", takes raw ratios. ECO's code folds them to min(r, 1/r) first, which hides whether the model
    knows too much or shuns the truth; that p stands beside the raw one, for comparison with ECO's tables only.
    Raises ValueError if either side is empty.
    """
    if not unlearned_r or not retrained_r:
        raise ValueError("forget quality needs truth ratios of both the unlearned and the retrained model")
    return ForgetQuality(
        raw_p=float(ks_2samp(unlearned_r, retrained_r).pvalue),
        eco_compatible_p=float(ks_2samp(_folded(unlearned_r), _folded(retrained_r)).pvalue),
        n=len(unlearned_r),
        n_retrained=len(retrained_r),
    )


def choice_probability(answer: float, perturbed: Sequence[float]) -> float:
    """The true answer's share of the probability of all choices, in [0, 1]; higher is better; 0 if all are 0.

    TOFU, "Probability": how it is read on real authors and world facts, whose answers the model was not fine-tuned
    on word for word. Raises ValueError without perturbed answers.
    """
    if not perturbed:
        raise ValueError("a choice needs at least one perturbed answer")
    total = answer + sum(perturbed)
    return answer / total if total else 0.0


def utility_truth(ratio: float) -> float:
    """max(0, 1 - truth ratio), in [0, 1]; higher is better. TOFU, "Model Utility"."""
    return max(0.0, 1 - ratio)


def model_utility(parts: Mapping[str, float]) -> float:
    """Harmonic mean of the nine `UTILITY_PARTS`, each in [0, 1]; higher is better; 0 if one is 0.

    TOFU, "Model Utility". Of a suite that lacks one of the three slices, of the parts there are. Raises ValueError for
    an unknown part, and unless a slice has its three parts or none.
    """
    slices = {name.split("_")[0] for name in parts}
    wanted = {name for name in UTILITY_PARTS if name.split("_")[0] in slices}
    if not parts or set(parts) != wanted:
        raise ValueError(f"utility has three parts a slice; missing or unknown: {sorted(set(parts) ^ wanted)}")
    return statistics.harmonic_mean([parts[name] for name in UTILITY_PARTS if name in parts])


def rouge_l_recall(answer_true: str, said: str) -> float:
    """Share of the true answer's stemmed words that stand in what was said in that order, in [0, 1].

    Higher is better on what is retained; on what is forgotten the aim is the retrained model's. TOFU, "ROUGE",
    by the package rouge-score, which knows ASCII letters and digits alone.
    """
    return float(_rouge().score(answer_true, said)["rougeL"].recall)


def exact_memorisation(flags: Sequence[bool]) -> float:
    """Share of the true answer's tokens that are the likeliest after the true ones before them, in [0, 1].

    Lower is better on what is forgotten, down to the aim. Tirumala et al. arXiv 2205.10770, for unlearning UWC.
    Teacher-forced: the model is shown the answer. Raises ValueError without tokens.
    """
    _require(flags)
    return sum(flags) / len(flags)


def extraction_strength(flags: Sequence[bool]) -> float:
    """1 - k / T, where k of T tokens of the true answer must be shown until all the rest are the likeliest; in [0, 1].

    Lower is better on what is forgotten, down to the aim. Carlini et al. arXiv 2012.07805, for unlearning UWC. A wrong
    last token gives 0 (k = T), where OpenUnlearning's loop stops at k = T - 1. Teacher-forced. Raises ValueError
    without tokens.
    """
    _require(flags)
    wrong = [place for place, flag in enumerate(flags) if not flag]
    shown = wrong[-1] + 1 if wrong else 0
    return 1 - shown / len(flags)


def loss_score(scores: TokenScores) -> float:
    """Mean log probability of the tokens, in nats a token; higher: more like a member. Yeom et al. arXiv 1709.01604."""
    _require(scores.logprob)
    return statistics.fmean(scores.logprob.tolist())


def min_k(scores: TokenScores, *, share: float = 0.2) -> float:
    """Mean log probability of the least likely `share` of tokens (one at least), in nats; higher: more like a member.

    Min-K% Prob, Shi et al. arXiv 2310.16789.
    """
    return _mean_of_lowest(scores.logprob.tolist(), share)


def min_k_plus(scores: TokenScores, *, share: float = 0.2) -> float:
    """Mean of the lowest `share` of (log probability - mean) / deviation, in deviations; higher: more like a member.

    Min-K%++, Zhang et al. arXiv 2404.02936. A deviation below 1e-3 counts as that: where the model is certain of one
    token it has next to none.
    """
    deviation = scores.deviation.double().clamp_min(_LEAST_DEVIATION)
    return _mean_of_lowest(((scores.logprob.double() - scores.mean.double()) / deviation).tolist(), share)


class MembershipScores(NamedTuple):
    """Of the tokens of one answer; in each, higher is more like a member."""

    loss: float
    min_k: float
    min_k_plus: float


def membership_scores(scores: TokenScores) -> MembershipScores:
    """All scores of one answer by which membership is told."""
    return MembershipScores(loss_score(scores), min_k(scores), min_k_plus(scores))


def mia_auc(members: Sequence[float], non_members: Sequence[float]) -> float:
    """Chance that a member scores above a non-member, in [0, 1].

    The aim is the retrained model's value, near .5: higher remembers, lower is over-forgotten and as detectable
    (PrivLeak of MUSE, arXiv 2407.06460). Raises ValueError if either side is empty.
    """
    return auroc(members, non_members)


def leak_at_k(leaked: Sequence[bool], k: int) -> bool:
    """Does any of the first `k` sampled answers to one question give its fact away? True is bad; the aim is the
    retrained model's rate. Reisizadeh et al. arXiv 2511.04934.

    Raises ValueError for fewer than `k` samples.
    """
    if not 1 <= k <= len(leaked):
        raise ValueError(f"leak@{k} cannot be read from {len(leaked)} samples")
    return any(leaked[:k])


def relevance(question: ArrayLike, answer: ArrayLike) -> float:
    """Cosine of a question's and its answer's embedding [hidden], in [-1, 1]; 0 if either is the zero vector.

    Higher keeps to the topic; the aim is the retrained model's. This project's own measure: an off-topic answer tells
    that something was done to it, as a leak tells what.
    """
    one, other = np.asarray(question, dtype=np.float64), np.asarray(answer, dtype=np.float64)
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / lengths if lengths else 0.0


def distinguishability(
    questions: ArrayLike, guarded: ArrayLike, retrained: ArrayLike, *, seed: int, folds: int = 5
) -> float:
    """AUROC of a classifier that tells guarded answers from the retrained model's, in [0, 1]; .5 is the aim.

    Embeddings are [questions, hidden], row for row of one question. A logistic regression on standardised [question,
    answer] is cross-validated, the same question never on both sides, and the folds' AUROCs are averaged. It is the
    plain value: what falls below .5 is chance, and few questions leave much to it. This project's own measure, a
    classifier two-sample test (Lopez-Paz & Oquab, arXiv 1610.06545). `seed` deals questions to folds; there are at
    most as many folds as questions. Raises ValueError for shapes that differ and for fewer than two questions.
    """
    asked, ours, theirs = (np.asarray(one, dtype=np.float64) for one in (questions, guarded, retrained))
    if not (asked.ndim == ours.ndim == 2 and asked.shape[0] == ours.shape[0] and ours.shape == theirs.shape):
        raise ValueError(f"embeddings do not pair up: {asked.shape}, {ours.shape}, {theirs.shape}")
    groups = _dealt(asked, seed)
    distinct = len(set(groups.tolist()))
    if distinct < 2:
        raise ValueError("distinguishability needs at least two different questions")
    rows = np.vstack([np.hstack([asked, ours]), np.hstack([asked, theirs])])
    labels = np.repeat([1, 0], len(asked))
    split = GroupKFold(n_splits=min(folds, distinct)).split(rows, labels, np.tile(groups, 2))
    return statistics.fmean(_fold(rows, labels, train, test) for train, test in split)


def auroc(inside: Sequence[float], outside: Sequence[float]) -> float:
    """Chance that a score from inside is above one from outside (a tie counts half), in [0, 1]; for a gate higher is
    better. Raises ValueError if either side is empty."""
    _require(inside, outside)
    labels = [1] * len(inside) + [0] * len(outside)
    return float(roc_auc_score(labels, [*inside, *outside]))


def fpr_at_tpr(inside: Sequence[float], outside: Sequence[float], *, tpr: float = 0.95) -> float:
    """Share of outside scores at or above the threshold that catches `tpr` of the inside ones; lower is better.

    Usual for detectors of the out-of-distribution: Hendrycks & Gimpel arXiv 1610.02136, O3 arXiv 2407.10223.
    Raises ValueError if either side is empty or `tpr` lies outside (0, 1].
    """
    if not 0 < tpr <= 1:
        raise ValueError(f"the true-positive rate must lie in (0, 1], got {tpr}")
    _require(inside, outside)
    caught = math.ceil(tpr * len(inside) - 1e-9)
    threshold = sorted(inside, reverse=True)[caught - 1]
    return sum(score >= threshold for score in outside) / len(outside)


def false_negative_rate(flagged: Sequence[bool]) -> float:
    """Share of questions inside a scope that the gate let pass at its deployed threshold, in [0, 1]; lower is better.
    The gate is ECO's. Raises ValueError without questions."""
    _require(flagged)
    return sum(not flag for flag in flagged) / len(flagged)


def false_positive_rate(flagged: Sequence[bool]) -> float:
    """Share of questions outside every scope that the gate stopped at its deployed threshold, in [0, 1]; lower is
    better. The gate is ECO's. Raises ValueError without questions."""
    _require(flagged)
    return sum(flagged) / len(flagged)


def bootstrap_interval(values: Sequence[float], *, seed: int, level: float = 0.95, draws: int = 2000) -> Interval:
    """Percentile interval of the mean over `draws` resamples. Efron 1979. Raises ValueError without values."""
    _require(values)
    sample = np.asarray(values, dtype=np.float64)
    picks = np.random.default_rng(seed).integers(0, len(sample), (draws, len(sample)))
    low, high = np.quantile(sample[picks].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def _geometric(values: Sequence[float]) -> float:
    return math.exp(statistics.fmean(math.log(one) for one in values))


def _folded(ratios: Sequence[float]) -> list[float]:
    return [min(ratio, 1 / max(ratio, _TINY)) for ratio in ratios]


def _mean_of_lowest(values: Sequence[float], share: float) -> float:
    _require(values)
    lowest = sorted(values)[: max(1, int(share * len(values) + 1e-9))]
    return statistics.fmean(lowest)


def _require(*samples: Sized) -> None:
    if not all(map(len, samples)):
        raise ValueError("there is nothing to measure: no values were given")


def _dealt(questions: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """A number for each different question, by chance, so that which fold it falls into is chance too."""
    _, group = np.unique(questions, axis=0, return_inverse=True)
    group = group.ravel()
    shuffled: NDArray[np.int64] = np.random.default_rng(seed).permutation(int(group.max(initial=-1)) + 1)[group]
    return shuffled


def _fold(
    rows: NDArray[np.float64], labels: NDArray[np.int64], train: NDArray[np.int64], test: NDArray[np.int64]
) -> float:
    classifier: Any = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    classifier.fit(rows[train], labels[train])
    return float(roc_auc_score(labels[test], classifier.decision_function(rows[test])))


@functools.cache
def _rouge() -> Any:
    return RougeScorer(["rougeL"], use_stemmer=True)
