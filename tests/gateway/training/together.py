"""A training that several processes share, with real learning and made-up rows. `test_processes.py` starts it."""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from adapters.batches import Example, TargetLikelihood
from adapters.lora.model import Lora
from adapters.lora.training import LoraTraining
from adapters.optimizers.schedule import OptimisationConfig
from adapters.parallel import ALONE, Processes
from adapters.soft_prompt.training import SoftPromptTraining
from gateway.core import Plan
from gateway.methods.base import LearnedArtifact
from gateway.methods.registry import method
from gateway.models.folders import fingerprint
from gateway.models.language_model import load_language_model
from gateway.models.loading import Loading
from gateway.packs.manifest import Figures, Forgetting
from gateway.training.workers import assist, launched, send_base, send_end

# Seven rows in batches of three: the last batch has one row, in which the second of two processes has no part.
OPTIMISATION = OptimisationConfig(lr=2e-3, epochs=3, batch=3, seed=5)


@dataclass(frozen=True)
class Training:
    """What is used of `gateway.training.config.Training`, whose detectors take seconds to import."""

    method: str
    settings: Any
    loading: Loading = field(default_factory=Loading)


TRAININGS = {
    "lora": Training("lora", LoraTraining(rank=4, optimisation=OPTIMISATION)),
    "soft-prompt": Training("soft-prompt", SoftPromptTraining(tokens=5, optimisation=OPTIMISATION)),
}
ROWS = range(7)


def example(row: int, *, answer: int) -> Example:
    """Prompts and answers of unequal lengths."""
    ids = torch.randint(10, 290, (6 + row + answer,), generator=torch.Generator().manual_seed(row)).tolist()
    return Example(tuple(ids[: 6 + row % 4]), tuple(ids[-answer:]))


class Targets:
    def forget_examples(self, rows: Sequence[int], _: Any = None) -> list[Example]:
        return [example(row, answer=2 + row % 5) for row in rows]

    def retain_examples(self, rows: Sequence[int]) -> list[Example]:
        return [example(row, answer=3 + row % 2) for row in rows]

    def likelihoods(self, rows: Sequence[int]) -> list[TargetLikelihood]:
        """Every third row has a token whose likelihood is not known, and the second row has no other."""
        found = []
        for row in rows:
            prompt, answer = example(row, answer=2 + row % 5).prompt, example(90 + row, answer=1 + row % 3).answer
            first = math.nan if row % 3 == 1 else -3.0
            found.append(TargetLikelihood(Example(prompt, answer), (first, *[-2.0] * (len(answer) - 1))))
        return found


@dataclass(frozen=True)
class Rows:
    train: Sequence[int] = ROWS
    held_out: Sequence[int] = ROWS[:1]
    every: Sequence[int] = ROWS
    retain: Sequence[int] = tuple(range(20, 25))


class Evaluator:
    def under(self, rows: Sequence[int], plan_of: Callable[[Any], Plan]) -> Figures:
        return Figures(probability=0, leak_rate=0, relevance=0, repetition=0, surprise=0, rows=1)

    def figures(self, rows: Sequence[int], plan_of: Callable[[Any], Plan], **extras: Any) -> Forgetting:
        figures = self.under(rows, plan_of)
        return Forgetting(rows=1, plain=figures, guarded=figures, counterfactual=figures, extras=extras)


@dataclass(frozen=True)
class Task:
    model: Any
    processes: Processes = ALONE
    dataset: Rows = field(default_factory=Rows)
    targets: Targets = field(default_factory=Targets)
    evaluator: Evaluator = field(default_factory=Evaluator)
    progress: Callable[[str, int, int], None] = lambda *_: None


def earlier() -> dict[str, Lora]:
    """What an earlier request learned: only the main process knows of it."""
    made = torch.Generator().manual_seed(9)
    down, up = (torch.randn(shape, generator=made) for shape in ((2, 32), (32, 2)))
    return {"oz": Lora({"model.layers.1.self_attn.q_proj": (down, up)}, 1.0)}


def learned(name: str, model: Any, processes: Processes = ALONE) -> LearnedArtifact:
    return method(name).learn(Task(model, processes), TRAININGS[name].settings, earlier)  # type: ignore[arg-type]


def main(folder: Path, out: Path) -> None:
    torch.set_num_threads(1)
    with launched() as processes:
        for name, training in TRAININGS.items():
            if not processes.main:
                assist(processes, training, str(folder))  # type: ignore[arg-type]
                continue
            send_base(processes, training, fingerprint(folder))  # type: ignore[arg-type]
            found = learned(name, load_language_model(folder).model, processes)
            send_end(processes)
            (out / name).mkdir()
            method(name).save(found.artifact, out / name)
            (out / name / "curve.json").write_bytes(found.extra["curve.json"])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
