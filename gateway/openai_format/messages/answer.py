"""Messages out: Anthropic's JSON and server-sent events, in the shape that the backend's own messages have."""

import uuid
from collections.abc import AsyncIterable, Iterator
from typing import Any

import orjson

from gateway.core import Delta, Event, Request, ToolCall, Usage
from gateway.errors import AnswerError
from gateway.openai_format.encoding import joined_calls
from gateway.openai_format.messages.events import LAST_EVENT, stop_of
from gateway.openai_format.messages.shape import MessageShape

__all__ = ["MessageEncoder", "counted", "message_error"]

_Json = dict[str, Any]
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class MessageEncoder:
    """Encodes one answer. Where it goes on behind an upstream's own events, it reads from those where they stopped."""

    def __init__(self, request: Request, shape: MessageShape) -> None:
        self._model = request.model
        self._shape = shape
        self._own: list[bytes] = []
        self._opened = self._closed = False
        self._block: tuple[int, str] | None = None  # the number and the kind of the block that is open
        self._next = 0
        self._usage = Usage(0, 0)
        self._finish: Delta | None = None
        self._called = False

    def encode(self, event: Event) -> bytes:
        """The server-sent events for one step of a stream. An upstream's own bytes stay as they are."""
        if event.data is not None:
            self._own.append(event.data)
            return event.data
        if event.prompt_tokens is not None:
            self._usage = Usage(event.prompt_tokens, 0)
        payloads: list[_Json] = []
        for part in event.parts:
            if isinstance(part, Usage):
                self._usage = part
            elif part.index == 0:
                payloads += self._said(part)
        return b"".join(map(_sse, payloads))

    def ending(self) -> bytes:
        """The end of the stream, unless an upstream's own bytes end it."""
        if self._own and LAST_EVENT in b"".join(self._own[-2:]):
            return b""
        self._read_own()
        if self._closed or not self._opened:
            return b""
        reason, stop = stop_of(self._finish or Delta(0, ""), called_tools=self._called)
        closing = self._shape.closing
        delta = {**closing["delta"], "stop_reason": reason, "stop_sequence": stop}
        usage = _filled(closing["usage"], self._usage)
        last = {**closing, "delta": delta, "usage": usage}
        return b"".join(map(_sse, [*self._stopped(), last, {"type": "message_stop"}]))

    def failed(self, error: AnswerError) -> bytes:
        """The end of a stream that breaks off."""
        return _sse(message_error(error))

    async def collect(self, events: AsyncIterable[Event], first: Event | None = None) -> bytes:
        """The whole answer as one JSON body. `first` is the event before the others, if it is read already."""
        every = [first] if first is not None else []
        every += [event async for event in events]
        own = [event.data for event in every if event.data is not None]
        if own:
            return b"".join(own)
        parts = [part for event in every for part in event.parts]
        usage = next((part for part in reversed(parts) if isinstance(part, Usage)), Usage(0, 0))
        return orjson.dumps(self._whole([part for part in parts if isinstance(part, Delta)], usage))

    def _whole(self, deltas: list[Delta], usage: Usage) -> _Json:
        calls = joined_calls(call for delta in deltas for call in delta.tool_calls)
        thought = "".join(delta.reasoning for delta in deltas)
        text = "".join(delta.text for delta in deltas)
        blocks: list[_Json] = []
        if thought:
            blocks.append({"type": "thinking", "thinking": thought, "signature": uuid.uuid4().hex})
        if text or not (thought or calls):
            blocks.append({"type": "text", "text": text})
        blocks += [{"type": "tool_use", "id": c.id, "name": c.name, "input": _input(c.arguments)} for c in calls]
        ended = next((delta for delta in reversed(deltas) if delta.finish_reason), Delta(0, ""))
        reason, stop = stop_of(ended, called_tools=bool(calls))
        template = self._shape.answer
        answer = {
            **template,
            "id": _id_like(template["id"]),
            "content": blocks,
            "model": self._model,
            "stop_reason": reason,
            "usage": _filled(template["usage"], usage),
        }
        if "stop_sequence" in template or stop is not None:
            answer["stop_sequence"] = stop
        return answer

    def _said(self, delta: Delta) -> Iterator[_Json]:
        self._read_own()
        if not self._opened:
            self._opened = True
            yield self._start()
        if delta.reasoning:
            yield from self._in_block("thinking", {"type": "thinking", "thinking": ""})
            yield self._more({"type": "thinking_delta", "thinking": delta.reasoning})
        if delta.text:
            yield from self._in_block("text", {"type": "text", "text": ""})
            yield self._more({"type": "text_delta", "text": delta.text})
        for call in delta.tool_calls:
            yield from self._call(call)
        if delta.finish_reason is not None:
            self._finish = delta

    def _call(self, call: ToolCall) -> Iterator[_Json]:
        kind = f"tool {call.index}"
        if call.name or call.id:
            self._called = True
            yield from self._in_block(kind, {"type": "tool_use", "id": call.id, "name": call.name, "input": {}})
        if call.arguments:
            yield self._more({"type": "input_json_delta", "partial_json": call.arguments})

    def _start(self) -> _Json:
        template = self._shape.start
        usage = _filled(template["usage"], Usage(self._usage.prompt_tokens, 0))
        message = {**template, "id": _id_like(template["id"]), "model": self._model, "usage": usage}
        return {"type": "message_start", "message": message}

    def _in_block(self, kind: str, block: _Json) -> Iterator[_Json]:
        """Opens a block of this kind, unless it is open."""
        if self._block is not None and self._block[1] == kind:
            return
        yield from self._stopped()
        self._block = (self._next, kind)
        self._next += 1
        yield {"type": "content_block_start", "content_block": block, "index": self._block[0]}

    def _more(self, delta: _Json) -> _Json:
        index = self._block[0] if self._block else 0
        return {"type": "content_block_delta", "delta": delta, "index": index}

    def _stopped(self) -> Iterator[_Json]:
        if self._block is None:
            return
        index, kind = self._block
        self._block = None
        if kind == "thinking":
            signature = {"type": "signature_delta", "signature": uuid.uuid4().hex}
            yield {"type": "content_block_delta", "delta": signature, "index": index}
        yield {"type": "content_block_stop", "index": index}

    def _read_own(self) -> None:
        """Finds where an upstream's own events stopped."""
        own, self._own = self._own, []
        for line in b"".join(own).split(b"\n"):
            if line.startswith(b"data:"):
                self._read(orjson.loads(line.removeprefix(b"data:")))

    def _read(self, payload: _Json) -> None:
        kind = payload.get("type")
        if kind == "message_start":
            self._opened = True
            usage = payload["message"]["usage"]
            self._usage = Usage(int(usage["input_tokens"]), 0)
        elif kind == "content_block_start":
            block = payload["content_block"]["type"]
            self._called |= block == "tool_use"
            self._block = (payload["index"], f"tool {payload['index']}" if block == "tool_use" else block)
            self._next = payload["index"] + 1
        elif kind == "content_block_stop":
            self._block = None
        elif kind in ("message_stop", "error"):
            self._closed = True


def counted(input_tokens: int) -> bytes:
    """The answer to a request to count tokens."""
    body: bytes = orjson.dumps({"input_tokens": input_tokens})
    return body


def message_error(error: AnswerError) -> _Json:
    """Anthropic's error shape."""
    kind = _ERRORS.get(error.status) or ("invalid_request_error" if 400 <= error.status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": error.message}}


def _sse(payload: _Json) -> bytes:
    kind = str(payload["type"]).encode()
    return b"event: " + kind + b"\ndata: " + orjson.dumps(payload) + b"\n\n"


def _id_like(template: str) -> str:
    """A fresh id that looks like the backend's own."""
    head, dash, rest = template.rpartition("-" if "-" in template else "_")
    return head + dash + uuid.uuid4().hex[: len(rest) or 24]


def _filled(template: _Json, usage: Usage) -> _Json:
    """An untouched prompt of this kind comes from no cache as far as a client can tell."""
    named = {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens}
    return {name: named.get(name, 0 if isinstance(value, int) else value) for name, value in template.items()}


def _input(arguments: str) -> Any:
    try:
        found = orjson.loads(arguments or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
