"""The nouns of a request's life: what a client asks, what the gate finds, what the gateway decides, what comes back.

This module imports nothing of the project and no torch: a command that only reads these nouns starts at once.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, Self

__all__ = [
    "COMPLETION_TOKENS",
    "DEFAULT_REFUSAL",
    "FEATURES",
    "Account",
    "Answer",
    "Call",
    "Delta",
    "Dialect",
    "Endpoint",
    "Event",
    "Finding",
    "Instruct",
    "Message",
    "ModelNeed",
    "Pass",
    "Plan",
    "Refuse",
    "Request",
    "Sampling",
    "Screening",
    "Tap",
    "TokenLogprob",
    "ToolCall",
    "Unavailable",
    "Usage",
]

Endpoint = Literal["chat", "completions"]
Dialect = Literal["openai", "messages", "responses"]
"""The format in which a client asks and is answered: OpenAI's chats and completions, Anthropic's Messages, or OpenAI's
Responses. A request in one of the latter two is a chat to the gate, the policy and the backends."""
FEATURES = frozenset({"tools", "tool_choice", "parallel_tool_calls", "response_format"})
"""What a request may carry that not every plan can serve."""
ModelNeed = Literal["prompt_embeds", "adapters", "logits"]
"""What a plan asks of a model beyond text: prompts as embeddings, LoRA adapters, a transform of the logits."""

DEFAULT_REFUSAL = "I'm sorry, but I can't help with that."
COMPLETION_TOKENS = 16
"""The length of an answer to a /v1/completions request that asks for none: OpenAI's default, and vLLM's."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. A /v1/completions prompt is a single message whose role is 'prompt'."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to decode. None leaves the choice to the backend; `logprobs` is the number of alternatives to report. `extra`
    holds settings that only some servers have (top_k, min_p, ...), by their names in vLLM's API."""

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
    """A validated request. `side_texts` reach the model beside the messages (such as arguments of tools), and the gate
    screens them too; `definitions` are the client's tools, which call no plan by themselves (see docs/tools.md);
    `carries` names the features that not every plan can serve; `raw` is the body as it came. `user`
    is the client's own word for the person who asks, and `caller` is the gateway's: both keep a user with one arm of a
    comparison. The gateway writes neither down. `written` is what the client already has of the one answer: the model
    goes on behind it. In another `dialect` than OpenAI's, `raw` is the same request as a chat and `native` its bytes in
    that dialect, for an upstream that speaks it."""

    id: str
    endpoint: Endpoint
    model: str
    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    stream: bool = False
    include_usage: bool = False
    side_texts: tuple[str, ...] = ()
    definitions: tuple[str, ...] = ()
    carries: frozenset[str] = frozenset()
    raw: bytes = b""
    user: str = ""
    caller: str = ""
    written: str = ""
    dialect: Dialect = "openai"
    native: bytes = b""

    @property
    def surface(self) -> str:
        """What the client asked: the endpoint, or the dialect where it is not OpenAI's. Audit lines and metrics have
        this name."""
        return self.endpoint if self.dialect == "openai" else self.dialect

    @property
    def most_tokens(self) -> int | None:
        """How long an answer may be, in tokens; None: as long as the backend lets it be. A completion is short by
        default."""
        asked = self.sampling.max_tokens
        return COMPLETION_TOKENS if asked is None and self.endpoint == "completions" else asked


@dataclass(frozen=True, slots=True)
class Finding:
    """What one detector says of one text of a request. `message` is None for the whole conversation or a side text;
    `ranges` are (message, start_char, end_char); `weight` in (0, 1] is how sure the detector is that the text is
    inside."""

    scope: str
    detector: str
    score: float
    threshold: float
    matched: bool
    message: int | None
    ranges: tuple[tuple[int, int, int], ...] = ()
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Screening:
    """All that the gate says of one request. `error` is why it could not decide: then `findings` is empty. `windows` is
    how many windows of its texts were read, None where nobody counts."""

    findings: tuple[Finding, ...] = ()
    error: str | None = None
    windows: int | None = field(default=None, compare=False)

    @property
    def matched(self) -> tuple[Finding, ...]:
        """The findings that put the request inside a scope."""
        return tuple(finding for finding in self.findings if finding.matched)

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes that the request is inside, in alphabetical order."""
        return tuple(sorted({finding.scope for finding in self.matched}))

    def without(self, forgotten: Callable[[str], bool]) -> "Screening":
        """The same without the scopes for which `forgotten` is true."""
        left = tuple(finding for finding in self.findings if not forgotten(finding.scope))
        return Screening(left, self.error, self.windows)


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One scope that acts on a request: `artifact` is what its method learned of the scope, `findings` are the findings
    inside the scope (none if the scope acts on every request)."""

    scope: str
    artifact: Any
    findings: tuple[Finding, ...]

    @property
    def weight(self) -> float:
        """The largest weight of the findings (O3, arXiv 2407.10223, section 3.3); 1 without a finding."""
        return max((finding.weight for finding in self.findings), default=1.0)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the gateway does with one request: the decision, and no more.

    `name` stands in audit lines, metrics and headers. `needs` is what a backend must be able to give the model;
    `carries` are the features of a request (`FEATURES`) that the plan leaves in force.
    `fallback` is the refusal that the client gets where the backend cannot carry the plan out.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[ModelNeed]] = frozenset()
    carries: ClassVar[frozenset[str]] = frozenset()
    fallback: str = field(default=DEFAULT_REFUSAL, kw_only=True)

    @property
    def weights(self) -> Mapping[str, float]:
        """The weight of each scope's adapter, for plans that have some."""
        return {}

    def quantised(self, weights: Sequence[float]) -> Self:
        """The plan with each adapter's weight replaced by the nearest that a backend can serve."""
        return self


@dataclass(frozen=True, slots=True)
class Pass(Plan):
    """The backend answers the request as the client sent it."""

    name: ClassVar[str] = "Pass"


@dataclass(frozen=True, slots=True)
class Refuse(Plan):
    """The backend does not ask the model; `text` is the answer."""

    name: ClassVar[str] = "Refuse"
    text: str


@dataclass(frozen=True, slots=True)
class Instruct(Plan):
    """A system instruction in front tells the model not to know the scope (guardrail baseline, arXiv 2403.03329)."""

    name: ClassVar[str] = "Instruct"
    carries: ClassVar[frozenset[str]] = FEATURES
    text: str


@dataclass(frozen=True, slots=True)
class Unavailable(Plan):
    """What a method learned of a scope cannot be read; `why` says it. Every backend answers with the fallback."""

    name: ClassVar[str] = "Unavailable"
    why: str


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One generated token with its alternatives, most likely first."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool, or a fragment of one: the first fragment of call `index` has its `id` and `name`, and each has
    more of its `arguments`, which are JSON."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """More of choice `index`; `finish_reason` ends that choice. `tool_calls` are fragments, in the order of the
    stream; `others` are texts of fields that the gateway does not know."""

    index: int
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()
    finish_reason: str | None = None
    stop_reason: str | int | None = None
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    others: str = ""

    @property
    def call_text(self) -> str:
        """The names and the arguments of the fragments, as a reader of the stream sees them."""
        return "".join(call.name + call.arguments for call in self.tool_calls)


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts; the prompt's is that of the request as the client sent it."""

    prompt_tokens: int
    completion_tokens: int


class Event:
    """One step of an answer on its way from a backend to the client.

    `data` are bytes of the upstream's own answer, which go to the client as they are; None where the gateway encodes
    `parts` itself. `fallback` is the reason why the backend refuses in place of the plan: such an event comes before
    any other and says nothing to the client. Nor does an event with `prompt_tokens`, for dialects that tell them at the
    beginning of an answer.

    Example:
        >>> Event.of(Delta(0, "Hello")).parts[0].text
        'Hello'
    """

    __slots__ = ("_deltas", "_parse", "_parts", "data", "fallback", "prompt_tokens")

    def __init__(
        self,
        *,
        data: bytes | None = None,
        parts: "tuple[Delta | Usage, ...]" = (),
        parse: "Callable[[bytes], Iterable[Delta | Usage]] | None" = None,
        fallback: str = "",
        prompt_tokens: int | None = None,
    ) -> None:
        """
        Args:
            data: bytes to hand on as they are.
            parts: what the event says, where the gateway knows it already.
            parse: reads `data` when somebody asks for `parts`, once. It may keep what a piece leaves unfinished for
                the next piece, so a reader reads every event of an answer, in order, or none.
            fallback: why the backend refuses.
            prompt_tokens: how many tokens the prompt has.
        """
        self.data = data
        self.fallback = fallback
        self.prompt_tokens = prompt_tokens
        self._parts = parts
        self._parse = parse
        self._deltas: tuple[Delta, ...] | None = None

    @classmethod
    def of(cls, *parts: "Delta | Usage") -> "Event":
        """An event that the gateway encodes."""
        return cls(parts=parts)

    @property
    def parts(self) -> "tuple[Delta | Usage, ...]":
        """What this step says: deltas, then the usage at the end. Raises UpstreamError for bytes of no known shape."""
        if self._parse is not None and self.data is not None:
            parse, self._parse = self._parse, None
            try:
                self._parts = tuple(parse(self.data))
            except Exception as error:
                self._parse = _raising(error)  # whoever reads it next: what a piece left unfinished is gone by now
                raise
        return self._parts

    @property
    def deltas(self) -> tuple[Delta, ...]:
        """The parts without the usage."""
        if self._deltas is None:
            self._deltas = tuple([part for part in self.parts if isinstance(part, Delta)])
        return self._deltas

    def __repr__(self) -> str:
        """Without the answer's text, which must not reach a log."""
        return f"Event(data={None if self.data is None else len(self.data)} bytes, fallback={self.fallback!r})"


def _raising(error: Exception) -> "Callable[[bytes], Iterable[Delta | Usage]]":
    def parse(_: bytes) -> "Iterable[Delta | Usage]":
        raise error

    return parse


Tap = Callable[[AsyncGenerator[Event, None]], AsyncGenerator[Event, None]]
"""Stands between a backend and the encoder: takes the events of one answer and gives those that go on."""


class Account(Protocol):
    """Says what the gateway really did with a request. It is known once the first event of the answer is there."""

    @property
    def done(self) -> str:
        """The name of the plan that was carried out."""

    @property
    def fallback(self) -> str:
        """Why the backend did not carry out the decided plan; empty if it did."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the pipeline hands to the encoder. Only the operator may see `screening` and `account`."""

    plan: Plan
    screening: Screening
    events: AsyncGenerator[Event, None]
    account: Account
