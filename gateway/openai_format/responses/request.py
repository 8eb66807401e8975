"""OpenAI's Responses in: an allow-list of fields, and the same request as a chat.

Source: OpenAI's API reference, "Responses". The turns are those that vLLM 0.32 makes of a response's items.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from gateway.core import Request
from gateway.errors import InvalidRequest
from gateway.openai_format.cleaning import UnknownFields, drop_unknown
from gateway.openai_format.fields import SAMPLING
from gateway.openai_format.limits import Limits
from gateway.openai_format.requests import parse_chat
from gateway.openai_format.responses.custom_tools import arguments_of
from gateway.openai_format.responses.namespaces import flat_name, flat_tools
from gateway.openai_format.responses.tools import AnyTool, NamedTool, taken_tools, without_null
from gateway.openai_format.validation import json_bytes, json_object, validated

__all__ = ["DROPPED", "READ", "REFUSED", "History", "Response", "parse_response"]

_Json = dict[str, Any]

_TAKEN: Final = ("stop", "seed", "frequency_penalty", "presence_penalty", *SAMPLING)  # of a chat, as vLLM takes them
_ECHOED: Final = ("frequency_penalty", "presence_penalty")  # of these an answer says what was asked for
READ: Final = (
    "model",
    "input",
    "instructions",
    "previous_response_id",
    "store",
    "max_output_tokens",
    "stream",
    "temperature",
    "top_p",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "text",
    "include",
    "top_logprobs",
    "metadata",
    "user",
)
# How much a model thinks depends on its chat template and on nothing that a client may change here. A prompt is never
# truncated. The rest is book-keeping, or about tools that no gateway runs.
DROPPED: Final = (
    "reasoning",
    "truncation",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "stream_options",
    "max_tool_calls",
    "client_metadata",
    "request_id",
    "session_id",
)
_ENGINE = "it reaches the engine, and the gateway cannot read it"
REFUSED: Final[dict[str, str]] = {
    "background": "an answer ends when its connection does",
    "conversation": "send previous_response_id, or the earlier items",
    "prompt": "no prompts are kept here; send input and instructions",
    "context_management": "no contexts are edited here",
    "chat_template_kwargs": "it changes the prompt after the gateway has read it",
    "structured_outputs": "send the schema as text.format, which the gateway screens",
    "enable_response_messages": "the answer would show the prompt as the model read it",
    "previous_input_messages": "send the earlier turns as items of input",
    **dict.fromkeys(("cache_salt", "kv_transfer_params", "ec_transfer_params", "vllm_xargs"), _ENGINE),
    **dict.fromkeys(("mm_processor_kwargs", "media_io_kwargs", "mm_payload"), _ENGINE),
    **dict.fromkeys(("include_reasoning", "watermarking"), "the model could not answer every request in this way"),
}
_IDLE: Final[dict[str, tuple[Any, ...]]] = {
    "background": (False,),
    "include_reasoning": (True,),
    "enable_response_messages": (False,),
    "tools": ([],),
    "include": ([],),
    "instructions": ("",),
    "text": ({},),
}
_TEXTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
_LOGPROBS = "message.output_text.logprobs"


class History(Protocol):
    """What earlier responses to the same client were."""

    def items(self, response_id: str) -> Sequence[_Json] | None:
        """All items up to the end of a response, in their order; None if it is not kept."""

    def item(self, item_id: str) -> _Json | None:
        """One item of an output; None if it is not kept."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Message(_Strict):
    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: str


class _Call(_Strict):
    type: Literal["function_call"]
    call_id: Annotated[str, Field(min_length=1)]
    name: Annotated[str, Field(min_length=1)]
    namespace: str | None = None
    arguments: str


class _CallOutput(_Strict):
    type: Literal["function_call_output"]
    call_id: Annotated[str, Field(min_length=1)]
    output: str


class _CustomCall(_Strict):
    type: Literal["custom_tool_call"]
    call_id: Annotated[str, Field(min_length=1)]
    name: Annotated[str, Field(min_length=1)]
    input: str


class _CustomOutput(_Strict):
    type: Literal["custom_tool_call_output"]
    call_id: Annotated[str, Field(min_length=1)]
    output: str


_AnyCall = _Call | _CustomCall
_AnyOutput = _CallOutput | _CustomOutput
_Item = Annotated[_Message | _AnyCall | _AnyOutput, Field(discriminator="type")]


class _Format(_Strict):
    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema_: Annotated[_Json | None, Field(alias="schema")] = None
    strict: bool | None = None


class _Text(_Strict):
    format: _Format | None = None


_Number = Annotated[float, Field(allow_inf_nan=False)]


class Response(_Strict):
    """What the gateway reads of a body; the fields of a chat are checked as such."""

    model: str
    input: Annotated[list[_Item], Field(min_length=1)]
    instructions: str | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    stream: bool | None = None
    temperature: Annotated[_Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[_Number, Field(gt=0, le=1)] | None = None
    tools: list[AnyTool] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    text: _Text | None = None
    include: list[str] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None


def parse_response(
    body: bytes, *, request_id: str, limits: Limits, history: History, unknown: UnknownFields = "refuse"
) -> Request:
    """A request in the format of OpenAI's Responses. Its `native` is what the answer says of the body, with the
    items of earlier responses in front of its own. Raises InvalidRequest, which names the field, or TooLarge.

    Args:
        body: JSON as the client sent it.
        request_id: the id for audit lines.
        limits: what a request may ask for.
        history: finds the response that this one follows.
        unknown: what becomes of a field, or of a kind of tool, that the gateway does not know.
    """
    content = _cleaned(json_object(body), unknown)
    taken = {name: content.pop(name) for name in _TAKEN if name in content}
    earlier = _earlier(content.get("previous_response_id"), history)
    content["input"] = [*earlier, *_items(content.get("input"), history)]
    read = validated(Response, content)
    chat: _Json = _chat(read) | taken
    request = parse_chat(json_bytes(chat), request_id=request_id, limits=limits, unknown=unknown)
    echoed = {name: taken[name] for name in _ECHOED if taken.get(name) is not None}
    return replace(request, dialect="responses", native=json_bytes(content | echoed))


def _cleaned(content: _Json, unknown: UnknownFields) -> _Json:
    kept = {name: value for name, value in content.items() if _carries(name, value, unknown)}
    text = kept.get("text")
    if isinstance(text, dict):
        kept["text"] = without_null({**text, "verbosity": None})
    if isinstance(kept.get("tools"), list):
        kept["tools"] = taken_tools(kept["tools"], unknown)
    if not kept.get("tools"):
        kept.pop("tools", None)
        if kept.get("tool_choice") in ("auto", "none"):
            del kept["tool_choice"]
    return kept


def _carries(name: str, value: Any, unknown: UnknownFields) -> bool:
    if value is None or name in DROPPED or any(type(value) is type(no) and value == no for no in _IDLE.get(name, ())):
        return False
    if name in READ or name in _TAKEN:
        return True
    drop_unknown(name, REFUSED.get(name), unknown)
    return False


def _earlier(previous: Any, history: History) -> list[Any]:
    if previous is None:
        return []
    found = history.items(previous) if isinstance(previous, str) else None
    if found is None:
        raise InvalidRequest(
            f"the response {str(previous)[:80]!r} is not kept here (any more); send the earlier items as input",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    return _items(list(found), history)


# Items, each with no more than the model reads of it.


def _items(given: Any, history: History) -> list[Any]:
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    if not isinstance(given, list):
        raise InvalidRequest("input: must be text or a list of items", param="input")
    found = [_item(one, f"input[{place}]", history) for place, one in enumerate(given)]
    return [one for one in found if one is not None]


def _item(item: Any, place: str, history: History) -> Any:
    """None for one that the model does not read: it does not get its earlier thoughts back."""
    if not isinstance(item, dict):
        raise InvalidRequest(f"{place}: must be an object", param=place)
    kind = item.get("type") or ("message" if "role" in item else None)
    if kind == "item_reference":
        kept = history.item(str(item.get("id")))
        if kept is None:
            raise InvalidRequest(f"{place}: this item is not kept here; send the item itself", param=place)
        return _item(kept, place, history)
    if kind == "reasoning":
        return None
    if kind == "message":
        return {"type": kind, "role": item.get("role"), "content": _text(item.get("content"), f"{place}.content")}
    if kind == "function_call":
        call = {name: item.get(name) for name in ("call_id", "name", "arguments")}
        return {"type": kind, **call, **({"namespace": item["namespace"]} if item.get("namespace") else {})}
    if kind == "custom_tool_call":
        return {"type": kind, **{name: item.get(name) for name in ("call_id", "name", "input")}}
    if kind in ("function_call_output", "custom_tool_call_output"):
        return {"type": kind, "call_id": item.get("call_id"), "output": _text(item.get("output"), f"{place}.output")}
    raise InvalidRequest(f"{place}: items of this type are not supported by this gateway", param=f"{place}.type")


def _text(content: Any, place: str) -> Any:
    """The parts of a content are joined by line breaks, as vLLM does for most chat templates."""
    if not isinstance(content, list):
        return content
    texts = []
    for number, part in enumerate(content):
        where = _TEXTS.get(str(part.get("type"))) if isinstance(part, dict) else None
        if where is None or not isinstance(part.get(where), str):
            raise InvalidRequest(
                "only text content can be screened; leave out images, audio and files", param=f"{place}[{number}]"
            )
        texts.append(part[where])
    return "\n".join(text for text in texts if text)


# The same request as a chat.


def _chat(read: Response) -> _Json:
    turns: list[_Json] = [{"role": "system", "content": read.instructions}] if read.instructions else []
    for item in read.input:
        _add_turn(turns, item)
    chat: _Json = {"model": read.model, "messages": turns}
    if read.tools:
        chat["tools"] = [_tool(one) for one in flat_tools(tool.model_dump(exclude_none=True) for tool in read.tools)]
        chat["tool_choice"] = "auto"
    if read.tool_choice is not None:
        named = read.tool_choice
        chat["tool_choice"] = (
            named if isinstance(named, str) else {"type": "function", "function": {"name": named.name}}
        )
    if read.text and read.text.format and read.text.format.type != "text":
        chat["response_format"] = _response_format(read.text.format)
    if _LOGPROBS in (read.include or ()):
        chat |= {"logprobs": True, "top_logprobs": read.top_logprobs or 0}
    return chat | _settings(read)


def _settings(read: Response) -> _Json:
    fields: _Json = {
        "parallel_tool_calls": read.parallel_tool_calls if read.tools else None,
        "max_tokens": read.max_output_tokens,
        "temperature": read.temperature,
        "top_p": read.top_p,
        "user": read.user,
        "stream": read.stream or None,
        "stream_options": {"include_usage": True} if read.stream else None,
    }
    given: _Json = without_null(fields)
    return given


def _add_turn(turns: list[_Json], item: "_Message | _AnyCall | _AnyOutput") -> None:
    """A call belongs to the assistant's turn before it."""
    if isinstance(item, _Message):
        turns.append({"role": item.role, "content": item.content})
    elif isinstance(item, _AnyOutput):
        turns.append({"role": "tool", "tool_call_id": item.call_id, "content": item.output})
    else:
        if not turns or turns[-1]["role"] != "assistant":
            turns.append({"role": "assistant"})
        call = {"id": item.call_id, "type": "function", "function": _called(item)}
        turns[-1].setdefault("tool_calls", []).append(call)


def _called(call: _AnyCall) -> _Json:
    if isinstance(call, _CustomCall):
        return {"name": call.name, "arguments": arguments_of(call.input)}
    return {"name": flat_name(call.name, call.namespace), "arguments": call.arguments}


def _tool(tool: _Json) -> _Json:
    return {"type": "function", "function": {name: value for name, value in tool.items() if name != "type"}}


def _response_format(format_: _Format) -> _Json:
    if format_.type == "json_object":
        return {"type": "json_object"}
    schema = format_.model_dump(include={"name", "description", "strict"}, exclude_none=True)
    return {"type": "json_schema", "json_schema": {"name": "response", **schema, "schema": format_.schema_ or {}}}
