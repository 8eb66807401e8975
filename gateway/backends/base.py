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

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from classifiers.leaks.watch import nothing_exempt
from gateway.core import Endpoint, Event, ModelNeed, Plan, Request
from gateway.errors import InvalidRequest
from gateway.openai_format.messages.shape import MessageShape
from gateway.openai_format.shapes import Shape
from gateway.policy import ServingMethod
from gateway.prompts.rendering import Tokenizer
from gateway.telemetry.taps import Watcher

if TYPE_CHECKING:
    from adapters.lora.model import Lora

__all__ = ["Assignment", "Backend", "ModelCard", "Served", "Started", "Starting", "Wasted", "check_features"]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model that clients may name. `max_tokens` is its context length in tokens."""

    id: str
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Served:
    """What a started backend serves: its models, the tokenizer to read prompts with, and what it cannot do.

    `unsupported_features` maps a request's feature (such as 'tools') to the reason, for the client. `unsupported_needs`
    maps a plan's need to the reason, for the operator: such plans end in their fallback. `adapter_weights` are the LoRA
    weights that it serves; empty: any. `tokenizer_mismatch` says why the tokenizer is not the model's own, if it is
    not.
    """

    models: tuple[ModelCard, ...]
    tokenizer: Tokenizer
    vocabulary: int
    unsupported_features: Mapping[str, str] = field(default_factory=dict)
    unsupported_needs: Mapping[ModelNeed, str] = field(default_factory=dict)
    adapter_weights: tuple[float, ...] = ()
    tokenizer_mismatch: str = ""

    def unsupported(self, needs: frozenset[ModelNeed]) -> str | None:
        """Why the backend cannot carry out a plan with these needs; None if it can."""
        return next((self.unsupported_needs[need] for need in sorted(needs & self.unsupported_needs.keys())), None)

    def unsupported_plans(self, methods: Iterable[ServingMethod]) -> list[str]:
        """Which of these methods' plans it cannot carry out, and why."""
        faults = {one.plan_name: self.unsupported(one.needs) for one in methods}
        return [f"{plan} cannot be served: {why}" for plan, why in faults.items() if why]


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which backend answers a request, by which plan, and which watchers see the answer. The output screen leaves out
    the scopes that are `exempt`: the operator declared that this backend's weights have forgotten them."""

    backend: "Backend"
    plan: Plan
    watchers: tuple[Watcher, ...] = ()
    exempt: Callable[[str], bool] = nothing_exempt


class Backend(Protocol):
    """Generates answers. An async context manager. Concurrent requests share no state."""

    async def __aenter__(self) -> "Backend":
        """Starts. Raises SetupError or UpstreamError, which say what to do."""

    async def __aexit__(self, *error: object) -> None:
        """Stops, and aborts running generations."""

    @property
    def served(self) -> Served:
        """What it serves. Known once the backend is started."""

    def shape(self, endpoint: Endpoint) -> Shape:
        """How this backend's own answers look."""

    @property
    def message_shape(self) -> MessageShape:
        """How this backend's own messages in Anthropic's format look."""

    async def count_tokens(self, request: Request) -> bytes:
        """The answer to a request, in Anthropic's format, to count its prompt's tokens. Raises AnswerError."""

    @property
    def adapter_slots(self) -> int:
        """How many unlearning LoRAs it keeps ready at once."""

    async def prepare(
        self, adapters: "Mapping[str, Lora]", in_force: frozenset[str] | None = None
    ) -> Mapping[str, str]:
        """Makes unlearning LoRAs ready, by scope. The gateway calls it at start and whenever packs change.

        Loads adapters, and unloads those whose LoRAs are not `in_force` any more (their digests; None: `adapters` are
        all there are). An adapter that is not made ready here is loaded when a plan needs it. Returns, by scope, why it
        cannot serve an adapter: requests inside that scope are refused. Never raises.
        """

    def check_length(self, request: Request) -> int:
        """The number of the request's prompt tokens. Raises InvalidRequest, in the words of the backend's own model, if
        the model cannot take it. Slow for a long text: call it off the event loop."""

    def generate(self, request: Request, plan: Plan) -> AsyncGenerator[Event, None]:
        """The answer, event by event: deltas, then one usage; or the bytes of an untouched upstream answer.

        If the backend cannot carry out the plan, it answers with the plan's fallback; the first event then says why.
        Errors are of kind AnswerError; an error before the first event still sets the status. To close the generator
        aborts the generation and frees its slot.
        """

    async def problem(self) -> str | None:
        """Why the backend cannot answer now; None if it can. Cheap enough for a readiness check."""

    @property
    def concerns(self) -> Sequence[str]:
        """What the operator should look into, though requests are answered."""


@dataclass(frozen=True, slots=True)
class Wasted:
    """What an aborted answer cost: how long it was under way, and the bytes that had come and were thrown away."""

    seconds: float
    held_bytes: int


class Started(Protocol):
    """The answer to a request as the client sent it, under way. Nobody has read of it, and it says nothing, not even
    of an error, until somebody reads its events."""

    def events(self) -> AsyncGenerator[Event, None]:
        """As `Backend.generate` gives them for a Pass. Once."""

    async def abort(self) -> Wasted:
        """Ends it without a word, and frees its slot. In place of `events`."""


@runtime_checkable
class Starting(Protocol):
    """A backend that can begin a Pass before it is known whether the request may pass."""

    async def start(self, request: Request) -> Started:
        """Begins, and returns once the request has left, unless that takes long. The backend reads ahead a few dozen
        KiB at most."""


def check_features(request: Request, served: Served) -> None:
    """Raises InvalidRequest for a feature of the request that this backend cannot take, whether or not it is
    flagged."""
    feature = next((feature for feature in served.unsupported_features if feature in request.carries), None)
    if feature is not None:
        raise InvalidRequest(served.unsupported_features[feature], param=feature, code="unsupported_parameter")
