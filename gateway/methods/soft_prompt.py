"""SPUL: learned virtual tokens stand in front of the templated prompt (arXiv 2406.12038)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from adapters.soft_prompt.model import VirtualTokens
from gateway.core import FEATURES, Call, ModelNeed, Plan, Request
from gateway.errors import PlanError
from gateway.methods.base import LearnedArtifact
from gateway.methods.gradients import ALL, SERVED, TRAIN, forgets_no_worse, loss_files, optimised, with_extras
from gateway.methods.learning import LearningTask, LocatedRow
from gateway.prompts.embedding import Prompts
from gateway.prompts.execution import ModelInput

if TYPE_CHECKING:
    from adapters.soft_prompt.training import SoftPromptTraining, TrainedSoftPrompt
    from gateway.methods.sharing import SharedTraining

__all__ = ["SoftPrompt", "SoftPromptMethod"]

_FILE = "soft_prompt.safetensors"


@dataclass(frozen=True, slots=True)
class SoftPrompt(Plan):
    """Virtual tokens in front of the templated prompt, one scope's after the other (SPUL, arXiv 2406.12038)."""

    name: ClassVar[str] = "SoftPrompt"
    needs: ClassVar[frozenset[ModelNeed]] = frozenset({"prompt_embeds"})
    carries: ClassVar[frozenset[str]] = FEATURES
    prompts: tuple[VirtualTokens, ...]

    def model_input(self, request: Request, prompts: Prompts) -> ModelInput:
        """Raises PlanError if a soft prompt was trained for another width."""
        if any(tokens.hidden != prompts.hidden for tokens in self.prompts):
            raise PlanError(f"a soft prompt is not {prompts.hidden} wide, as this model's embeddings are")
        ids = prompts.render(request).ids
        virtual = [prompts.like_rows(tokens.embeddings) for tokens in self.prompts]
        return ModelInput(request.messages, ids, len(ids), torch.cat([*virtual, prompts.embed(ids)]))


class SoftPromptMethod:
    """See `gateway.methods.base.Method`."""

    name: ClassVar[str] = "soft-prompt"
    plan_name: ClassVar[str] = SoftPrompt.name
    files: ClassVar[tuple[str, ...]] = (_FILE,)
    needs: ClassVar[frozenset[ModelNeed]] = SoftPrompt.needs
    ungated: ClassVar[bool] = True

    @property
    def configuration(self) -> type[Any]:
        from adapters.soft_prompt.training import SoftPromptTraining

        return SoftPromptTraining

    def save(self, artifact: VirtualTokens, folder: Path) -> None:
        artifact.save(folder / _FILE)

    def load(self, folder: Path) -> VirtualTokens:
        return VirtualTokens.load(folder / _FILE)

    def adapter(self, artifact: VirtualTokens) -> None:
        return None

    def plan(self, request: Request, calls: Sequence[Call]) -> SoftPrompt:
        return SoftPrompt(tuple(call.artifact for call in calls))

    def configured(self, options: Mapping[str, Any], *, seed: int) -> "SoftPromptTraining":
        configuration: SoftPromptTraining = optimised(self.name, self.configuration(), options, seed=seed)
        return configuration

    def learn(
        self, task: LearningTask, configuration: "SoftPromptTraining", earlier: Callable[[], Mapping[str, Any]]
    ) -> LearnedArtifact:
        return _learned(task, configuration)

    def assist(self, shared: "SharedTraining", configuration: "SoftPromptTraining") -> None:
        _trained(shared, configuration)


def _learned(task: LearningTask, training: "SoftPromptTraining") -> LearnedArtifact:
    """SPUL: virtual tokens that stand in front of the prompt."""
    from gateway.methods.sharing import GradientRows, SharedTraining

    dataset, targets, evaluator = task.dataset, task.targets, task.evaluator

    def trained(rows: Sequence[LocatedRow], label: str) -> "TrainedSoftPrompt":
        given = GradientRows(
            targets.forget_examples(rows, task.progress),
            targets.likelihoods(rows),
            targets.retain_examples(dataset.retain),
        )
        task.processes.send(given.to_json())
        return _trained(
            SharedTraining(task.model, given, task.processes),
            training,
            progress=lambda done, steps, loss: task.progress(f"soft prompt, {label}: loss {loss:.3f}", done, steps),
        )

    measured = trained(dataset.train, TRAIN)
    task.progress("measure on held-out rows", 0, 1)
    tried, tokens = SoftPrompt((measured.tokens,)), len(measured.tokens.embeddings)
    figures = evaluator.figures(dataset.held_out, lambda _: tried, virtual_tokens=tokens)
    final = trained(dataset.every, ALL)
    whole = SoftPrompt((final.tokens,))
    better = forgets_no_worse(evaluator.under(dataset.held_out, lambda _: whole), figures)
    served = final if better else measured
    return LearnedArtifact(served.tokens, with_extras(figures, served=SERVED[better]), loss_files(served.losses))


def _trained(shared: "SharedTraining", training: "SoftPromptTraining", **options: Any) -> "TrainedSoftPrompt":
    from adapters.soft_prompt.training import train_soft_prompt

    return train_soft_prompt(
        shared.model,
        forget=shared.rows.forget,
        retain=shared.rows.retain,
        training=training,
        likelihoods=shared.rows.likelihoods,
        processes=shared.processes,
        **options,
    )
