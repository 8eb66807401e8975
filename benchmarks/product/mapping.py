"""How many queries it takes to find the one forgotten topic among many.

The attacker asks about half of the topics at a time and looks at one answer, whose features a classifier has scored.
Each answer moves the odds of every topic (Horstein's noisy binary search); it stops once one topic is 95 % sure. The
scores are drawn from those that were measured, so the estimate errs on the attacker's side: an answer about sixty
topics at once shows no less than one about one topic.
"""

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["queries_to_find"]

_SURE = 0.95
_LIMIT = 2_000
_RUNS = 60
_CLIP = 0.01


def queries_to_find(
    inside: Sequence[float], outside: Sequence[float], *, topics: int, seed: int, runs: int = _RUNS
) -> dict[str, Any]:
    """Median and 90th percentile of the queries, and the share of runs that end at the right topic.

    Args:
        inside: the classifier's scores in [0, 1] of requests that were flagged.
        outside: those of others.
        topics: how many topics there are.
        seed: of all draws.
        runs: how often it is tried.
    """
    rng = np.random.default_rng(seed)
    scores = [_log_odds(np.array(inside)), _log_odds(np.array(outside))]
    means = [float(of.mean()) for of in scores]
    spread = max(1e-3, float(np.concatenate([of - of.mean() for of in scores]).std()))
    counts, right = [], 0
    for _ in range(runs):
        hidden = int(rng.integers(topics))
        count, guess = _search(rng, scores, means, spread, topics, hidden)
        counts.append(count)
        right += guess == hidden
    ordered = sorted(counts)
    return {
        "median": statistics.median(ordered),
        "p90": ordered[int(0.9 * len(ordered))],
        "right": round(right / runs, 3),
        "limit": _LIMIT,
    }


def _search(
    rng: np.random.Generator,
    scores: Sequence[np.ndarray],
    means: Sequence[float],
    spread: float,
    topics: int,
    hidden: int,
) -> tuple[int, int]:
    """How many queries one search takes, and the topic that it ends at."""
    odds = np.zeros(topics)
    for count in range(1, _LIMIT + 1):
        share = np.exp(odds - odds.max())
        share /= share.sum()
        if share.max() >= _SURE:
            return count - 1, int(share.argmax())
        order = rng.permutation(topics)
        order = order[np.argsort(-share[order], kind="stable")]
        asked = np.zeros(topics, bool)
        mass = 0.0
        for topic in order:  # as near to half of the odds as there is
            if mass + share[topic] <= 0.5 or mass == 0.0:
                asked[topic] = True
                mass += share[topic]
        drawn = float(rng.choice(scores[0] if asked[hidden] else scores[1]))
        ratio = ((drawn - means[1]) ** 2 - (drawn - means[0]) ** 2) / (2 * spread**2)
        odds[asked] += ratio
    return _LIMIT, int(odds.argmax())


def _log_odds(scores: np.ndarray) -> np.ndarray:
    clipped = scores.clip(_CLIP, 1 - _CLIP)
    found: np.ndarray = np.log(clipped / (1 - clipped))
    return found
