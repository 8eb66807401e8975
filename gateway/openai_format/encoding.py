"""Events out: OpenAI's JSON and server-sent events, in exactly the shape that the backend's own answers have."""

import time
import uuid
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any

import orjson

from gateway.core import Delta, Event, Request, TokenLogprob, ToolCall, Usage
from gateway.errors import AnswerError
from gateway.openai_format.decoding import DONE
from gateway.openai_format.shapes import Shape

__all__ = ["AnswerEncoder", "joined_calls", "sse", "whole"]

Json = dict[str, Any]


class AnswerEncoder:
    """Encodes one answer. Ids and times are fresh for every request."""

    def __init__(self, request: Request, shape: Shape) -> None:
        self._request = request
        self._shape = shape
        chat = request.endpoint == "chat"
        self._object = "chat.completion" if chat else "text_completion"
        self._event_object = "chat.completion.chunk" if chat else "text_completion"
        self._head: Json = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex[:16]}",
            "created": int(time.time()),
            "model": request.model,
        }
        self._chat = chat
        self._offsets: dict[int, int] = {}
        self._called: set[int] = set()  # choices that call tools
        self._own = self._tail = b""  # an upstream's first and last bytes, if the stream began with those
        self._opened = False

    def encode(self, event: Event) -> bytes:
        """The server-sent events for one step of a stream; none for a step that says nothing. An upstream's own bytes
        stay as they are."""
        if event.data is not None:
            self._own = self._own or event.data
            self._tail = (self._tail + event.data)[-2 * len(DONE) :]
            return event.data
        payloads: list[Json] = []
        if not self._opened and event.parts:
            self._opened = True
            if self._own:
                self._head |= _head_of(self._own)
            else:
                payloads += self._opening()
        for part in event.parts:
            payloads += self._payloads(part)
        return b"".join(map(sse, payloads))

    def ending(self) -> bytes:
        """What follows the last step: [DONE], unless an upstream's own bytes end with it."""
        return b"" if self._tail.rstrip().endswith(DONE) else DONE + b"\n\n"

    def failed(self, error: AnswerError) -> bytes:
        """The end of a stream that breaks off."""
        return sse(error.body())

    async def collect(self, events: AsyncIterable[Event], first: Event | None = None) -> bytes:
        """The whole answer as one JSON body. `first` is the event before the others, if it is read already."""
        every = [first] if first is not None else []
        every += [event async for event in events]
        own = [event.data for event in every if event.data is not None]
        deltas = [delta for event in every if event.data is None for delta in event.deltas]
        usages = [part for event in every if event.data is None for part in event.parts if isinstance(part, Usage)]
        usage = usages[-1] if usages else Usage(0, 0)
        return b"".join(own) if own else orjson.dumps(self._answer(deltas, usage))

    def _answer(self, deltas: Iterable[Delta], usage: Usage) -> Json:
        choices = []
        by_index: dict[int, list[Delta]] = {}
        for delta in deltas:
            by_index.setdefault(delta.index, []).append(delta)
        for _, parts in sorted(by_index.items()):
            choices.append(self._choice(self._shape.choice, whole(parts)))
        return self._over(
            self._shape.answer, object=self._object, choices=choices, usage=_usage(self._shape.usage, usage)
        )

    def _choice(self, template: Json, delta: Delta) -> Json:
        filled = {
            **template,
            "index": delta.index,
            "logprobs": self._logprobs(delta),
            "finish_reason": delta.finish_reason,
        }
        if self._chat:
            filled["message"] = {**self._shape.message, "content": delta.text or self._no_text(delta)}
            if delta.tool_calls:
                thought = {name: filled["message"].pop(name) for name in ("reasoning",) if name in filled["message"]}
                filled["message"] |= {"tool_calls": [_call(call) for call in delta.tool_calls], **thought}
        else:
            filled["text"] = delta.text
        if "stop_reason" in template:
            filled["stop_reason"] = delta.stop_reason
        return filled

    def _chat_delta(self, part: Delta) -> Json:
        """As vLLM has it: of an answer that calls, an event that says nothing holds nothing."""
        if part.tool_calls:
            self._called.add(part.index)
            return {"content": part.text or None, "tool_calls": [_fragment(call) for call in part.tool_calls]}
        return {"content": part.text} if part.text or part.index not in self._called else {}

    def _no_text(self, delta: Delta) -> str | None:
        """As vLLM has it: null beside calls that the model chose to make."""
        if not delta.tool_calls:
            return ""
        return None if orjson.loads(self._request.raw).get("tool_choice") in (None, "auto") else ""

    def _opening(self) -> Iterable[Json]:
        if self._shape.opening is None:
            return
        for index in range(self._request.sampling.n):
            choice = {
                **self._shape.opening_choice,
                "index": index,
                "delta": {"role": "assistant", "content": ""},
            }
            yield self._over(self._shape.opening, object=self._event_object, choices=[choice])

    def _payloads(self, part: Delta | Usage) -> Iterable[Json]:
        shape = self._shape
        if isinstance(part, Usage):
            if self._request.include_usage:
                usage = _usage(shape.usage_event["usage"], part)
                yield self._over(shape.usage_event, object=self._event_object, choices=[], usage=usage)
            return
        closing = part.finish_reason is not None
        template = shape.closing_choice if closing else shape.event_choice
        choice: Json = {
            **template,
            "index": part.index,
            "logprobs": self._logprobs(part),
            "finish_reason": part.finish_reason,
        }
        if self._chat:
            choice["delta"] = self._chat_delta(part)
        else:
            choice["text"] = part.text
        if "stop_reason" in template:
            choice["stop_reason"] = part.stop_reason
        outer = shape.closing_event if closing and not self._request.include_usage else shape.event
        yield self._over(outer, object=self._event_object, choices=[choice])

    def _over(self, template: Json, **values: Any) -> Json:
        return {**template, **self._head, **values}

    def _logprobs(self, delta: Delta) -> Json | None:
        if self._request.sampling.logprobs is None:
            return None
        if self._chat:
            return {"content": [_chat_logprob(token) for token in delta.logprobs]}
        offsets = []
        cursor = self._offsets.get(delta.index, 0)
        for token in delta.logprobs:
            offsets.append(cursor)
            cursor += len(token.token)
        self._offsets[delta.index] = cursor
        return {
            "text_offset": offsets,
            "token_logprobs": [token.logprob for token in delta.logprobs],
            "tokens": [token.token for token in delta.logprobs],
            "top_logprobs": [dict(token.top) for token in delta.logprobs],
        }


def whole(parts: Iterable[Delta]) -> Delta:
    """The deltas of one choice, joined."""
    parts = list(parts)
    return Delta(
        index=parts[0].index,
        text="".join(part.text for part in parts),
        logprobs=tuple(token for part in parts for token in part.logprobs),
        finish_reason=parts[-1].finish_reason,
        stop_reason=parts[-1].stop_reason,
        tool_calls=tuple(joined_calls(call for part in parts for call in part.tool_calls)),
    )


def joined_calls(fragments: Iterable[ToolCall]) -> list[ToolCall]:
    """The calls of one choice, each of its fragments."""
    by_index: dict[int, list[ToolCall]] = {}
    for one in fragments:
        by_index.setdefault(one.index, []).append(one)
    return [
        ToolCall(
            index,
            next((one.id for one in found if one.id), ""),
            next((one.name for one in found if one.name), ""),
            "".join(one.arguments for one in found),
        )
        for index, found in sorted(by_index.items())
    ]


def _head_of(data: bytes) -> Json:
    """What all events of an upstream's stream have in common, from its first one: whoever goes on with the stream keeps
    it. Empty if it cannot be read."""
    try:
        first = orjson.loads(data.partition(b"\n")[0].removeprefix(b"data:"))
        return {name: first[name] for name in ("id", "created", "model", "system_fingerprint") if name in first}
    except (ValueError, TypeError):
        return {}


def sse(payload: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + orjson.dumps(payload) + b"\n\n"


def _usage(template: Json, usage: Usage) -> Json:
    return {
        **template,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _fragment(call: ToolCall) -> Json:
    """Of a call in a stream: only the first has an id and a name."""
    if not call.id:
        return {"index": call.index, "function": {"arguments": call.arguments}}
    function = {"name": call.name} | ({"arguments": call.arguments} if call.arguments else {})
    return {"id": call.id, "type": "function", "index": call.index, "function": function}


def _call(call: ToolCall) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _chat_logprob(token: TokenLogprob) -> Json:
    return {**_token(token.token, token.logprob), "top_logprobs": [_token(*pair) for pair in token.top]}


def _token(text: str, logprob: float) -> Json:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", "replace"))}
