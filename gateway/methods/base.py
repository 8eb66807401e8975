"""What the gateway asks of a method.

A method is one file and one registration (see `gateway.methods.registry`).

Example: a method that learns one sentence and refuses with it.
    >>> from gateway.core import Call, Message, Refuse, Request
    >>> from gateway.methods.registry import register
    >>> class Sorry:
    ...     name, plan_name, files = "sorry", Refuse.name, ("sorry.txt",)
    ...     needs, ungated, configuration = frozenset(), False, dict
    ...     def save(self, artifact, folder): (folder / "sorry.txt").write_text(artifact)
    ...     def load(self, folder): return (folder / "sorry.txt").read_text()
    ...     def adapter(self, artifact): return None
    ...     def plan(self, request, calls): return Refuse(calls[0].artifact)
    ...     def configured(self, options, *, seed): return dict(options)
    ...     def learn(self, task, configuration, earlier): return LearnedArtifact("Sorry.", figures={})
    >>> Sorry().plan(Request("1", "chat", "m", (Message("user", "Who is Oz?"),)), [Call("oz", "Sorry.", ())]).text
    'Sorry.'
    >>> register("sorry", "my_package.sorry:Sorry")  # doctest: +SKIP
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from gateway.methods.learning import LearningTask
from gateway.policy import ServingMethod

if TYPE_CHECKING:
    from gateway.methods.sharing import SharedTraining

__all__ = ["LearnedArtifact", "Method", "MethodArtifact", "Shareable"]

MethodArtifact = Any
"""What a method learned of one scope: numbers that its plan acts with. Only the method itself looks inside."""


@dataclass(frozen=True, slots=True, eq=False)
class LearnedArtifact:
    """What a method learned of a scope: the artifact, its `figures` on held-out rows (a
    `gateway.packs.manifest.Forgetting`, or its fields; `task.evaluator.figures` makes one), and files for people to
    read."""

    artifact: MethodArtifact
    figures: Any
    extra: dict[str, bytes] = field(default_factory=dict)


class Method(ServingMethod, Protocol):
    """One way to forget: what serving asks of it, and how it learns. Stateless: one instance serves every scope.

    `files` are those of its artifact in a pack. `configuration` is a frozen dataclass of training settings with
    defaults for all.
    """

    files: ClassVar[tuple[str, ...]]
    configuration: ClassVar[type[Any]]

    def save(self, artifact: MethodArtifact, folder: Path) -> None:
        """Writes `files` into an existing folder: safetensors and JSON, never a pickle."""

    def load(self, folder: Path) -> MethodArtifact:
        """Reads what `save` wrote. Raises OSError or ValueError for a file that is wrong."""

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


@runtime_checkable
class Shareable(Protocol):
    """A method that learns by gradients, so that several processes can share its training."""

    def assist(self, shared: "SharedTraining", configuration: Any) -> None:
        """Takes this process's share of one training, while the main process is in `learn`, which sent it the rows.
        `configuration` is what `configured` gave."""
