"""Strict JSON, and faults of values named in words that a client can act on."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.errors import InvalidRequest
from gateway.files.numbers import TOO_LARGE, place_of_too_large

__all__ = ["ID_PATTERN", "json_bytes", "json_object", "validated"]

_Json = dict[str, Any]
_Model = TypeVar("_Model", bound=BaseModel)

_WANTED = {
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "none_required": "null",
}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}
_PLAINLY = {
    "missing": "is missing",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "union_tag_not_found": "its type is missing",
}
ID_PATTERN = "^[0-9]{1,10}$"
"""The pattern of a key that is a token id."""
_PATTERNS = {ID_PATTERN: "a key must be a token id, a whole number of at most 10 digits"}
_KEY_CHARS = 64
_BRANCHES = ("str", "list", "int", "float", "dict")  # pydantic names the branch of a union in an error's place


_LARGE = re.compile(rb"[0-9]{19}|[eE]\+?[0-9]{3}")  # no number without that is too large


class _Fault(ValueError):
    """What a lenient reader of JSON takes."""


def json_object(body: bytes) -> _Json:
    """Strict JSON: the gate must read what the upstream reads, so doubled keys, lone surrogates and numbers that
    readers take differently are refused. Raises InvalidRequest."""
    try:
        content = _DECODER.decode(body.decode("utf-8"))
        if b"\\u" in body:  # no other spelling of a lone surrogate is UTF-8
            json.dumps(content, ensure_ascii=False).encode("utf-8")
        if _LARGE.search(body) and (place := place_of_too_large(content)) is not None:
            raise InvalidRequest(f"{place or 'the body'} is {TOO_LARGE}", param=place or None)
    except UnicodeEncodeError as error:
        raise InvalidRequest("the body holds a lone surrogate, which is no valid text") from error
    except RecursionError as error:
        raise InvalidRequest("the body is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body is not UTF-8: byte {error.start} begins no character") from error
    except (json.JSONDecodeError, _Fault) as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from error
    except ValueError as error:  # Python reads no number of thousands of digits
        raise InvalidRequest(f"the body holds {TOO_LARGE}") from error
    if not isinstance(content, dict):
        raise InvalidRequest(f"the body must be a JSON object, got {_kind(content)}")
    return content


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """JSON of what `json_object` gave, whatever the size of its numbers."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _unique(pairs: list[tuple[str, Any]]) -> _Json:
    content: _Json = {}
    for key, value in pairs:
        if key in content:
            raise _Fault(f"the key {key[:_KEY_CHARS]!r} stands twice in one object")
        content[key] = value
    return content


def _no_constant(name: str) -> None:
    raise _Fault(f"{name} is no JSON value")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def validated(kind: type[_Model], content: _Json) -> _Model:
    """The content as a model. Raises InvalidRequest, which names the first wrong field and what it must be."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise _invalid(error.errors(include_url=False)) from error


def _invalid(problems: Sequence[ErrorDetails]) -> InvalidRequest:
    first = problems[0]
    param = _place(first)
    if first["type"] == "extra_forbidden":
        return InvalidRequest(
            f"the field {param!r} is not supported by this gateway; leave it out",
            param=param,
            code="unsupported_parameter",
        )
    if any(
        "content" in problem["loc"] and (problem["loc"][-1] == "type" or problem["type"] == "union_tag_invalid")
        for problem in problems
    ):
        return InvalidRequest("only text content can be screened; leave out images, audio and files", param=param)
    # Of a union, the branch that came furthest says what is wrong.
    of_field = [problem for problem in problems if _place(problem).startswith(param)]
    depth = max(_place(problem).count("[") + _place(problem).count(".") for problem in of_field)
    deepest = [p for p in of_field if _place(p).count("[") + _place(p).count(".") == depth]
    place = _place(deepest[0])
    same = [problem for problem in deepest if _place(problem) == place]
    return InvalidRequest(f"{place or 'body'}: {_said(same)}", param=param or None)


def _place(problem: ErrorDetails) -> str:
    """("messages", 0, "content", "str") -> messages[0].content"""
    *before, last = problem["loc"] or ("",)
    names = [part for part in before if isinstance(part, int) or _named(part)]
    if isinstance(last, int) or _named(last) or problem["type"] == "extra_forbidden":
        names.append(last)  # of a field that is too many, the client's own name
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in names).lstrip(".")


def _named(part: str) -> bool:
    return part.isidentifier() and part not in _BRANCHES


def _said(problems: Sequence[ErrorDetails]) -> str:
    wanted = list(dict.fromkeys(_WANTED[p["type"]] for p in problems if p["type"] in _WANTED))
    if wanted:
        return f"must be {' or '.join(wanted)}, got {_kind(problems[0]['input'])}"
    first = problems[0]
    kind, limits = first["type"], first.get("ctx", {})
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"must be {words} {_number(limits[bound])}, got {_kind(first['input'])}"
    if kind == "string_pattern_mismatch" and limits["pattern"] in _PATTERNS:
        return _PATTERNS[limits["pattern"]]
    if kind == "literal_error":
        return f"must be {'false' if limits['expected'] == 'False' else limits['expected']}"
    return _PLAINLY.get(kind, first["msg"].replace("Input should be", "must be"))


def _number(value: float) -> str:
    """A number as a client writes it: 2 and not 2.0."""
    return str(int(value)) if value == int(value) else str(value)


def _kind(value: Any) -> str:
    """The type of a JSON value, without its content; a number as it is, for it holds no text of a prompt."""
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    kinds = ((str, "text"), (list, "a list"), (dict, "an object"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "something else")
