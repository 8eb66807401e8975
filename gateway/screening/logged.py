"""Rows of a log, read as the server reads requests: what the server would screen is screened, nothing less."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gateway.core import Message, Request
from gateway.errors import AnswerError, SetupError
from gateway.files.rows import FileRow, columns_of, read_rows, read_texts_or_rows, strict_json
from gateway.openai_format.limits import Limits
from gateway.openai_format.requests import parse_chat

__all__ = ["LoggedRow", "Traffic", "read_log", "read_traffic"]

# The fields of a row that can carry text to the model. The gate ignores the others (an id, a time, sampling).
_TEXT_FIELDS = ("tools", "tool_choice", "response_format", "functions", "function_call", "documents")
_INSIDE = ("request", "body")
_EXPECTED = '"prompt" or "messages", or an OpenAI request under "request" or "body"'
_NO_LIMITS = Limits.model_construct(messages=sys.maxsize, prompt_chars=sys.maxsize)


@dataclass(frozen=True, slots=True)
class LoggedRow:
    """A row of a log: the `fields` of the file, and the `request` that the server would make of them.

    Without a request, `problem` says why; `media` is True if the reason is an image, audio or a file in a message.
    """

    line: int
    fields: Mapping[str, Any]
    request: Request | None
    problem: str = ""
    media: bool = False


@dataclass(frozen=True, slots=True)
class Traffic:
    """Prompts to calibrate on. `left_out` rows hold no text that the gate could read: they are empty, or images."""

    prompts: tuple[str, ...]
    left_out: int = 0


class _Media(ValueError):
    """A message has a part that is no text."""


def read_log(path: Path) -> list[LoggedRow]:
    """Every row of a log of JSON rows. Raises SetupError only for a file that cannot be read."""
    return [_logged(row) for row in read_rows(path)]


def read_traffic(path: Path) -> Traffic:
    """The prompts of a text file (one a line) or of a log; a conversation is one prompt, its turns in one text.

    Raises SetupError, which names the line, for a row that is no prompt and no conversation.
    """
    prompts: list[str] = []
    left_out = 0
    for row in map(_logged, read_texts_or_rows(path)):
        if row.problem and not row.media:
            raise SetupError(f"{path} line {row.line}: {row.problem}")
        text = _conversation(row.request) if row.request else ""
        prompts += [text] if text else []
        left_out += not text
    if not prompts:
        raise SetupError(f"{path} holds no row with text to calibrate on")
    return Traffic(tuple(prompts), left_out)


def _conversation(request: Request) -> str:
    """The turns with text, as one text, as the gate reads them."""
    return "\n".join(message.text for message in request.messages if message.text.strip())


def _logged(row: FileRow) -> LoggedRow:
    fields = _fields(row)
    if row.fault:
        return LoggedRow(row.line, fields, None, row.fault)
    try:
        return LoggedRow(row.line, fields, _request(fields, str(row.line)))
    except AnswerError as error:
        return LoggedRow(row.line, fields, None, error.message)
    except _Media as error:
        return LoggedRow(row.line, fields, None, str(error), media=True)
    except ValueError as error:
        return LoggedRow(row.line, fields, None, str(error))


def _fields(row: FileRow) -> dict[str, Any]:
    if row.fault:
        return {"row": row.raw}
    if isinstance(row.value, str):
        return {"prompt": row.value}
    return row.value if isinstance(row.value, dict) else {"row": row.value}


def _request(fields: Mapping[str, Any], request_id: str) -> Request:
    """The request in a row. Raises AnswerError as the server does, or ValueError."""
    found = [request for body in _bodies(fields) for request in _requests(body, request_id)]
    if not found:
        raise ValueError(_unknown(fields))
    first, *others = sorted(found, key=lambda request: not _conversation(request))
    beside = [text for other in others for text in (*(m.text for m in other.messages), *other.side_texts)]
    return replace(first, side_texts=(*first.side_texts, *beside))


def _bodies(fields: Mapping[str, Any], depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """The row itself, and the requests that it holds under the usual names."""
    yield fields
    for name in _INSIDE:
        inside = fields.get(name)
        if isinstance(inside, str) and inside.lstrip().startswith("{"):
            inside = strict_json(inside)
        if isinstance(inside, dict) and depth < 3:
            yield from _bodies(inside, depth + 1)


def _requests(body: Mapping[str, Any], request_id: str) -> Iterator[Request]:
    if "messages" in body:
        yield _chat(body, body["messages"], request_id)
    if "prompt" in body:
        prompt = body["prompt"]
        if isinstance(prompt, list) and prompt and all(isinstance(turn, dict) for turn in prompt):
            yield _chat(body, prompt, request_id)
        elif "messages" not in body and isinstance(prompt, str) and _carried(body):
            yield _chat(body, [{"role": "user", "content": prompt}], request_id)
        else:
            texts = [*_prompts(prompt), *_prompts(body.get("suffix"))]
            yield Request(request_id, "completions", "", tuple(Message("prompt", text) for text in texts))


def _chat(body: Mapping[str, Any], messages: Any, request_id: str) -> Request:
    turns = [_turn(message) for message in messages] if isinstance(messages, list) else messages
    if not turns and turns in (None, []):
        return Request(request_id, "chat", "", ())
    if prompts := _audited_prompts(turns):
        return Request(request_id, "completions", "", prompts)
    _refuse_media(turns)
    content = {**_carried(body), "model": "", "messages": turns}
    return parse_chat(json.dumps(content, ensure_ascii=False).encode(), request_id=request_id, limits=_NO_LIMITS)


def _carried(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in _TEXT_FIELDS if body.get(name) not in (None, [], {}, "")}


def _turn(message: Any) -> Any:
    """A message; the gateway's own audit lines call its content `text`."""
    if isinstance(message, dict) and message.keys() == {"role", "text"}:
        return {"role": message["role"], "content": message["text"]}
    return message


def _audited_prompts(turns: Any) -> tuple[Message, ...]:
    """What an audit line says of a /v1/completions request; () for all else."""
    if not isinstance(turns, list):
        return ()
    roles = {turn.get("role") if isinstance(turn, dict) else None for turn in turns}
    return tuple(Message("prompt", str(turn.get("content") or "")) for turn in turns) if roles == {"prompt"} else ()


def _refuse_media(turns: Any) -> None:
    contents = [turn.get("content") for turn in turns if isinstance(turn, dict)] if isinstance(turns, list) else []
    parts = [part for content in contents if isinstance(content, list) for part in content if isinstance(part, dict)]
    kinds = sorted({str(part["type"]) for part in parts if part.get("type", "text") != "text"})
    if kinds:
        raise _Media(f"only text can be screened, and a message holds a part of type {', '.join(kinds)}")


def _prompts(prompt: Any) -> list[str]:
    """The texts of a completion's prompt: one, several, or none."""
    if prompt is None:
        return []
    texts = prompt if isinstance(prompt, list) else [prompt]
    if isinstance(prompt, list) and any(isinstance(text, int | list) for text in texts):
        raise ValueError("the prompt is token ids, which cannot be read without the model's tokenizer; log its text")
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"prompt must be text, and is {columns_of(prompt)}")
    return texts


def _unknown(fields: Mapping[str, Any]) -> str:
    if {"endpoint", "outcome"} <= fields.keys():
        return "this audit line holds no prompt; the gateway writes prompts if audit_prompts is on"
    found = columns_of(fields["row"]) if fields.keys() == {"row"} else columns_of(dict(fields))
    return f"a row needs {_EXPECTED}; this one has {found}"
