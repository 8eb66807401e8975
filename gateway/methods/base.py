"""What the gateway asks of a method.

A method is one file and one registration (see `gateway.methods.registry`):

Example:
    >>> class Shout:                                                    # doctest: +SKIP
    ...     name, plan_name, files = "shout", "Shout", ("shout.json",)
    ...     needs, ungated, configuration = frozenset(), False, ShoutConfig
    ...     def save(self, artifact, folder): ...
    ...     def load(self, folder): ...
    ...     def adapter(self, artifact): return None
    ...     def plan(self, request, calls): return ShoutPlan(...)
    ...     def learn(self, task, configuration, earlier): return LearnedArtifact(...)
    >>> register("shout", "my_package.shout:Shout")                     # doctest: +SKIP
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from gateway.core import Call, ModelNeed, Plan, Request
from gateway.methods.learning import LearningTask

if TYPE_CHECKING:
    from adapters.lora.model import Lora

__all__ = ["LearnedArtifact", "Method", "MethodArtifact"]

MethodArtifact = Any
"""What a method learned of one scope: numbers that its plan acts with. Only the method itself looks inside."""


@dataclass(frozen=True, slots=True, eq=False)
class LearnedArtifact:
    """What a method made of a scope, its `figures` on held-out rows (a `gateway.packs.manifest.Forgetting`, or its
    fields; `task.evaluator.figures` gives one) and files for people to read."""

    artifact: MethodArtifact
    figures: Any
    extra: dict[str, bytes] = field(default_factory=dict)


class Method(Protocol):
    """One way to forget. Stateless: one instance serves every scope and request.

    `name` stands in manifests and on the command line, `plan_name` in audit lines. `files` are those of its artifact
    in a pack. `needs` is what a backend must be able to give the model. `ungated`: its plan may act on every request
    (SPUL's paper has it so). `configuration` is a frozen dataclass of training settings with defaults for all.
    """

    name: ClassVar[str]
    plan_name: ClassVar[str]
    files: ClassVar[tuple[str, ...]]
    needs: ClassVar[frozenset[ModelNeed]]
    ungated: ClassVar[bool]
    configuration: ClassVar[type[Any]]

    def save(self, artifact: MethodArtifact, folder: Path) -> None:
        """Writes `files` into an existing folder: safetensors and JSON, never a pickle."""

    def load(self, folder: Path) -> MethodArtifact:
        """Reads what `save` wrote. Raises OSError or ValueError for a file that is wrong."""

    def adapter(self, artifact: MethodArtifact) -> "Lora | None":
        """The LoRA that a backend must have ready before the plan is carried out, if there is one."""

    def plan(self, request: Request, calls: Sequence[Call]) -> Plan | None:
        """One plan for all scopes that act on a request; None if one of them would not act: the gateway then refuses.
        A pure function. The plan has `model_input` (see `gateway.prompts.execution.ModelPlan`)."""

    def configured(self, options: Mapping[str, Any], *, seed: int) -> Any:
        """The configuration for the command line's `options`, those that the user gave. Raises ValueError for an option
        that is not the method's own, or a bad value."""

    def learn(
        self, task: LearningTask, configuration: Any, earlier: Callable[[], Mapping[str, MethodArtifact]]
    ) -> LearnedArtifact:
        """Learns from a scope's rows, the trainer being imported here.

        Args:
            task: the scope's rows, what to learn towards, and the models to learn and judge by.
            configuration: what `configured` gave.
            earlier: reads what this method learned of the scopes of earlier forget requests, for the same base model.
        """
