"""Membership inference: can an attacker tell forgotten rows from rows that no model was ever taught?"""

from typing import Any

from benchmarks.compare.metrics import formulas
from benchmarks.compare.metrics.estimates import all_known
from benchmarks.compare.metrics.evidence import Answers, Evidence
from benchmarks.compare.metrics.metric import AIM, BESIDE, ZERO, Figure, Metric

__all__ = ["MEMBERSHIP", "MEMBERSHIP_AUCS", "MEMBERSHIP_DISTANCE"]

_SCORES = {"loss": "loss", "min_k": "min-k", "min_k_plus": "min-k++"}  # of a reply, and for people
# members and non-members, the first pair that a suite has; "forget" is the whole part
_SIDES = (("mia/forget", "mia/retain"), ("privleak/forget", "privleak/holdout"), ("forget", "unseen"))
MEMBERSHIP_AUCS = tuple(
    Figure(("mia", f"{score}_auc"), AIM, f"{title} MIA AUC", BESIDE, "{:.2f}", n=("mia", "n_members"))
    for score, title in _SCORES.items()
)


def _measure(evidence: Evidence) -> dict[str, Any] | None:
    """The suite's own members and non-members, else forgotten items against those of the slice "unseen"."""
    pair = next((pair for pair in _SIDES if all(_sides(evidence.arm, pair))), None)
    if pair is None:
        return None
    members, others = _sides(evidence.arm, pair)
    ours = {score: _auc(evidence.arm, score, pair) for score in _SCORES}
    theirs = {score: _auc(evidence.retrained, score, pair) for score in _SCORES}
    return {
        **{f"{score}_auc": auc for score, auc in ours.items()},
        **{f"{score}_auc_retrained": auc for score, auc in theirs.items()},
        "distances": {score: _apart(ours[score], theirs[score]) for score in _SCORES},
        "n_members": len(members),
        "n_non_members": len(others),
    }


def _measure_distance(evidence: Evidence) -> float | None:
    found = _measure(evidence)
    return max(all_known(list(found["distances"].values())), default=None) if found else None


def _sides(answers: Answers, pair: tuple[str, str]) -> tuple[Answers, Answers]:
    inside, outside = pair
    return answers.part(inside) if inside == "forget" else answers.slice(inside), answers.slice(outside)


def _auc(answers: Answers, score: str, pair: tuple[str, str]) -> float | None:
    inside, outside = (all_known([getattr(row.reply, score) for row in side]) for side in _sides(answers, pair))
    return formulas.mia_auc(inside, outside) if inside and outside else None


def _apart(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else abs(one - other)


MEMBERSHIP = Metric(
    key="mia",
    measure=_measure,
    figures=MEMBERSHIP_AUCS,
    explained="Membership (MIA): an AUC of telling forgotten rows from rows that were never taught, by the loss, by "
    "the least likely tokens (min-k) or by those normalised (min-k++). With few rows the retrained model's own AUC may "
    "be far from .5.",
)
MEMBERSHIP_DISTANCE = Metric(
    key="mia_distance",
    measure=_measure_distance,
    figures=(Figure(("mia_distance",), ZERO, "farthest MIA distance", BESIDE, "{:.2f}"),),
)
