"""O3: an unlearning LoRA, whose weight is how sure the detector is that the text is inside (arXiv 2407.10223)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from adapters.lora.model import ADAPTER_FILES, Lora
from gateway.core import FEATURES, Call, ModelNeed, Plan, Request
from gateway.methods.base import LearnedArtifact
from gateway.methods.gradients import ALL, SERVED, TRAIN, forgets_no_worse, loss_files, optimised, with_extras
from gateway.methods.learning import LearningTask, LocatedRow
from gateway.prompts.embedding import Prompts
from gateway.prompts.execution import ModelInput, WeightedAdapter, plain_input

if TYPE_CHECKING:
    from adapters.lora.training import LoraTraining, TrainedLora
    from gateway.methods.sharing import SharedTraining

__all__ = ["LoraMethod", "UseAdapter", "quantise_weight"]


@dataclass(frozen=True, slots=True)
class UseAdapter(Plan):
    """The model with the sum of the scopes' LoRAs, each times its weight (O3, arXiv 2407.10223)."""

    name: ClassVar[str] = "UseAdapter"
    needs: ClassVar[frozenset[ModelNeed]] = frozenset({"adapters"})
    carries: ClassVar[frozenset[str]] = FEATURES
    adapters: tuple[WeightedAdapter, ...]

    @property
    def weights(self) -> Mapping[str, float]:
        return {adapter.scope: adapter.weight for adapter in self.adapters}

    def quantised(self, weights: Sequence[float]) -> Self:
        changed = [replace(one, weight=quantise_weight(one.weight, weights)) for one in self.adapters]
        return replace(self, adapters=tuple(changed))

    def model_input(self, request: Request, prompts: Prompts) -> ModelInput:
        """The request's own prompt, with the adapters."""
        return replace(plain_input(request, prompts), adapters=self.adapters)


def quantise_weight(weight: float, served: Sequence[float]) -> float:
    """The nearest of the weights that a backend serves, and the higher of two equally near ones. Without any, the
    backend serves every weight: then it is `weight` itself."""
    return min(served, key=lambda step: (abs(step - weight), -step), default=weight)


class LoraMethod:
    """See `gateway.methods.base.Method`."""

    name: ClassVar[str] = "lora"
    plan_name: ClassVar[str] = UseAdapter.name
    files: ClassVar[tuple[str, ...]] = ADAPTER_FILES
    needs: ClassVar[frozenset[ModelNeed]] = UseAdapter.needs
    ungated: ClassVar[bool] = False

    @property
    def configuration(self) -> type[Any]:
        from adapters.lora.training import LoraTraining

        return LoraTraining

    def save(self, artifact: Lora, folder: Path) -> None:
        artifact.save(folder)

    def load(self, folder: Path) -> Lora:
        return Lora.load(folder)

    def adapter(self, artifact: Lora) -> Lora:
        return artifact

    def plan(self, request: Request, calls: Sequence[Call]) -> UseAdapter | None:
        """None if a scope's weight is 0."""
        adapters = tuple(WeightedAdapter(call.scope, call.artifact, call.weight) for call in calls)
        return UseAdapter(adapters) if all(adapter.weight > 0 for adapter in adapters) else None

    def configured(self, options: Mapping[str, Any], *, seed: int) -> "LoraTraining":
        configuration: LoraTraining = optimised(self.name, self.configuration(), options, seed=seed)
        return configuration

    def learn(
        self, task: LearningTask, configuration: "LoraTraining", earlier: Callable[[], Mapping[str, Lora]]
    ) -> LearnedArtifact:
        return _learned(task, configuration, earlier())

    def assist(self, shared: "SharedTraining", configuration: "LoraTraining") -> None:
        _trained(shared, configuration, earlier=())  # the main process keeps it apart from those


def _learned(task: LearningTask, training: "LoraTraining", earlier: Mapping[str, Lora]) -> LearnedArtifact:
    """O3: an adapter, orthogonal to those of `earlier` requests (by scope)."""
    from gateway.methods.sharing import GradientRows, SharedTraining

    dataset, targets, evaluator = task.dataset, task.targets, task.evaluator

    def trained(rows: Sequence[LocatedRow], label: str) -> "TrainedLora":
        given = GradientRows(targets.forget_examples(rows, task.progress), targets.likelihoods(rows))
        task.processes.send(given.to_json())
        return _trained(
            SharedTraining(task.model, given, task.processes),
            training,
            earlier=list(earlier.values()),
            progress=lambda done, steps, loss: task.progress(f"unlearning LoRA, {label}: loss {loss:.3f}", done, steps),
        )

    def plan(by: "TrainedLora") -> UseAdapter:
        return UseAdapter((WeightedAdapter("learned", by.lora, 1.0),))

    measured = trained(dataset.train, TRAIN)
    task.progress("measure on held-out rows", 0, 1)
    figures = evaluator.figures(dataset.held_out, lambda _: plan(measured), orthogonal_to=sorted(earlier))
    final = trained(dataset.every, ALL)
    better = forgets_no_worse(evaluator.under(dataset.held_out, lambda _: plan(final)), figures)
    served = final if better else measured
    figures = with_extras(figures, served=SERVED[better], overlap=served.overlap)
    return LearnedArtifact(served.lora, figures, loss_files(served.losses))


def _trained(
    shared: "SharedTraining", training: "LoraTraining", *, earlier: Sequence[Lora], **options: Any
) -> "TrainedLora":
    from adapters.lora.training import train_lora

    return train_lora(
        shared.model,
        forget=shared.rows.forget,
        earlier=earlier,
        training=training,
        likelihoods=shared.rows.likelihoods,
        processes=shared.processes,
        **options,
    )
