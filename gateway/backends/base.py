"""What the pipeline asks of a backend.

Example: a backend that repeats the first message.

    >>> import asyncio
    >>> from gateway.core import Delta, Message, Pass, Usage
    >>> class Echo:
    ...     async def generate(self, request, plan):
    ...         yield Event.of(Delta(0, request.messages[0].text, finish_reason="stop"))
    ...         yield Event.of(Usage(1, 1))
    >>> async def answer(request):
    ...     return [delta.text async for event in Echo().generate(request, Pass()) for delta in event.deltas]
    >>> asyncio.run(answer(Request("1", "chat", "echo", (Message("user", "Hello"),))))
    ['Hello']
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from gateway.core import Endpoint, Event, ModelNeed, Plan, Request
from gateway.errors import InvalidRequest
from gateway.openai_format.shapes import Shape
from gateway.prompts.rendering import Tokenizer
from gateway.telemetry.taps import Watcher

if TYPE_CHECKING:
    from adapters.lora.model import Lora

__all__ = ["Assignment", "Backend", "ModelCard", "Served", "check_features"]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model that clients may name. `max_tokens` is its context length in tokens."""

    id: str
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Served:
    """What a started backend serves: its models, the tokenizer to read prompts with, and what it cannot do.

    `unsupported_features` maps a request's feature ('tools', say) to the reason, for the client. `unsupported_needs`
    maps a plan's need to the reason, for the operator: such plans end in their fallback. `adapter_weights` are the LoRA
    weights that can be served; empty: any. `tokenizer_mismatch` says why the tokenizer is not the model's own, if it
    was found not to be.
    """

    models: tuple[ModelCard, ...]
    tokenizer: Tokenizer
    vocabulary: int
    unsupported_features: Mapping[str, str] = field(default_factory=dict)
    unsupported_needs: Mapping[ModelNeed, str] = field(default_factory=dict)
    adapter_weights: tuple[float, ...] = ()
    tokenizer_mismatch: str = ""

    def unsupported(self, needs: frozenset[ModelNeed]) -> str | None:
        """Why a plan with these needs cannot be carried out; None if it can."""
        return next((self.unsupported_needs[need] for need in sorted(needs & self.unsupported_needs.keys())), None)


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which backend answers a request, by which plan, and who watches the answer besides."""

    backend: "Backend"
    plan: Plan
    watchers: tuple[Watcher, ...] = ()


class Backend(Protocol):
    """Generates; an async context manager around its life. Concurrent requests share no state."""

    async def __aenter__(self) -> "Backend":
        """Starts; raises SetupError or UpstreamError with what to do if it cannot."""

    async def __aexit__(self, *error: object) -> None:
        """Stops; running generations are aborted."""

    @property
    def served(self) -> Served:
        """Known once started."""

    def shape(self, endpoint: Endpoint) -> Shape:
        """How this backend's own answers look."""

    async def prepare(self, adapters: "Mapping[str, Lora]") -> Mapping[str, str]:
        """Told at start and whenever packs change which unlearning LoRAs are in force, by scope.

        Loads and unloads accordingly. Returns, by scope, why an adapter cannot be served: its requests are refused.
        Never raises.
        """

    def check_length(self, request: Request) -> int:
        """The number of the request's prompt tokens. Raises InvalidRequest, in the words of the backend's own model, if
        the model cannot take it. Slow for a long text: not for the event loop."""

    def generate(self, request: Request, plan: Plan) -> AsyncGenerator[Event, None]:
        """The answer, event by event: deltas, then one usage; or the bytes of an untouched upstream answer.

        A plan that cannot be carried out is answered with its fallback; the first event then says why. Errors are of
        kind AnswerError; those raised before the first event still set the status. Closing the generator aborts the
        generation and frees its slot.
        """

    async def problem(self) -> str | None:
        """Why requests cannot be answered now; None if they can. Cheap enough for a readiness probe."""


def check_features(request: Request, served: Served) -> None:
    """Raises InvalidRequest, flagged or not, for a feature of the request that this backend cannot take."""
    for feature in sorted(request.carries & served.unsupported_features.keys()):
        reason = served.unsupported_features[feature]
        raise InvalidRequest(reason, param=feature, code="unsupported_parameter")
