"""The look of one backend's messages: templates for those that the gateway encodes itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["MESSAGE_SHAPE", "MessageShape", "message_shape_of"]

_Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class MessageShape:
    """Keys in order, with the values that never change: of a whole message, of the message at a stream's start, and of
    the event that tells why it ended."""

    answer: _Json
    start: _Json
    closing: _Json


_USAGE: _Json = {
    "input_tokens": 0,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 0,
}
_MESSAGE: _Json = {
    "id": "msg_",
    "type": "message",
    "role": "assistant",
    "content": [],
    "model": "",
    "stop_reason": None,
    "stop_sequence": None,
    "usage": _USAGE,
}
MESSAGE_SHAPE = MessageShape(
    answer=_MESSAGE,
    start=_MESSAGE,
    closing={"type": "message_delta", "delta": {"stop_reason": None, "stop_sequence": None}, "usage": _USAGE},
)
"""Anthropic's own."""


def message_shape_of(whole: _Json, events: Sequence[_Json]) -> MessageShape:
    """From a whole message and from the events of a streamed one. Raises KeyError or StopIteration."""
    first = next(event for event in events if event["type"] == "message_start")
    closing = next(event for event in events if event["type"] == "message_delta")
    for usage in (whole["usage"], first["message"]["usage"], closing["usage"]):
        usage["input_tokens"], usage["output_tokens"]  # they must be there
    return MessageShape(whole, first["message"], closing)
