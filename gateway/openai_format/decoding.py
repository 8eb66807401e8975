"""From the bytes of an upstream's answer, whole or streamed, to deltas and usage."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any

import orjson

from gateway.core import Delta, Request, TokenLogprob, ToolCall, Usage
from gateway.errors import UpstreamError
from gateway.openai_format.messages.events import LAST_EVENT, is_message, message_parts

__all__ = ["DONE", "has_ended", "objects", "parts_of", "reader"]

Json = dict[str, Any]

DONE = b"data: [DONE]"
_PLAIN = frozenset({"role", "content"})
_READ = frozenset({"role", "content", "reasoning", "reasoning_content", "tool_calls"})


async def objects(data: AsyncIterator[bytes], *, stream: bool) -> AsyncGenerator[Json, None]:
    """The JSON objects of an answer's bytes: one, or one for each server-sent event, errors among them.

    Raises UpstreamError for what is not JSON, and for a stream without its end.
    """
    if not stream:
        yield _object(b"".join([piece async for piece in data]))
        return
    last = False
    async for line in _lines(data):
        if line == DONE:
            return
        last = last or LAST_EVENT in line
        if line.startswith(b"data:"):
            yield _object(line[len(b"data:") :])
    if not last:
        raise UpstreamError("the model server broke off its answer")


def parts_of(payload: Json, request: Request, prompt_tokens: int | None = None) -> list[Delta | Usage]:
    """A delta for each choice, then the usage if the payload has it, with `prompt_tokens` in place of its own if given.

    The payload may come from another endpoint than the client asked; it is put in terms of the latter.
    """
    parts: list[Delta | Usage] = []
    try:
        if is_message(payload):
            return [_checked(part) if isinstance(part, Delta) else part for part in message_parts(payload)]
        for choice in payload["choices"]:
            if not _opens(choice):
                parts.append(_checked(_delta(choice, request)))
        if usage := payload.get("usage"):
            asked = int(usage.get("prompt_tokens") or 0) if prompt_tokens is None else prompt_tokens
            parts.append(Usage(asked, int(usage["completion_tokens"])))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise UpstreamError(f"the model server's answer has an unknown shape{_fault(error)}") from error
    return parts


class _Unscreenable(TypeError):
    """An answer says something where nobody screens it. Its words hold nothing of the answer."""


def _fault(error: Exception) -> str:
    return f": its {error}" if isinstance(error, _Unscreenable) else ""


def _checked(delta: Delta) -> Delta:
    """The delta, if all that it says is text: nobody screens what is none, such as a list of parts."""
    if not (isinstance(delta.text, str) and isinstance(delta.reasoning, str)):
        what = "reasoning" if isinstance(delta.text, str) else "content"
        raise _Unscreenable(f"{what} is no text; ask the model server for answers in plain text")
    for call in delta.tool_calls:
        if not all(isinstance(said, str) for said in (call.id, call.name, call.arguments)):
            raise _Unscreenable("tool calls hold what is no text")
    for token in delta.logprobs:
        if not all(isinstance(said, str) for said in (token.token, *(text for text, _ in token.top))):
            raise _Unscreenable("logprobs hold what is no text")
    return delta


def reader(request: Request) -> Callable[[bytes], Iterator[Delta | Usage]]:
    """Reads the bytes of one answer to a request piece by piece, in their order; a line that a piece leaves unfinished
    is read with the next. What it gives raises UpstreamError for bytes of no known shape."""
    rest = b""

    def read(data: bytes) -> Iterator[Delta | Usage]:
        nonlocal rest
        if not request.stream:
            yield from parts_of(_object(data), request)
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in map(bytes.rstrip, lines):
            if line.startswith(b"data:") and line != DONE:
                yield from parts_of(_object(line[len(b"data:") :]), request)

    return read


def has_ended(tail: bytes) -> bool:
    """Whether a stream that ends with these bytes is complete, in either format."""
    return tail.rstrip().endswith(DONE) or LAST_EVENT in tail


async def _lines(data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines as server-sent events have them. U+2028 ends none: it may stand in JSON."""
    rest = b""
    async for piece in data:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.rstrip(b"\r")
    yield rest


def _object(data: bytes) -> Json:
    try:
        payload = orjson.loads(data)
    except ValueError as error:
        raise UpstreamError("the model server's answer is not JSON") from error
    if not isinstance(payload, dict):
        raise UpstreamError("the model server's answer is not an object")
    return payload


def _opens(choice: Json) -> bool:
    """Whether this is the event that only names the role; the gateway writes its own."""
    delta = choice.get("delta") or {}
    if "role" not in delta:
        return False
    says = delta.get("content") or delta.get("tool_calls") or _reasoning(delta) or any(_others(delta))
    return not says and choice["finish_reason"] is None


def _delta(choice: Json, request: Request) -> Delta:
    if "text" in choice and ("delta" in choice or "message" in choice):
        raise _Unscreenable("choice says two things, of which a client reads one")
    message = {"content": choice["text"]} if "text" in choice else _message(choice)
    logprobs = _logprobs(choice.get("logprobs"), request)
    said = (int(choice["index"]), message.get("content") or "", logprobs)
    ends = (choice["finish_reason"], choice.get("stop_reason"))
    if message.keys() <= _PLAIN:
        return Delta(*said, *ends)
    return Delta(
        *said,
        *ends,
        reasoning=_reasoning(message),
        tool_calls=tuple(_calls(message)),
        others="" if message.keys() <= _READ else "".join(_others(message)),
    )


def _message(choice: Json) -> Json:
    message: Json = choice["delta"] if "delta" in choice else choice["message"]
    return message


def _reasoning(message: Json) -> str:
    """vLLM calls it `reasoning`, and before 0.12 and elsewhere `reasoning_content`."""
    return message.get("reasoning") or message.get("reasoning_content") or ""


def _calls(message: Json) -> Iterator[ToolCall]:
    """Whole calls, or fragments with the number of their call. A whole answer leaves the numbers out."""
    for place, call in enumerate(message.get("tool_calls") or ()):
        function = call.get("function") or {}
        index = call.get("index")
        number = place if index is None else int(index)
        yield ToolCall(number, call.get("id") or "", function.get("name") or "", function.get("arguments") or "")


def _others(message: Json) -> Iterator[str]:
    """Texts of fields that the gateway does not know (`refusal`, `function_call`, `audio` ...)."""
    waiting = [value for name, value in message.items() if name not in _READ and value]
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value


def _logprobs(found: Json | None, request: Request) -> tuple[TokenLogprob, ...]:
    """From either endpoint's layout. Alternatives keep vLLM's order: the token itself, then the likeliest.

    Where the token is not among the likeliest, /v1/completions has one alternative more than a chat.
    """
    count = request.sampling.logprobs
    if not found or count is None:
        return ()
    if "content" in found:
        return tuple(
            TokenLogprob(t["token"], t["logprob"], tuple((o["token"], o["logprob"]) for o in t["top_logprobs"]))
            for t in found["content"]
        )
    kept = count if request.endpoint == "chat" else count + 1
    rows = zip(found["tokens"], found["token_logprobs"], found["top_logprobs"], strict=True)
    return tuple(TokenLogprob(token, logprob, tuple((top or {}).items())[:kept]) for token, logprob, top in rows)
