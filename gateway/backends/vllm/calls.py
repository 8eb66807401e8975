"""Calls of tools where the model was asked at /v1/completions, which parses none: a call that it must make is decoded
by a schema, and one that it may make is read from what it writes.

Two forms of the latter are read, those of most families: JSON between `<tool_call>` and `</tool_call>` (Hermes, Qwen),
and an answer that is one JSON object (Llama 3). What is written in another form stays text.
"""

import re
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from gateway.core import Delta, Event, ToolCall, Usage

__all__ = ["ToolChoice", "tool_choice_of", "with_calls"]

Json = dict[str, Any]
_APART = ("$defs", "definitions")
_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*"(?P<name>[^"\\]*)"\s*,\s*"arguments"\s*:\s*')
_TAIL = re.compile(r"\s*(?:\}\s*)?\Z")  # of a call, behind its arguments
_OPEN, _CLOSE = "<tool_call>", "</tool_call>"


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """The names of the tools that the model may call, and the schema of the one call that it must make, if it must.
    `named`: the client says which one; then vLLM gives an answer the end of one of words."""

    names: tuple[str, ...]
    schema: Json | None = None
    named: bool = False


def tool_choice_of(body: Json) -> ToolChoice | None:
    """What a chat's body says of tools; None if the model may call none."""
    tools = [tool["function"] for tool in body.get("tools") or () if tool.get("function")]
    choice = body.get("tool_choice") or "auto"
    if not tools or choice == "none":
        return None
    if isinstance(choice, dict):
        tools = [tool for tool in tools if tool["name"] == choice["function"]["name"]]
    names = tuple(str(tool["name"]) for tool in tools)
    if choice == "auto":
        return ToolChoice(names)
    return ToolChoice(names, _schema(tools), named=isinstance(choice, dict))


def _schema(tools: Sequence[Json]) -> Json:
    """Of a call of one of the tools. What their parameters define apart is found from the root."""
    apart: dict[str, Json] = {}
    calls = []
    for tool in tools:
        arguments = dict(tool.get("parameters") or {"type": "object"})
        for name in _APART:
            if isinstance(arguments.get(name), dict):
                apart.setdefault(name, {}).update(arguments.pop(name))
        calls.append(
            {
                "type": "object",
                "properties": {"name": {"type": "string", "enum": [tool["name"]]}, "arguments": arguments},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    call = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return {**call, **{name: found for name, found in apart.items() if found}}


async def with_calls(events: AsyncIterable[Event], choice: ToolChoice) -> AsyncGenerator[Event, None]:
    """An answer of text with the calls that it holds. What may be the beginning of a call waits for its end."""
    written: dict[int, _MayCall | _MustCall] = {}
    reader = _MayCall if choice.schema is None else _MustCall
    async for event in events:
        parts: list[Delta | Usage] = []
        for part in event.parts:
            if isinstance(part, Delta):
                parts += written.setdefault(part.index, reader(choice)).read(part)
            else:
                parts.append(part)
        if parts:
            yield Event.of(*parts)


@dataclass(slots=True)
class _MustCall:
    """One choice that is one call by its schema: the name goes out once it is known, and of the arguments all but what
    may be the end of the call around them."""

    choice: ToolChoice
    waiting: list[Delta] = field(default_factory=list)
    begun: bool = False

    def read(self, delta: Delta) -> Iterator[Delta]:
        """What can be told of the choice, now that more of it is here."""
        self.waiting.append(delta)
        text = "".join(one.text for one in self.waiting)
        name = ""
        if not self.begun:
            head = _HEAD.match(text)
            if head is None:
                yield from self._left(delta)
                return
            name, text = head["name"], text[head.end() :]
        kept = _TAIL.search(text)
        end = kept.start() if kept and delta.finish_reason in (None, "stop") else len(text)
        sent, left = text[:end], text[end:]
        if sent or name:
            call = ToolCall(0, _call_id() if name else "", name, sent)
            tokens = tuple(token for one in self.waiting for token in one.logprobs)
            yield Delta(delta.index, "", tokens, tool_calls=(call,))
        self.begun, self.waiting = True, [Delta(delta.index, left)]
        if delta.finish_reason is not None:
            reason = delta.finish_reason if self.choice.named else _reason(delta)
            yield Delta(delta.index, "", finish_reason=reason, stop_reason=delta.stop_reason)

    def _left(self, delta: Delta) -> Iterator[Delta]:
        """An answer that ends before its call began is no call."""
        if delta.finish_reason is not None:
            yield from self.waiting


@dataclass(slots=True)
class _MayCall:
    """One choice of words, or of calls."""

    choice: ToolChoice
    waiting: list[Delta] = field(default_factory=list)
    sent: bool = False

    def read(self, delta: Delta) -> Iterator[Delta]:
        """What can be told of the choice, now that more of it is here."""
        self.waiting.append(delta)
        text = "".join(one.text for one in self.waiting)
        if delta.finish_reason is not None:
            yield from self._ended(text, delta)
        elif not self._may_be_call(text):
            yield from self.waiting
            self.sent = self.sent or bool(text.strip())
            self.waiting = []

    def _may_be_call(self, text: str) -> bool:
        """Whether the text that waits is a call, or may become one."""
        said = text.lstrip()
        if not self.sent and said.startswith("{"):
            return True
        return _OPEN in text or any(text.endswith(_OPEN[:length]) for length in range(1, len(_OPEN)))

    def _ended(self, text: str, last: Delta) -> Iterator[Delta]:
        before, calls = _calls_in(text, self.choice.names)
        if not calls:
            yield from self.waiting
            return
        tokens = tuple(token for one in self.waiting for token in one.logprobs)
        found = tuple(ToolCall(place, _call_id(), name, arguments) for place, (name, arguments) in enumerate(calls))
        yield replace(last, text=before, logprobs=tokens, tool_calls=found, finish_reason=None, stop_reason=None)
        yield Delta(last.index, "", finish_reason=_reason(last), stop_reason=last.stop_reason)


def _reason(last: Delta) -> str | None:
    return "tool_calls" if last.finish_reason == "stop" else last.finish_reason


def _call_id() -> str:
    return f"chatcmpl-tool-{uuid.uuid4().hex[:16]}"


def _calls_in(text: str, names: Collection[str]) -> tuple[str, list[tuple[str, str]]]:
    """The text before the calls, and the name and the arguments of each; no calls if one is of no tool."""
    before, *marked = text.split(_OPEN)
    pieces = [piece.partition(_CLOSE)[0] for piece in marked] if marked else [text]
    found = [_call(piece, names) for piece in pieces]
    calls = [call for call in found if call is not None]
    if len(calls) != len(found):
        return text, []
    return (before.rstrip() if marked else ""), calls


def _call(text: str, names: Collection[str]) -> tuple[str, str] | None:
    try:
        call = orjson.loads(text)
        name = call["name"]
        arguments = call["arguments"] if "arguments" in call else call["parameters"]
    except (ValueError, KeyError, TypeError):
        return None
    if name not in names or not isinstance(arguments, dict):
        return None
    return name, orjson.dumps(arguments).decode()
