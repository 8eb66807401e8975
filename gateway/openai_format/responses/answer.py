"""Responses out: OpenAI's JSON and server-sent events. The gateway writes all of them itself, whatever the plan.

Source: OpenAI's API reference, "Responses" and "Streaming events"; the Open Responses specification, ResponseResource.
"""

import time
import uuid
from collections.abc import AsyncIterable, Callable, Iterator, Sequence
from typing import Any

import orjson

from gateway.core import Delta, Event, Request, TokenLogprob, ToolCall, Usage
from gateway.errors import AnswerError
from gateway.openai_format.responses.custom_tools import customs_in
from gateway.openai_format.responses.items import CallItem, CustomCallItem, Item, ReasoningItem, TextItem
from gateway.openai_format.responses.namespaces import places_of

__all__ = ["Keep", "ResponseEncoder"]

_Json = dict[str, Any]
Keep = Callable[[str, Sequence[_Json]], None]
"""Takes a response's id and all items up to its end."""
_ECHOED: _Json = {
    "frequency_penalty": 0.0,
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "previous_response_id": None,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "user": None,
}
_FUNCTION: _Json = {"description": None, "parameters": None, "strict": None}  # which a client may leave out
# Of a request they are dropped; clients of the Open Responses specification require them of an answer.
_NOT_USED = ("max_tool_calls", "prompt_cache_key", "safety_identifier")


class ResponseEncoder:
    """Encodes one answer, and has what it said kept, if the client did not forbid it."""

    def __init__(self, request: Request, keep: Keep | None) -> None:
        """`keep` is None where nothing is kept."""
        body = orjson.loads(request.native)
        self._given: list[_Json] = body["input"]
        self._keep = keep if body.get("store", True) else None
        self._places, self._customs = places_of(body.get("tools", ())), customs_in(body.get("tools", ()))
        self._head = _head(body, stored=self._keep is not None)
        self._items: list[Item] = []
        self._number = 0
        self._usage: Usage | None = None
        self._finish = ""
        self._opened = False

    def encode(self, event: Event) -> bytes:
        """The server-sent events for one step of a stream."""
        payloads: list[_Json] = []
        for part in event.parts:
            if isinstance(part, Usage):
                self._usage = part
            elif part.index == 0:
                payloads += self._said(part)
        return b"".join(map(self._sse, payloads))

    def ending(self) -> bytes:
        """The end of the stream."""
        payloads = [*(() if self._opened else self._opening()), *self._closed()]
        payloads.append(self._final())
        return b"".join(map(self._sse, payloads))

    def failed(self, error: AnswerError) -> bytes:
        """The end of a stream that breaks off."""
        payloads = [*(() if self._opened else self._opening())]
        told = {"code": error.code or "server_error", "message": error.message}
        payloads.append({"type": "response.failed", "response": self._response("failed") | {"error": told}})
        return b"".join(map(self._sse, payloads))

    async def collect(self, events: AsyncIterable[Event], first: Event | None = None) -> bytes:
        """The whole answer as one JSON body. `first` is the event before the others, if it is read already."""
        if first is not None:
            self.encode(first)
        async for event in events:
            self.encode(event)
        list(self._closed())
        body: bytes = orjson.dumps(self._final()["response"])
        return body

    def _said(self, delta: Delta) -> Iterator[_Json]:
        if not self._opened:
            yield from self._opening()
        if delta.reasoning:
            yield from self._in(ReasoningItem)
            yield from self._items[-1].more(delta.reasoning)
        if delta.text or delta.logprobs:
            yield from self._in(TextItem)
            yield from self._items[-1].more(delta.text, [_logprob(one) for one in delta.logprobs])
        for call in delta.tool_calls:
            if call.name or call.id:
                yield from self._closed()
                self._items.append(self._call(call))
            if self._items:
                yield from self._items[-1].more(call.arguments)
        self._finish = delta.finish_reason or self._finish

    def _call(self, call: ToolCall) -> Item:
        call_id = call.id or f"call_{uuid.uuid4().hex}"
        if call.name in self._customs:
            return CustomCallItem(len(self._items), call_id, call.name)
        function = self._places.get(call.name, {"name": call.name})
        return CallItem(len(self._items), call_id, function)

    def _in(self, kind: type[TextItem | ReasoningItem]) -> Iterator[_Json]:
        """Ends the item that is under way and begins one of this kind, unless that is under way."""
        if not (self._items and isinstance(self._items[-1], kind) and not self._items[-1].closed):
            yield from self._closed()
            self._items.append(kind(len(self._items)))

    def _opening(self) -> Iterator[_Json]:
        self._opened = True
        for kind in ("response.created", "response.in_progress"):
            yield {"type": kind, "response": self._response("in_progress")}

    def _closed(self) -> Iterator[_Json]:
        """Ends the item that is under way."""
        if self._items and not self._items[-1].closed:
            yield from self._items[-1].end()

    def _final(self) -> _Json:
        at_limit = self._finish == "length"
        response = self._response("incomplete" if at_limit else "completed")
        if at_limit:
            response["incomplete_details"] = {"reason": "max_output_tokens"}
        else:
            response["completed_at"] = int(time.time())
        if self._keep:
            self._keep(response["id"], [*self._given, *response["output"]])
        return {"type": "response.incomplete" if at_limit else "response.completed", "response": response}

    def _response(self, status: str) -> _Json:
        output = [item.whole() for item in self._items if item.closed]
        return {**self._head, "status": status, "output": output, "usage": _usage(self._usage)}

    def _sse(self, payload: _Json) -> bytes:
        kind = str(payload["type"])
        numbered = {"type": kind, "sequence_number": self._number, **payload}
        self._number += 1
        return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(numbered) + b"\n\n"


def _head(body: _Json, *, stored: bool) -> _Json:
    """What a response says of its request."""
    echoed = {name: body.get(name, default) for name, default in _ECHOED.items()}
    echoed["tools"] = [{**(_FUNCTION if one["type"] == "function" else {}), **one} for one in body.get("tools", ())]
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": int(time.time()),
        "completed_at": None,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": body["model"],
        "output": [],
        **echoed,
        **dict.fromkeys(_NOT_USED),
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": stored,
        "truncation": "disabled",
        "usage": None,
    }


def _usage(usage: Usage | None) -> _Json | None:
    if usage is None:
        return None
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _logprob(one: TokenLogprob) -> _Json:
    top = [_token(*pair) for pair in one.top]
    return {**_token(one.token, one.logprob), "top_logprobs": top}


def _token(text: str, logprob: float) -> _Json:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", "replace"))}
