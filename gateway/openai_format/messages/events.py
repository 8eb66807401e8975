"""Anthropic's Messages as an upstream writes them, whole or event by event: read, and written anew with another text.

Source: Anthropic's API reference, "Streaming messages".
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gateway.core import Delta, ToolCall, Usage

__all__ = ["LAST_EVENT", "finish_of", "is_message", "message_parts", "stop_of", "with_text"]

_Json = dict[str, Any]
LAST_EVENT = b'"message_stop"'
"""Stands in the last event of a stream."""
_SILENT = ("message_start", "message_stop", "ping")


def is_message(payload: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a message, or an event of one, and no answer in OpenAI's format."""
    return "choices" not in payload and isinstance(payload.get("type"), str)


def message_parts(payload: _Json) -> Iterator[Delta | Usage]:
    """What a message or an event says. An event that only opens or closes a block is an empty delta: it keeps its place
    among those with text. Raises KeyError, TypeError or ValueError for what is of no known shape."""
    kind = payload["type"]
    if kind == "message":
        yield _whole(payload)
        yield _usage(payload["usage"])
    elif kind == "content_block_start":
        yield _opened(payload["index"], payload["content_block"])
    elif kind == "content_block_delta":
        yield _more(payload["index"], payload["delta"])
    elif kind == "content_block_stop":
        yield Delta(0, "")
    elif kind == "message_delta":
        reason, stop = payload["delta"]["stop_reason"], payload["delta"].get("stop_sequence")
        yield Delta(0, "", finish_reason=finish_of(reason), stop_reason=stop)
        yield _usage(payload["usage"])
    elif kind not in _SILENT:
        raise ValueError("an event of an unknown kind")


def with_text(payload: _Json, text: str) -> _Json:
    """An event with a delta of text, with another text."""
    return {**payload, "delta": {**payload["delta"], "text": text}}


def finish_of(stop_reason: str | None) -> str:
    """OpenAI's word for why an answer ended."""
    return {"max_tokens": "length", "tool_use": "tool_calls"}.get(stop_reason or "", "stop")


def stop_of(delta: Delta, *, called_tools: bool) -> tuple[str, str | None]:
    """Anthropic's words for why an answer ended: `stop_reason` and `stop_sequence`, as vLLM finds them."""
    if delta.finish_reason == "length":
        return "max_tokens", None
    if called_tools:
        return "tool_use", None
    if isinstance(delta.stop_reason, str):
        return "stop_sequence", delta.stop_reason
    return "end_turn", None


def _whole(message: _Json) -> Delta:
    blocks = message["content"]
    calls = [_call(place, block) for place, block in enumerate(blocks) if block["type"] == "tool_use"]
    return Delta(
        0,
        "".join(block["text"] for block in blocks if block["type"] == "text"),
        finish_reason=finish_of(message.get("stop_reason")),
        stop_reason=message.get("stop_sequence"),
        reasoning="".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
        tool_calls=tuple(calls),
    )


def _opened(index: int, block: _Json) -> Delta:
    if block["type"] == "tool_use":
        return Delta(0, "", tool_calls=(ToolCall(index, block["id"], block["name"], _arguments(block.get("input"))),))
    if block["type"] == "text":
        return Delta(0, block["text"])
    if block["type"] == "thinking":
        return Delta(0, "", reasoning=block["thinking"])
    raise ValueError("a block of an unknown kind")


def _more(index: int, delta: _Json) -> Delta:
    if delta["type"] == "text_delta":
        return Delta(0, delta["text"])
    if delta["type"] == "thinking_delta":
        return Delta(0, "", reasoning=delta["thinking"])
    if delta["type"] == "input_json_delta":
        return Delta(0, "", tool_calls=(ToolCall(index, arguments=delta["partial_json"]),))
    if delta["type"] == "signature_delta":
        return Delta(0, "")
    raise ValueError("a delta of an unknown kind")


def _call(index: int, block: _Json) -> ToolCall:
    return ToolCall(index, block["id"], block["name"], _arguments(block["input"]))


def _arguments(given: Any) -> str:
    """Empty where they are still to come."""
    return orjson.dumps(given).decode() if given else ""


def _usage(usage: _Json) -> Usage:
    asked = sum(
        int(usage.get(name) or 0) for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )
    return Usage(asked, int(usage["output_tokens"]))
