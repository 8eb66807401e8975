"""Weight arms: chooses their settings on a rehearsal with a declared budget, and unlearns the forget requests."""

import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from adapters.batches import Example
from adapters.optimizers.schedule import Diverged, OptimisationConfig
from adapters.weights.training import LossCurves, UnlearningConfig, WeightMethod, unlearn
from benchmarks.compare.arms import Weights
from benchmarks.compare.core import ForgetRequest, Suite
from benchmarks.compare.models import examples
from benchmarks.compare.replies import Asker
from benchmarks.items import Item
from gateway.errors import SetupError
from gateway.models.language_model import LanguageModel, load_language_model
from gateway.training.dataset import Progress
from gateway.training.scope_file import Row
from gateway.training.targets import NEUTRAL

__all__ = ["Chosen", "TuningTrial", "check_settings", "chosen", "unlearnt"]

Settings = dict[str, float]
_WHOLE = ("epochs", "layer", "rank")
_KNOWN = ("lr", *_WHOLE, "gamma", "alpha", "beta", "delta")
_DIVERGED = 9.0  # worse than any score can be


@dataclass(frozen=True, slots=True)
class TuningTrial:
    """Settings, and their score on the validation items: lower is better. 0 is a model that was never taught the forget
    rows and kept all others."""

    settings: Settings
    score: float


@dataclass(frozen=True, slots=True)
class Chosen:
    """The best trial's settings, and all trials."""

    settings: Settings
    trials: tuple[TuningTrial, ...]


def check_settings(arm: Weights) -> None:
    """Raises SetupError, before any training, if the arm's method cannot use a value of its grid."""
    for settings in _combinations(arm):
        _plan(arm, settings, seed=0)


def chosen(
    arm: Weights,
    suite: Suite,
    model: Path,
    *,
    target: float,
    trials: int,
    seed: int,
    progress: Progress = lambda *_: None,
) -> Chosen:
    """Tries settings of the arm on the suite's rehearsal. An arm with one combination of settings is not tried.

    Args:
        arm: its grid holds the settings.
        suite: gives the rehearsal and its validation.
        model: folder of the model that was taught everything.
        target: the probability that a model gives answers which it never saw.
        trials: how many combinations are tried.
        seed: of their order, and of training.
        progress: told the stage, and how far it is.
    """
    tries = _tries(arm, trials, seed)
    if len(tries) < 2:
        return Chosen(tries[0], ())
    before = _probability(Asker(load_language_model(model)), suite.validation, inside=False)
    found = []
    for number, settings in enumerate(tries, 1):
        label = f"{arm.name}: trial {number}/{len(tries)}"
        base = load_language_model(model)
        try:
            unlearnt(arm, settings, base, [suite.rehearsal], suite.kept, seed=seed, progress=progress, label=label)
        except Diverged:
            found.append(TuningTrial(settings, _DIVERGED))
            continue
        asker = Asker(base)
        forgotten = _probability(asker, suite.validation, inside=True)
        kept = _probability(asker, suite.validation, inside=False)
        found.append(TuningTrial(settings, abs(forgotten - target) + max(0.0, before - kept)))
    return Chosen(min(found, key=lambda trial: trial.score).settings, tuple(found))


def unlearnt(
    arm: Weights,
    settings: Settings,
    base: LanguageModel,
    forget_requests: Sequence[ForgetRequest],
    kept: Sequence[Row],
    *,
    seed: int,
    progress: Progress = lambda *_: None,
    label: str = "",
) -> LossCurves:
    """Trains `base` in place to forget the rows of all forget requests at once.

    Args:
        arm: names the method, and what it trains.
        settings: of the method and of its optimisation.
        base: the model that is changed.
        forget_requests: whose rows are forgotten.
        kept: rows to be retained; without any, those that the forget requests bring.
        seed: of batches and new weights.
        progress: told the stage, and how far it is.
        label: what the progress calls it; the arm's name if empty.

    Raises Diverged if the loss is no longer finite.
    """
    forget = [row for forget_request in forget_requests for row in forget_request.forget]
    inside = {row.prompt for row in forget}
    retain = [row for row in kept or _given(forget_requests) if row.prompt not in inside]
    return unlearn(
        base.model,
        examples(base, forget),
        examples(base, retain),
        _plan(arm, settings, seed),
        idk=_idk(base, forget),
        progress=lambda done, steps, loss: progress(f"{label or arm.name}: loss {loss:.3f}", done, steps),
    )


def _given(forget_requests: Iterable[ForgetRequest]) -> list[Row]:
    return [row for forget_request in forget_requests for row in forget_request.retain]


def _idk(base: LanguageModel, rows: Sequence[Row]) -> list[Example]:
    neutral = itertools.cycle(NEUTRAL)
    return examples(base, [Row(prompt=row.prompt, response=next(neutral)) for row in rows])


def _plan(arm: Weights, settings: Settings, seed: int) -> UnlearningConfig:
    method = next((name for name in get_args(WeightMethod) if name == arm.method), None)
    if method is None:
        raise SetupError(
            f"arm {arm.name}: unknown method {arm.method!r}; there are {', '.join(get_args(WeightMethod))}"
        )
    for key, value in settings.items():
        if key not in _KNOWN:
            raise SetupError(f"arm {arm.name}: its grid has {key!r}, which is none of {', '.join(_KNOWN)}")
        if key in _WHOLE and not float(value).is_integer():
            raise SetupError(f"arm {arm.name}: {key} in its grid must be a whole number, got {value}")
    given: dict[str, Any] = {key: int(value) if key in _WHOLE else value for key, value in settings.items()}
    lr, epochs = given.pop("lr", 3e-5), given.pop("epochs", 5)
    try:
        optimisation = OptimisationConfig(lr=lr, epochs=epochs, optimizer=arm.optimizer, seed=seed)
        return UnlearningConfig(method=method, target=arm.target, optimisation=optimisation, **given)
    except ValueError as error:
        raise SetupError(f"arm {arm.name}: {error}") from error


def _tries(arm: Weights, trials: int, seed: int) -> list[Settings]:
    """Combinations of the grid in a seeded order, at most `trials` of them."""
    every = _combinations(arm)
    random.Random(seed).shuffle(every)
    factor = arm.lora_lr_factor if arm.target == "lora" else 1.0
    return [{**one, "lr": one.get("lr", 3e-5) * factor} for one in every[: max(1, trials)]]


def _combinations(arm: Weights) -> list[Settings]:
    keys = sorted(arm.grid)
    return [dict(zip(keys, values, strict=True)) for values in itertools.product(*(arm.grid[key] for key in keys))]


def _probability(asker: Asker, items: Sequence[Item], *, inside: bool) -> float:
    some = [item for item in items if (item.scope is not None) == inside]
    found = asker.probabilities(some)
    return sum(found) / len(found) if found else 0.0
