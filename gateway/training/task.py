"""What a method gets to learn one scope."""

from dataclasses import dataclass
from typing import Any

from adapters.parallel import ALONE, Processes
from gateway.training.dataset import ForgetDataset, Progress
from gateway.training.evaluator import Evaluator
from gateway.training.targets import Targets

__all__ = ["LearningTask"]


@dataclass(frozen=True, slots=True)
class LearningTask:
    """What a method gets to learn one scope: its rows, the `targets`, the `evaluator` that asks the model, and the base
    causal language `model` itself, which every method leaves as it is. The method reports its `progress`, and shares a
    training with other `processes`, if there are any."""

    dataset: ForgetDataset
    targets: Targets
    evaluator: Evaluator
    model: Any
    progress: Progress = lambda *_: None
    processes: Processes = ALONE
