"""What the pipeline asks of a backend."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from adapters.lora.model import Lora
from gateway.core import Chunk, Endpoint, Plan, Request
from gateway.openai_format.encoding import Shape
from gateway.prompts.rendering import Tokenizer

__all__ = ["Backend", "ModelCard", "Served"]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model that clients may name. `max_tokens` is its context length in tokens."""

    id: str
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Served:
    """What a started backend serves: its models, the tokenizer to read prompts with, and what it cannot do.

    `cannot` maps a plan's class name or a request feature to the reason, in words for an operator or a client.
    `strengths` are the LoRA weights that can be served; empty: any. `misread` says why the tokenizer is not the
    model's own, if it was found not to be.
    """

    models: tuple[ModelCard, ...]
    tokenizer: Tokenizer
    vocabulary: int
    cannot: dict[str, str]
    strengths: tuple[float, ...] = ()
    misread: str = ""


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

    async def prepare(self, adapters: Mapping[str, Lora]) -> Mapping[str, str]:
        """Told at start and whenever packs change which unlearning LoRAs are in force, by scope.

        Loads and unloads accordingly. Returns, by scope, why an adapter cannot be served: its requests are refused.
        Never raises.
        """

    def generate(self, request: Request, plan: Plan) -> AsyncIterator[Chunk]:
        """The answer, piece by piece: deltas, then one usage; or raw bytes for an untouched upstream answer.

        Errors of kind AnswerError; those raised before the first chunk still set the status. Closing the iterator
        (`aclose`) aborts the generation and frees its slot.
        """

    async def trouble(self) -> str | None:
        """Why requests cannot be answered now; None if they can. Cheap enough for a readiness probe."""


def features_refused(request: Request, served: Served) -> Sequence[str]:
    """The reasons why this backend cannot take the request at all."""
    return [served.cannot[feature] for feature in sorted(request.carries) if feature in served.cannot]
