"""An answer's events one by one: so a screen can hold one back, cut it in two, or take an alternative token out."""

import itertools
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import orjson

from gateway.core import Delta, Event, Request, TokenLogprob
from gateway.errors import UpstreamError
from gateway.openai_format.decoding import DONE, parts_of
from gateway.openai_format.messages.events import is_message, with_text

__all__ = ["Forbidden", "cut", "joined", "single_events", "without_alternatives"]

Json = dict[str, Any]
Forbidden = Callable[[int, int, str], bool]
"""Whether an alternative must not be shown: the choice, the number of the token in this event, the alternative."""

_DATA = b"data:"
_END = b"\n\n"
_EMPTY_LINE = re.compile(rb"\r?\n\r?\n")
_SILENT = re.compile(rb"(?:(?::|event:|id:|retry:)[^\r\n]*|[\r\n]+)*")


async def single_events(events: AsyncGenerator[Event, None], request: Request) -> AsyncGenerator[list[Event], None]:
    """The events of a streamed answer, where an upstream's own bytes are parted into one server-sent event each; those
    that came together are in one list. Joined, the bytes are what they were. Raises UpstreamError for bytes of no known
    shape."""
    rest = b""
    async with aclosing(events):
        async for event in events:
            if event.data is None:
                yield [event]
                continue
            whole, rest = _parted(rest + event.data)
            if whole:
                yield [_single(data, request) for data in whole]
    if rest:
        yield [_single(rest, request)]


def joined(events: Sequence[Event]) -> Sequence[Event]:
    """Events that go on together; those of an upstream's own bytes that follow each other as one."""
    if len(events) < 2:
        return events
    found: list[Event] = []
    for own, some in itertools.groupby(events, key=_is_own):
        run = list(some)
        if own and len(run) > 1:
            parts = tuple([part for event in run for part in event.parts])
            run = [Event(data=b"".join([event.data or b"" for event in run]), parts=parts)]
        found += run
    return found


def _is_own(event: Event) -> bool:
    return event.data is not None


def cut(event: Event, chars: int) -> tuple[Event, Event]:
    """An event with one delta of content alone, cut behind so many characters of its text."""
    (delta,) = event.deltas
    first = replace(delta, text=delta.text[:chars], finish_reason=None, stop_reason=None)
    rest = replace(delta, text=delta.text[chars:])
    others = tuple(part for part in event.parts if part is not delta)
    if event.data is None:
        return Event.of(first), Event.of(rest, *others)
    return _written(event.data, first), _written(event.data, rest, *others)


def without_alternatives(event: Event, forbidden: Forbidden) -> Event:
    """The event without the alternatives, to the tokens of its logprobs, that are forbidden; the same event if none
    is."""
    changed = tuple(_cleared(part, forbidden) if isinstance(part, Delta) else part for part in event.parts)
    if changed == event.parts:
        return event
    if event.data is None:
        return Event.of(*changed)
    payload, streamed = _payload(event.data), bool(_data_lines(event.data))
    by_index = {part.index: part.logprobs for part in changed if isinstance(part, Delta) and part.logprobs}
    for choice in payload["choices"]:
        if choice["index"] in by_index:
            _write_alternatives(choice["logprobs"], by_index[choice["index"]])
    body = orjson.dumps(payload)
    return Event(data=_DATA + b" " + body + b"\n\n" if streamed else body, parts=changed)


def _parted(data: bytes) -> tuple[list[bytes], bytes]:
    """The server-sent events with the empty line behind each, and what is not complete yet."""
    if b"\r" not in data:
        *whole, rest = data.split(_END)
        return [event + _END for event in whole], rest
    ends = [0, *(end.end() for end in _EMPTY_LINE.finditer(data))]
    return [data[start:end] for start, end in itertools.pairwise(ends)], data[ends[-1] :]


def _single(data: bytes, request: Request) -> Event:
    """An event of one line of data. Comments and other fields of an event say nothing."""
    lines = _data_lines(data)
    if lines == [DONE] or (not lines and _SILENT.fullmatch(data)):
        return Event(data=data)
    if len(lines) != 1:
        raise UpstreamError("the model server's answer has an unknown shape")
    payload = _object(lines[0].removeprefix(_DATA))
    if payload.get("error"):
        raise UpstreamError("the model server failed while it answered")
    return Event(data=data, parts=tuple(parts_of(payload, request)))


def _data_lines(data: bytes) -> list[bytes]:
    """What a client takes for lines of data: a carriage return ends a line, too."""
    return [line.strip() for line in data.splitlines() if line.startswith(_DATA)]


def _payload(data: bytes) -> Json:
    """Of a server-sent event, or of an answer in one piece."""
    lines = _data_lines(data)
    return _object(lines[0].removeprefix(_DATA) if lines else data)


def _object(data: bytes) -> Json:
    try:
        payload = orjson.loads(data)
    except ValueError as error:
        raise UpstreamError("the model server's answer is not JSON") from error
    if not isinstance(payload, dict):
        raise UpstreamError("the model server's answer is not an object")
    return payload


def _written(data: bytes, delta: Delta, *others: Any) -> Event:
    """The server-sent event with another text and finish reason."""
    payload = _payload(data)
    if is_message(payload):
        head, body = data.partition(_DATA)[0], orjson.dumps(with_text(payload, delta.text))
        return Event(data=head + _DATA + b" " + body + b"\n\n", parts=(delta, *others))
    choice = next(one for one in payload["choices"] if one["index"] == delta.index)
    payload["choices"] = [choice]
    if "delta" in choice:
        choice["delta"] = {**choice["delta"], "content": delta.text}
    else:
        choice["text"] = delta.text
    choice["finish_reason"] = delta.finish_reason
    if "stop_reason" in choice:
        choice["stop_reason"] = delta.stop_reason
    return Event(data=_DATA + b" " + orjson.dumps(payload) + b"\n\n", parts=(delta, *others))


def _cleared(delta: Delta, forbidden: Forbidden) -> Delta:
    tokens = tuple(
        replace(token, top=tuple(pair for pair in token.top if not forbidden(delta.index, number, pair[0])))
        for number, token in enumerate(delta.logprobs)
    )
    return delta if tokens == delta.logprobs else replace(delta, logprobs=tokens)


def _write_alternatives(logprobs: Json, tokens: tuple[TokenLogprob, ...]) -> None:
    """Leaves, in either endpoint's layout, the alternatives that the tokens have."""
    if "content" in logprobs:
        for written, token in zip(logprobs["content"], tokens, strict=True):
            kept = {text for text, _ in token.top}
            written["top_logprobs"] = [one for one in written["top_logprobs"] if one["token"] in kept]
        return
    kept_of = [{text for text, _ in token.top} for token in tokens]
    logprobs["top_logprobs"] = [
        {text: value for text, value in (top or {}).items() if text in kept}
        for top, kept in zip(logprobs["top_logprobs"], kept_of, strict=True)
    ]
