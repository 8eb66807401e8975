"""Anthropic's Messages in: an allow-list of fields, and the same request as a chat, as vLLM makes one of it.

Source: Anthropic's API reference, "Messages"; vLLM 0.32, its endpoint /v1/messages.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.core import Request
from gateway.errors import InvalidRequest
from gateway.openai_format.cleaning import UnknownFields, drop_unknown
from gateway.openai_format.forced_calls import forced_by_schema_in_messages
from gateway.openai_format.limits import Limits
from gateway.openai_format.requests import parse_chat
from gateway.openai_format.validation import json_bytes, json_object, validated

__all__ = ["DROPPED", "READ", "REFUSED", "Counted", "Messages", "parse_messages"]

_Json = dict[str, Any]

READ: Final = (
    "model",
    "messages",
    "max_tokens",
    "system",
    "stop_sequences",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "tools",
    "tool_choice",
    "output_config",
)
# How much a model thinks depends on its chat template and on nothing that a client may change here; contexts are not
# edited. The rest is book-keeping.
DROPPED: Final = ("metadata", "thinking", "context_management", "service_tier", "inference_geo")
_ENGINE = "it reaches the engine, and the gateway cannot read it"
REFUSED: Final[dict[str, str]] = {
    **dict.fromkeys(("cache_salt", "kv_transfer_params", "ec_transfer_params", "vllm_xargs"), _ENGINE),
    "chat_template_kwargs": "it changes the prompt after the gateway has read it",
    "watermarking": "the model could not answer every request in this way",
    **dict.fromkeys(("mm_payload", "return_mm_kwargs"), "this gateway serves text only"),
    **dict.fromkeys(("mcp_servers", "container"), "this gateway runs no tools itself"),
}
_BILLING = "x-anthropic-billing-header"  # a block of Claude Code's; vLLM takes it out, too
_THOUGHTS = ("thinking", "redacted_thinking")
_FOR_CACHES = ("cache_control", "citations", "eager_input_streaming", "input_examples", "allowed_callers", "caller")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Text(_Strict):
    type: Literal["text"]
    text: str


class _ToolUse(_Strict):
    type: Literal["tool_use"]
    id: Annotated[str, Field(min_length=1)]
    name: Annotated[str, Field(min_length=1)]
    input: _Json = {}


class _ToolResult(_Strict):
    type: Literal["tool_result"]
    tool_use_id: Annotated[str, Field(min_length=1)]
    content: str | list[_Text] = ""
    is_error: bool = False

    def text(self) -> str:
        """As vLLM joins it."""
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)


_Block = Annotated[_Text | _ToolUse | _ToolResult, Field(discriminator="type")]


class _Turn(_Strict):
    role: Literal["user", "assistant", "system"]
    content: str | list[_Block]


class _Tool(_Strict):
    name: Annotated[str, Field(min_length=1)]
    description: str | None = None
    input_schema: _Json
    type: Literal["custom"] = "custom"
    strict: bool | None = None
    defer_loading: Literal[False] = False


class _ToolChoice(_Strict):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class _Format(_Strict):
    type: Literal["json_schema"]
    schema_: Annotated[_Json, Field(alias="schema")]


class _OutputConfig(_Strict):
    format: _Format | None = None


_Number = Annotated[float, Field(allow_inf_nan=False)]


class Counted(_Strict):
    """The body of a request to count tokens."""

    model: str
    messages: Annotated[list[_Turn], Field(min_length=1)]
    system: str | list[_Text] | None = None
    tools: list[_Tool] | None = None
    tool_choice: _ToolChoice | None = None
    output_config: _OutputConfig | None = None


class Messages(Counted):
    """The body of a request, once the fields that ask for nothing are taken out."""

    max_tokens: Annotated[int, Field(ge=1)]
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    temperature: Annotated[_Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[_Number, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, lt=2**31)] | None = None


def parse_messages(
    body: bytes,
    *,
    request_id: str,
    limits: Limits,
    unknown: UnknownFields = "refuse",
    system_first: bool = False,
    counts: bool = False,
) -> Request:
    """A request in Anthropic's format. Raises InvalidRequest, which names the field, or TooLarge.

    Args:
        body: JSON as the client sent it.
        request_id: the id for audit lines.
        limits: what a request may ask for.
        unknown: what becomes of a field that the gateway does not know.
        system_first: whether the model's chat template takes a system message in front alone; others then go there.
        counts: whether the tokens are to be counted alone.
    """
    content = json_object(body)
    clean = forced_by_schema_in_messages(_cleaned(content, unknown))
    read = validated(Counted if counts else Messages, clean)
    _check_blocks(read)
    native = body if clean == content else json_bytes(clean)
    chat = _chat(read, system_first=system_first)
    if isinstance(read, Messages):
        chat |= _sampling(read)
    request = parse_chat(json_bytes(chat), request_id=request_id, limits=limits)
    return replace(request, dialect="messages", native=native, user=_user(content))


def _user(content: _Json) -> str:
    """Who asks, in the client's own words."""
    metadata = content.get("metadata")
    found = metadata.get("user_id") if isinstance(metadata, dict) else None
    return found if isinstance(found, str) else ""


# What carries nothing is taken out first, so that the gate and an upstream read the same.


def _cleaned(content: _Json, unknown: UnknownFields) -> _Json:
    kept = {name: value for name, value in content.items() if _carries(name, value, unknown)}
    if isinstance(kept.get("output_config"), dict):
        kept["output_config"] = {k: v for k, v in kept["output_config"].items() if k != "effort" and v is not None}
        if not kept["output_config"]:
            del kept["output_config"]
    if isinstance(kept.get("system"), list):
        blocks = [_block(one) for one in kept["system"]]
        kept["system"] = [one for one in blocks if not _bills(one)]
    if isinstance(kept.get("messages"), list):
        kept["messages"] = [_turn(one) for one in kept["messages"]]
    if isinstance(kept.get("tools"), list):
        kept["tools"] = [_block(one) for one in kept["tools"]]
    if "tools" not in kept and _kind(kept.get("tool_choice")) in ("auto", "none"):
        del kept["tool_choice"]
    return kept


def _carries(name: str, value: Any, unknown: UnknownFields) -> bool:
    if value is None or name in DROPPED or (value == [] and name in ("tools", "stop_sequences", "mcp_servers")):
        return False
    if name in READ:
        return True
    drop_unknown(name, REFUSED.get(name), unknown)
    return False


def _turn(turn: Any) -> Any:
    if not (isinstance(turn, dict) and isinstance(turn.get("content"), list)):
        return turn
    blocks = [_block(one) for one in turn["content"] if _kind(one) not in _THOUGHTS]
    if turn.get("role") == "system":
        return {**turn, "content": [one for one in blocks if not _bills(one)]}
    return {**turn, "content": _joined(blocks)}


def _block(block: Any) -> Any:
    """Without the fields that are for caches, and null ones."""
    if not isinstance(block, dict):
        return block
    kept = {name: value for name, value in block.items() if name not in _FOR_CACHES and value is not None}
    if _kind(kept) == "tool_result" and isinstance(kept.get("content"), list):
        kept["content"] = [_block(one) for one in kept["content"]]
    return kept


def _joined(blocks: list[Any]) -> list[Any]:
    """Several blocks of text as the one text that vLLM makes of them for most chat templates: a template that joins
    them without a space could make a name out of two halves."""
    texts = [one["text"] for one in blocks if _kind(one) == "text" and isinstance(one.get("text"), str)]
    if len(texts) < 2:
        return blocks
    first = next(place for place, one in enumerate(blocks) if _kind(one) == "text")
    others = [(place, one) for place, one in enumerate(blocks) if _kind(one) != "text"]
    one = {"type": "text", "text": "\n".join(text for text in texts if text)}
    return [block for _, block in sorted([*others, (first, one)], key=lambda pair: pair[0])]


def _kind(block: Any) -> str:
    kind = block.get("type") if isinstance(block, dict) else None
    return kind if isinstance(kind, str) else ""


def _bills(block: Any) -> bool:
    return _kind(block) == "text" and str(block.get("text", "")).startswith(_BILLING)


def _check_blocks(read: Counted) -> None:
    """Raises InvalidRequest for a block in a turn that cannot hold it."""
    homes = {"tool_use": "assistant", "tool_result": "user"}
    for number, turn in enumerate(read.messages):
        for place, block in enumerate(turn.content if isinstance(turn.content, list) else ()):
            if homes.get(block.type, turn.role) != turn.role:
                raise InvalidRequest(
                    f"a block of type {block.type} belongs to the {homes[block.type]}",
                    param=f"messages[{number}].content[{place}]",
                )


# The same request as a chat.


def _chat(read: Counted, *, system_first: bool) -> _Json:
    leading = [_system_text(read.system)]
    turns: list[_Json] = []
    for turn in read.messages:
        if turn.role == "system":
            said = _system_text(turn.content)  # type: ignore[arg-type]  # _check_blocks leaves text alone
            if system_first:
                leading.append(said)
            elif said:
                turns.append({"role": "system", "content": said})
        else:
            turns += _turns(turn)
    system = "".join(leading)
    chat: _Json = {"model": read.model, "messages": ([{"role": "system", "content": system}] if system else []) + turns}
    if read.tools:
        chat["tools"] = [_tool(one) for one in read.tools]
        chat["tool_choice"] = "auto"
    if read.tool_choice:
        chat |= _choice(read.tool_choice)
    if read.output_config and read.output_config.format:
        schema = {"name": "json_schema", "schema": read.output_config.format.schema_}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    return chat


def _system_text(system: "str | Iterable[_Text] | None") -> str:
    """vLLM joins the blocks without a space."""
    if system is None or isinstance(system, str):
        return system or ""
    return "".join(block.text for block in system)


def _turns(turn: _Turn) -> list[_Json]:
    """Results of tools come before the text of their turn."""
    if isinstance(turn.content, str):
        return [{"role": turn.role, "content": turn.content}]
    results = [
        {"role": "tool", "tool_call_id": block.tool_use_id, "content": block.text()}
        for block in turn.content
        if isinstance(block, _ToolResult)
    ]
    calls = [
        {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": json.dumps(block.input)}}
        for block in turn.content
        if isinstance(block, _ToolUse)
    ]
    text = "\n".join(block.text for block in turn.content if isinstance(block, _Text) and block.text)
    own: _Json = {"role": turn.role, **({"content": text} if text else {}), **({"tool_calls": calls} if calls else {})}
    return [*results, *([own] if text or calls or turn.role == "assistant" else [])]


def _tool(tool: _Tool) -> _Json:
    function: _Json = {"name": tool.name, "parameters": {"type": "object", **tool.input_schema}}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _choice(choice: _ToolChoice) -> _Json:
    named = {"type": "function", "function": {"name": choice.name or ""}}
    as_chat: dict[str, Any] = {"auto": "auto", "any": "required", "none": "none", "tool": named}
    return {
        "tool_choice": as_chat[choice.type],
        **({"parallel_tool_calls": False} if choice.disable_parallel_tool_use else {}),
    }


def _sampling(read: Messages) -> _Json:
    fields: _Json = {
        "max_tokens": read.max_tokens,
        "stop": read.stop_sequences,
        "temperature": read.temperature,
        "top_p": read.top_p,
        "top_k": read.top_k,
        "stream": read.stream or None,
        "stream_options": {"include_usage": True} if read.stream else None,
    }
    return {name: value for name, value in fields.items() if value is not None}
