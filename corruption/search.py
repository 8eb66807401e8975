"""Zeroth-order learning of a corruption (ECO, arXiv 2406.07933, section 3.3) with Nevergrad."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import nevergrad as ng
import numpy as np
from torch import Tensor

from corruption.objective import Outcome, Relevance, Sample, corrupted, distance, observe
from corruption.operators import OPERATORS, Recipe, Table
from corruption.rollout import Rollout

__all__ = ["Learned", "Learning", "Trial", "learn_recipe"]

# Where the search starts: what did well on other scopes and models. The budget goes on from the best of them.
_STARTS = (
    Recipe("decoy_name", 1.0, 1.0, 0.0),
    Recipe("decoy_word", 1.0, 1.0, 0.0),
    Recipe("decoy_name", 1.0, 0.75, 0.2),
    Recipe("gaussian_random", 1.0, 1.1, 0.0),
)


@dataclass(frozen=True, slots=True)
class Learning:
    """The budget of the search: `evaluations` of the objective, one seed, answers of `max_new_tokens`."""

    evaluations: int = 12
    seed: int = 0
    max_new_tokens: int = 24

    def __post_init__(self) -> None:
        if self.evaluations < 1:
            raise ValueError("the corruption needs a budget of at least one evaluation")


@dataclass(frozen=True, slots=True)
class Trial:
    """One evaluation: what was tried and how far it was from the target."""

    recipe: Recipe
    outcome: Outcome
    distance: float


@dataclass(frozen=True, slots=True)
class Learned:
    """The best recipe, the target it was learned towards, and every trial in order."""

    recipe: Recipe
    target: Outcome
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The trial nearest to the target."""
        return min(self.trials, key=lambda trial: trial.distance)

    @property
    def falls_short(self) -> bool:
        """Whether the best still gives more away than the target: in what it says, or at twice the likelihood."""
        found = self.best.outcome
        return found.leak_rate > self.target.leak_rate or found.probability > 2 * self.target.probability


def learn_recipe(
    samples: Sequence[Sample],
    *,
    rollout: Rollout,
    table: Table,
    relevance: Relevance,
    blank: Tensor,
    learning: Learning,
    target: Outcome | None = None,
    progress: Callable[[int, float], None] = lambda *_: None,
) -> Learned:
    """Searches operator, share of dimensions, strength and noise for the behaviour nearest to `target`.

    Without a target it is the model's own behaviour on the samples' counterfactual twins, but for what those give away:
    who never knew gives nothing away. Repeatable for a seed.
    `progress` hears the number of evaluations done and the best distance so far. ValueError without samples.
    """
    if not samples:
        raise ValueError("there are no rows to learn a corruption from")

    def ask(prompts: Sequence[Tensor]) -> Outcome:
        outcome, _ = observe(
            samples,
            prompts,
            rollout=rollout,
            relevance=relevance,
            blank=blank,
            max_new_tokens=learning.max_new_tokens,
        )
        return outcome

    goal = target or replace(ask([sample.twin for sample in samples]), leak_rate=0.0)
    search = _search(learning)
    trials: list[Trial] = []
    for number in range(learning.evaluations):
        candidate = search.ask()
        recipe = _recipe(candidate.value)
        outcome = ask([corrupted(sample, recipe, table) for sample in samples])
        trials.append(Trial(recipe, outcome, distance(outcome, goal)))
        search.tell(candidate, trials[-1].distance)
        progress(number + 1, min(trial.distance for trial in trials))
    best = min(trials, key=lambda trial: trial.distance)
    return Learned(best.recipe, goal, tuple(trials))


def _search(learning: Learning) -> Any:
    space = ng.p.Dict(
        operator=ng.p.Choice(list(OPERATORS)),
        share=ng.p.Log(lower=0.02, upper=1.0),
        strength=ng.p.Log(lower=0.1, upper=4.0),
        noise=ng.p.Scalar(lower=0.0, upper=0.6),
    )
    space.random_state = np.random.RandomState(learning.seed)
    search = ng.optimizers.registry["PortfolioDiscreteOnePlusOne"](space, budget=learning.evaluations)
    for start in _STARTS[: learning.evaluations]:
        search.suggest(
            {
                "operator": start.operator,
                "share": start.share,
                "strength": start.strength,
                "noise": start.noise,
            }
        )
    return search


def _recipe(value: dict[str, Any]) -> Recipe:
    return Recipe(
        operator=str(value["operator"]),
        share=min(1.0, float(value["share"])),
        strength=round(float(value["strength"]), 4),
        noise=round(float(value["noise"]), 4),
    )
