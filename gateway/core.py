"""The nouns of a request's life: what was asked, what to do about it, what comes back."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal

from adapters.lora.model import Lora
from adapters.soft_prompt.model import VirtualTokens
from corruption.operators import Recipe

__all__ = [
    "Answer",
    "Chunk",
    "Corrupt",
    "Delta",
    "Dose",
    "Edit",
    "Endpoint",
    "Finding",
    "Instruct",
    "Message",
    "Pass",
    "Plan",
    "Raw",
    "Refuse",
    "Request",
    "Sampling",
    "SoftPrompt",
    "TokenLogprob",
    "Usage",
    "UseAdapter",
]

Endpoint = Literal["chat", "completions"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. A /v1/completions prompt is a single message whose role is 'prompt'."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to decode. None leaves the choice to the backend; `logprobs` is the number of alternatives to report.
    `extra` are ways that only some servers have (top_k, min_p, ...), by their names in vLLM's API."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: int = 1
    stop: tuple[str, ...] = ()
    seed: int | None = None
    logprobs: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    extra: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """A validated request. `side_texts` reach the model beside the messages (tool definitions, say) and are screened
    too; `carries` names the features that not every plan can serve; `raw` is the body as it came. `user` is the
    client's word for who asks, `caller` the gateway's own, never written anywhere: they keep a user with one arm."""

    id: str
    endpoint: Endpoint
    model: str
    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    stream: bool = False
    include_usage: bool = False
    side_texts: tuple[str, ...] = ()
    carries: frozenset[str] = frozenset()
    raw: bytes = b""
    user: str = ""
    caller: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one detector said of one text of a request. `message` is None for the whole conversation or a side text;
    `ranges` are (message, start_char, end_char); `weight` in (0, 1] is how surely the text is inside."""

    scope: str
    detector: str
    score: float
    threshold: float
    matched: bool
    message: int | None
    ranges: tuple[tuple[int, int, int], ...] = ()
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Edit:
    """Corrupt these half-open character ranges of one message with one recipe."""

    message: int
    ranges: tuple[tuple[int, int], ...]
    recipe: Recipe
    seed: int


@dataclass(frozen=True, slots=True)
class Pass:
    """The request goes on as it came."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """The model is not asked; `text` is the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Instruct:
    """A system instruction not to know the targets goes in front (guardrail baseline, arXiv 2403.03329)."""

    text: str


@dataclass(frozen=True, slots=True)
class Corrupt:
    """Embedding-corrupted prompt (ECO, arXiv 2406.07933)."""

    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class SoftPrompt:
    """Virtual tokens in front of the templated prompt, one scope's after the other (SPUL, arXiv 2406.12038)."""

    prompts: tuple[VirtualTokens, ...]


@dataclass(frozen=True, slots=True)
class Dose:
    """One scope's unlearning LoRA and how much of it: the soft `weight` in (0, 1] that the detector gave."""

    scope: str
    lora: Lora
    weight: float


@dataclass(frozen=True, slots=True)
class UseAdapter:
    """The model with the sum of the scopes' LoRAs, each times its weight (O3, arXiv 2407.10223)."""

    doses: tuple[Dose, ...]


Plan = Pass | Refuse | Instruct | Corrupt | SoftPrompt | UseAdapter


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One generated token with its alternatives, most likely first."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Delta:
    """More text of choice `index`; `finish_reason` ends that choice."""

    index: int
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()
    finish_reason: str | None = None
    stop_reason: str | int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts; the prompt's is that of the request as the client sent it."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes of the upstream's own answer, to be handed on as they are."""

    data: bytes


Chunk = Delta | Usage | Raw


@dataclass(frozen=True, slots=True)
class Answer:
    """What the pipeline hands to the wire. `findings` and `plan` are for the operator's eyes only."""

    plan: Plan
    findings: tuple[Finding, ...]
    chunks: AsyncIterator[Chunk]
