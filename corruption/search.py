"""Zeroth-order learning of a corruption (ECO, arXiv 2406.07933, section 3.3) with Nevergrad."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import nevergrad as ng
import numpy as np
from torch import Tensor

from corruption.objective import Outcome, Sample, corrupted, distance
from corruption.operators import OPERATORS, CorruptionConfig, EmbeddingTable

__all__ = ["Ask", "SearchConfig", "SearchResult", "Trial", "search_corruption"]

Ask = Callable[[Sequence[Tensor]], Outcome]
"""Puts prompts [tokens, hidden] to the model in place of the samples' own, and says how it behaves."""

# The search starts with configurations that did well on other scopes and models, and goes on from the best of them.
_STARTS = (
    CorruptionConfig("decoy_name", 1.0, 1.0, 0.0),
    CorruptionConfig("decoy_word", 1.0, 1.0, 0.0),
    CorruptionConfig("decoy_name", 1.0, 0.75, 0.2),
    CorruptionConfig("gaussian_random", 1.0, 1.1, 0.0),
)


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """The budget of the search, in `evaluations` of the objective, and its seed."""

    evaluations: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        if self.evaluations < 1:
            raise ValueError("the corruption needs a budget of at least one evaluation")


@dataclass(frozen=True, slots=True)
class Trial:
    """One evaluation: its configuration, and how far its outcome was from the target."""

    config: CorruptionConfig
    outcome: Outcome
    distance: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The best corruption, the target of the search, and every trial in order."""

    config: CorruptionConfig
    target: Outcome
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The trial nearest to the target."""
        return min(self.trials, key=lambda trial: trial.distance)

    @property
    def falls_short(self) -> bool:
        """Whether the best trial still gives more away than the target: in its answers, or at twice the likelihood."""
        found = self.best.outcome
        return found.leak_rate > self.target.leak_rate or found.probability > 2 * self.target.probability


def search_corruption(
    samples: Sequence[Sample],
    *,
    ask: Ask,
    table: EmbeddingTable,
    search: SearchConfig,
    target: Outcome | None = None,
    progress: Callable[[int, float], None] = lambda *_: None,
) -> SearchResult:
    """Searches operator, share of dimensions, strength and noise for the behaviour nearest to a target.

    Repeatable for a seed. Raises ValueError without samples.

    Args:
        samples: the forget questions.
        ask: puts one prompt for each sample to the model.
        table: what the operators know of the model.
        search: the budget and the seed.
        target: the behaviour to come near to. None stands for the model's own on the samples' counterfactual prompts,
            with no leaks: a model that was never taught the fact gives nothing away.
        progress: is told the number of evaluations done and the best distance so far.
    """
    if not samples:
        raise ValueError("there are no rows to learn a corruption from")
    goal = target or replace(ask([sample.counterfactual for sample in samples]), leak_rate=0.0)
    optimizer = _optimizer(search)
    trials: list[Trial] = []
    for number in range(search.evaluations):
        candidate = optimizer.ask()
        config = _config(candidate.value)
        outcome = ask([corrupted(sample, config, table) for sample in samples])
        trials.append(Trial(config, outcome, distance(outcome, goal)))
        optimizer.tell(candidate, trials[-1].distance)
        progress(number + 1, min(trial.distance for trial in trials))
    best = min(trials, key=lambda trial: trial.distance)
    return SearchResult(best.config, goal, tuple(trials))


def _optimizer(search: SearchConfig) -> Any:
    space = ng.p.Dict(
        operator=ng.p.Choice(list(OPERATORS)),
        share=ng.p.Log(lower=0.02, upper=1.0),
        strength=ng.p.Log(lower=0.1, upper=4.0),
        noise=ng.p.Scalar(lower=0.0, upper=0.6),
    )
    space.random_state = np.random.RandomState(search.seed)
    optimizer = ng.optimizers.registry["PortfolioDiscreteOnePlusOne"](space, budget=search.evaluations)
    for start in _STARTS[: search.evaluations]:
        optimizer.suggest(
            {
                "operator": start.operator,
                "share": start.share,
                "strength": start.strength,
                "noise": start.noise,
            }
        )
    return optimizer


def _config(value: dict[str, Any]) -> CorruptionConfig:
    return CorruptionConfig(
        operator=str(value["operator"]),
        share=min(1.0, float(value["share"])),
        strength=round(float(value["strength"]), 4),
        noise=round(float(value["noise"]), 4),
    )
