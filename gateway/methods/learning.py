"""What a method gets to learn one scope: rows, targets, and a model to ask.

`gateway.training` makes these objects; a method may rely on these protocols.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from gateway.core import Plan

if TYPE_CHECKING:
    from torch import Tensor

    from adapters.batches import Example, TargetLikelihood
    from adapters.lora.model import Lora
    from adapters.parallel import Processes
    from corruption.objective import Outcome, Sample
    from corruption.operators import EmbeddingTable

__all__ = ["Evaluator", "ForgetRows", "LearningTask", "LocatedRow", "Targets"]


class LocatedRow(Protocol):
    """A forget row: `row.prompt`, `row.response`, whether the names of the scope stand in it, the half-open character
    `ranges` of the prompt that the gate points at, and the `seed` that serving gives the prompt."""

    @property
    def row(self) -> Any: ...
    @property
    def named(self) -> bool: ...
    @property
    def ranges(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def seed(self) -> int: ...


class ForgetRows(Protocol):
    """One scope's rows. `train` and `held_out` are the two sides of the split: a method learns from `train` and
    measures on `held_out`. From `every` it learns the artifact that is served. `train_as_served` are the rows of
    `train`, located by the detector that the pack ships."""

    @property
    def train(self) -> Sequence[LocatedRow]: ...
    @property
    def train_as_served(self) -> Sequence[LocatedRow]: ...
    @property
    def held_out(self) -> Sequence[LocatedRow]: ...
    @property
    def every(self) -> Sequence[LocatedRow]: ...
    @property
    def retain(self) -> Sequence[Any]: ...


class Targets(Protocol):
    """What to learn towards."""

    def forget_examples(self, rows: Sequence[Any], progress: Callable[[str, int, int], None] = ...) -> "list[Example]":
        """The rows, each with an answer that gives nothing away."""

    def retain_examples(self, rows: Sequence[Any]) -> "list[Example]":
        """Retain rows with their true answers."""

    def likelihoods(self, rows: Sequence[Any]) -> "list[TargetLikelihood]":
        """The rows' true answers, with how likely they should become."""

    def outcome(self, rows: Sequence[Any]) -> "Outcome | None":
        """The behaviour to learn; None stands for the behaviour on the counterfactual prompts."""


class Evaluator(Protocol):
    """Asks the base model, plainly or as a method has it."""

    @property
    def table(self) -> "EmbeddingTable":
        """What corruption operators know of the model."""

    def samples(self, rows: Sequence[Any]) -> "list[Sample]":
        """The rows as embedded prompts."""

    def surprise(self, rows: Sequence[Any]) -> list[float]:
        """How little the plain model expects each true answer, in nats a token."""

    def observe(
        self,
        samples: "Sequence[Sample]",
        prompts: "Sequence[Tensor]",
        *,
        loras: "Sequence[tuple[Lora, float]]" = (),
    ) -> "Outcome":
        """How the model answers `prompts` [tokens, hidden] in place of the samples' own."""

    def under(self, rows: Sequence[Any], plan_of: Callable[[Any], Plan]) -> "Outcome":
        """How the model answers rows under a plan for each, as serving carries it out."""

    def figures(self, held_out: Sequence[Any], plan_of: Callable[[Any], Plan], **extras: Any) -> Any:
        """The figures on held-out rows for the manifest, under a plan for each, with the method's own `extras`."""


class LearningTask(Protocol):
    """One scope to learn. `model` is the base causal language model: every method leaves it as it is."""

    @property
    def dataset(self) -> ForgetRows: ...
    @property
    def targets(self) -> Targets: ...
    @property
    def evaluator(self) -> Evaluator: ...
    @property
    def model(self) -> Any: ...
    @property
    def progress(self) -> Callable[[str, int, int], None]:
        """Is told a stage, how many of its steps are done, and of how many."""

    @property
    def processes(self) -> "Processes":
        """Those that train together, of which this one leads. A method that is `Shareable` sends the others the rows of
        each training; any other method is alone."""
