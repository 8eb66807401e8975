"""JSON in: an allow-list of fields. Any other field is refused, because it could carry a prompt past the gate."""

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field

from gateway.core import Endpoint, Message, Request, Sampling
from gateway.errors import InvalidRequest, TooLarge
from gateway.openai_format.cleaning import UnknownFields, cleaned
from gateway.openai_format.fields import SAMPLING
from gateway.openai_format.forced_calls import forced_by_schema
from gateway.openai_format.limits import Limits
from gateway.openai_format.validation import ID_PATTERN, json_bytes, json_object, validated
from gateway.prompts.rendering import Tokenizer, decode_tokens

__all__ = ["BODIES", "parse_chat", "parse_completion"]

_Json = dict[str, Any]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _TextPart(_Strict):
    type: Literal["text"]
    text: str


class _Function(_Strict):
    name: str
    arguments: str = ""


class _ToolCall(_Strict):
    id: str
    type: Literal["function"] = "function"
    function: _Function
    index: int | None = None


class _Message(_Strict):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_TextPart] | None = None
    name: str | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None

    def text(self) -> str:
        """The content as templates see it: parts are joined by line breaks, as vLLM does."""
        if self.content is None:
            return ""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if part.text)


class _StreamOptions(_Strict):
    include_usage: bool = False


_Number = Annotated[float, Field(allow_inf_nan=False)]
_Token = Annotated[int, Field(ge=0, lt=2**63)]
_Bias = Annotated[_Number, Field(ge=-100, le=100)]
_Flag = bool | None


class _Extras(_Strict):
    """Ways to choose tokens that OpenAI does not have and vLLM does; only their types are checked here."""

    top_k: Annotated[int, Field(ge=-1, lt=2**31)] | None = None
    min_p: Annotated[_Number, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[_Number, Field(gt=0, le=2)] | None = None
    length_penalty: _Number | None = None
    logit_bias: dict[Annotated[str, Field(pattern=ID_PATTERN)], _Bias] | None = None
    allowed_token_ids: list[_Token] | None = None
    bad_words: list[str] | None = None
    stop_token_ids: list[_Token] | None = None
    include_stop_str_in_output: _Flag = None
    ignore_eos: _Flag = None
    min_tokens: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    skip_special_tokens: _Flag = None
    spaces_between_special_tokens: _Flag = None
    priority: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stream_interval: Annotated[int, Field(ge=1, lt=2**31)] | None = None

    def extra(self) -> tuple[tuple[str, Any], ...]:
        """Those that were sent, in the order of the table of fields."""
        return tuple((name, value) for name in SAMPLING if (value := getattr(self, name)) is not None)


class _Common(_Extras):
    model: str
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    stop: str | list[str] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    temperature: Annotated[_Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[_Number, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    frequency_penalty: Annotated[_Number, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[_Number, Field(ge=-2, le=2)] | None = None
    user: str | None = None

    def stops(self) -> tuple[str, ...]:
        """Stop strings; empty ones stop nothing."""
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(stop for stop in stops if stop)


class _Chat(_Common):
    messages: Annotated[list[_Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: list[_Json] | None = None
    tool_choice: str | _Json | None = None
    parallel_tool_calls: bool | None = None
    response_format: _Json | None = None


class _Completion(_Common):
    prompt: str | list[str] | list[int] | list[list[int]]
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None


_Body = TypeVar("_Body", _Chat, _Completion)
BODIES: Final[dict[Endpoint, type[BaseModel]]] = {"chat": _Chat, "completions": _Completion}
"""What a body is validated with, once the fields that ask for nothing are taken out."""


def parse_chat(body: bytes, *, request_id: str, limits: Limits, unknown: UnknownFields = "refuse") -> Request:
    """A chat request. Raises InvalidRequest, which names the field, or TooLarge, which names the limit.

    Args:
        body: JSON as the client sent it.
        request_id: the id for audit lines and the answer.
        limits: what a request may ask for.
        unknown: what becomes of a field that the gateway does not know. If a field is dropped, the request's `raw` is
            the body without it, so that the gate and an upstream read the same.
    """
    chat, raw = _read(_Chat, body, "chat", unknown)
    if len(chat.messages) > limits.messages:
        raise TooLarge(f"{len(chat.messages)} messages; the limit is {limits.messages}", param="messages")
    if chat.top_logprobs is not None and not chat.logprobs:
        raise InvalidRequest("top_logprobs needs logprobs to be true", param="top_logprobs")
    messages = tuple(Message(message.role, message.text()) for message in chat.messages)
    carries = {
        field
        for field in ("tools", "tool_choice", "parallel_tool_calls", "response_format")
        if getattr(chat, field) is not None
    }
    if any(message.tool_calls or message.tool_call_id for message in chat.messages):
        carries.add("tools")  # turns that plain rendering cannot express
    side, definitions = _side_texts(chat), tuple(_strings(chat.tools))
    if chat.tool_choice not in (None, "auto", "none"):  # the model must fill in what they ask for
        side, definitions = (*side, *definitions), ()
    _check_chars([*(message.text for message in messages), *side, *definitions, *(chat.bad_words or ())], limits)
    return Request(
        id=request_id,
        endpoint="chat",
        model=chat.model,
        messages=messages,
        sampling=_sampling(chat, chat.max_completion_tokens or chat.max_tokens, _alternatives(chat), limits),
        stream=bool(chat.stream),
        include_usage=_include_usage(chat),
        side_texts=side,
        definitions=definitions,
        carries=frozenset(carries),
        raw=raw,
        user=chat.user or "",
    )


def parse_completion(
    body: bytes,
    *,
    request_id: str,
    limits: Limits,
    tokenizer: Tokenizer,
    vocabulary: int,
    unknown: UnknownFields = "refuse",
) -> Request:
    """A text completion, as parse_chat. A token-id prompt is read back into text.

    Args:
        body: the request's bytes.
        request_id: the gateway's own name for it.
        limits: what one request may ask for.
        tokenizer: reads token ids back into text.
        vocabulary: how many token ids the model has.
        unknown: what becomes of a field that the gateway does not know.
    """
    completion, raw = _read(_Completion, body, "completions", unknown)
    text = _prompt_text(completion.prompt, tokenizer, vocabulary)
    _check_chars([text, *(completion.bad_words or ())], limits)
    return Request(
        id=request_id,
        endpoint="completions",
        model=completion.model,
        messages=(Message("prompt", text),),
        sampling=_sampling(completion, completion.max_tokens, completion.logprobs, limits),
        stream=bool(completion.stream),
        include_usage=_include_usage(completion),
        raw=raw,
        user=completion.user or "",
    )


def _read(kind: type[_Body], body: bytes, endpoint: Endpoint, unknown: UnknownFields) -> tuple[_Body, bytes]:
    """The validated body, and its bytes: as they came, unless fields were dropped or a call is forced."""
    content = json_object(body)
    clean = cleaned(content, endpoint, unknown)
    if endpoint == "chat":
        clean = forced_by_schema(clean)
    raw = body if clean is content else json_bytes(clean)
    read = validated(kind, clean)
    if read.stream_options is not None and not read.stream:  # vLLM's words
        raise InvalidRequest("Stream options can only be defined when `stream=True`.", param="stream_options")
    return read, raw


def _prompt_text(prompt: str | list[Any], tokenizer: Tokenizer, vocabulary: int) -> str:
    if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int):
        if len(prompt) > 1:
            raise InvalidRequest("several prompts in one request are not supported; send one each", param="prompt")
        prompt = cast("str | list[Any]", prompt[0])
    text = prompt if isinstance(prompt, str) else decode_tokens(tokenizer, prompt, vocabulary)
    if not text:
        raise InvalidRequest("the prompt is empty", param="prompt")
    return text


def _side_texts(chat: _Chat) -> tuple[str, ...]:
    """Every text that reaches the model beside the contents of the messages and the definitions of tools."""
    found: list[str] = []
    for message in chat.messages:
        found += [text for text in (message.name, message.tool_call_id) if text]
        found += [f"{call.function.name} {call.function.arguments}" for call in message.tool_calls or ()]
    for value in (chat.tool_choice, chat.response_format):
        found += _strings(value)
    return tuple(found)


def _strings(value: Any) -> Iterable[str]:
    """All the strings inside a JSON value, keys included, as one text each top-level value."""
    if value is None:
        return []
    if isinstance(value, list):
        return [text for item in value for text in _strings(item)]
    return [" ".join(_leaves(value))]


def _leaves(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)


def _check_chars(texts: Iterable[str], limits: Limits) -> None:
    chars = sum(len(text) for text in texts)
    if chars > limits.prompt_chars:
        raise TooLarge(f"the prompt has {chars} characters; the limit is {limits.prompt_chars}", param="messages")


def _sampling(common: _Common, max_tokens: int | None, alternatives: int | None, limits: Limits) -> Sampling:
    if (common.n or 1) > limits.choices:
        raise TooLarge(f"n is {common.n}; the limit is {limits.choices}", param="n")
    if (max_tokens or 0) > limits.output_tokens:
        raise TooLarge(f"max_tokens is {max_tokens}; the limit is {limits.output_tokens}", param="max_tokens")
    if alternatives is not None and not limits.logprobs:
        raise InvalidRequest("this server gives no logprobs", param="logprobs", code="unsupported_parameter")
    return Sampling(
        max_tokens=max_tokens,
        temperature=common.temperature,
        top_p=common.top_p,
        n=common.n or 1,
        stop=common.stops(),
        seed=common.seed,
        logprobs=alternatives,
        frequency_penalty=common.frequency_penalty,
        presence_penalty=common.presence_penalty,
        extra=common.extra(),
    )


def _alternatives(chat: _Chat) -> int | None:
    return (chat.top_logprobs or 0) if chat.logprobs else None


def _include_usage(common: _Common) -> bool:
    return bool(common.stream and common.stream_options and common.stream_options.include_usage)
