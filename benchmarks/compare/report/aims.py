"""Judges the arms by the aims: which arm is nearest to the retrained model, and by how much the others miss."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.compare.metrics.distinguishability import DISTINGUISHABILITY_AUROC
from benchmarks.compare.metrics.fluency import RELEVANCE_VALUE, REPETITION_VALUE
from benchmarks.compare.metrics.forget_quality import RAW_P
from benchmarks.compare.metrics.membership import MEMBERSHIP_AUCS
from benchmarks.compare.metrics.utility import UTILITY_VALUE
from benchmarks.compare.report.document import MET, SHORT
from benchmarks.compare.report.formats import NONE
from benchmarks.compare.results import ORIGINAL, RETRAINED, ArmResult

__all__ = ["AIMS", "AimVerdict", "nearness", "ranked_arms", "verdicts_of"]

AIMS = {
    "forget quality": "raw p at least 0.5",
    "utility": "at least 99% of the original's",
    "membership": "each MIA AUC within 0.05 of the retrained model's",
    "fluency": "1 − repetition within 5% of the retrained model's",
    "relevance": "within 5% of the retrained model's",
    "distinguishability": "AUROC at most 0.6",
}


@dataclass(frozen=True, slots=True)
class AimVerdict:
    """An arm against an aim. `short`: by how much it misses (0: met); None if that cannot be told. `over`: it forgot
    more than the retrained model, which was never taught."""

    measured: str = NONE
    short: float | None = None
    over: bool = False

    @property
    def gap(self) -> str:
        return f"by {self.short:.2g}{', over-forgotten' if self.over else ''}"

    @property
    def cell(self) -> str:
        if self.short is None:
            return self.measured
        return f"{SHORT} {self.measured}; misses {self.gap}" if self.short else f"{MET} {self.measured}"


def verdicts_of(arm: ArmResult, arms: Mapping[str, ArmResult]) -> dict[str, AimVerdict]:
    """The verdict on an arm for each aim. A figure that is a share of another model's misses by a share, too."""
    original, retrained = arms.get(ORIGINAL, ArmResult()), arms.get(RETRAINED, ArmResult())
    utility = _ratio(UTILITY_VALUE.of(arm), UTILITY_VALUE.of(original))
    fluency, fluent = (None if (value := REPETITION_VALUE.of(each)) is None else 1 - value for each in (arm, retrained))
    relevance = _ratio(RELEVANCE_VALUE.of(arm), RELEVANCE_VALUE.of(retrained))
    alike = "{:.2f} of the retrained's"
    return {
        "forget quality": _verdict(RAW_P.of(arm), "p {:.2g}", lambda p: 0.5 - p),
        "utility": _verdict(utility, "{:.3f} of the original's", lambda share: 0.99 - share),
        "membership": _membership(arm, retrained),
        "fluency": _verdict(_ratio(fluency, fluent), alike, lambda share: abs(share - 1) - 0.05),
        "relevance": _verdict(relevance, alike, lambda share: abs(share - 1) - 0.05),
        "distinguishability": _verdict(DISTINGUISHABILITY_AUROC.of(arm), "AUROC {:.2f}", lambda auroc: auroc - 0.6),
    }


def _verdict(value: float | None, form: str, miss: Callable[[float], float]) -> AimVerdict:
    return AimVerdict() if value is None else AimVerdict(form.format(value), round(max(0.0, miss(value)), 9))


def _membership(arm: ArmResult, retrained: ArmResult) -> AimVerdict:
    """By the attack whose AUC is farthest from the retrained model's: one that tells the two apart is enough."""
    known = []
    for metric in MEMBERSHIP_AUCS:
        auc, aim = metric.of(arm), metric.of(retrained)
        if auc is not None and aim is not None:
            known.append((auc - aim, f"{metric.title} {auc:.2f} against {aim:.2f}"))
    if not known:
        return AimVerdict()
    gap, measured = max(known, key=lambda pair: abs(pair[0]))
    short = round(max(0.0, abs(gap) - 0.05), 9)
    return AimVerdict(measured, short, over=short > 0 > gap)


def _ratio(value: float | None, whole: float | None) -> float | None:
    return None if value is None or whole is None or whole <= 0 else value / whole


def nearness(verdicts: Mapping[str, AimVerdict]) -> tuple[int, int, float]:
    """Sorts the nearest first: most aims met, then fewest that could not be told, then the least missing."""
    shorts = [verdict.short for verdict in verdicts.values() if verdict.short is not None]
    return -shorts.count(0.0), len(verdicts) - len(shorts), sum(shorts)


def ranked_arms(arms: Mapping[str, ArmResult]) -> dict[str, dict[str, AimVerdict]]:
    """The verdicts on every arm but the original, the retrained model and failed arms; the nearest arm first."""
    judged = {name: arm for name, arm in arms.items() if name not in (ORIGINAL, RETRAINED) and not arm.failed}
    found = {name: verdicts_of(arm, arms) for name, arm in judged.items()}
    return dict(sorted(found.items(), key=lambda pair: nearness(pair[1])))
