"""The tools that a client offers in the format of OpenAI's Responses: those that it runs itself."""

import logging
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from gateway.errors import InvalidRequest
from gateway.openai_format.cleaning import UnknownFields, printable

__all__ = ["AnyTool", "NamedTool", "taken_tools", "without_null"]

_log = logging.getLogger("unrecall.requests")
_Json = dict[str, Any]
_INSIDE = ("function",)
_RUN_BY_CLIENTS = (*_INSIDE, "custom", "namespace")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Function(_Strict):
    type: Literal["function"]
    name: Annotated[str, Field(min_length=1)]
    description: str | None = None
    parameters: _Json | None = None
    strict: bool | None = None


class _Grammar(_Strict):
    type: Literal["text", "grammar"]
    syntax: Literal["lark", "regex"] | None = None
    definition: str | None = None


class _Custom(_Strict):
    type: Literal["custom"]
    name: Annotated[str, Field(min_length=1)]
    description: str | None = None
    format: _Grammar | None = None


class _Namespace(_Strict):
    type: Literal["namespace"]
    name: Annotated[str, Field(min_length=1)]
    description: str | None = None
    tools: list[_Function]


def _kind(tool: Any) -> str:
    kind = tool.get("type") if isinstance(tool, dict) else None
    return f"<{kind}>" if kind in ("namespace", "custom") else "<function>"


# Tags that are no names: an error's place leaves them out.
AnyTool = Annotated[
    Annotated[_Function, Tag("<function>")]
    | Annotated[_Namespace, Tag("<namespace>")]
    | Annotated[_Custom, Tag("<custom>")],
    Discriminator(_kind),
]
"""A tool that the client runs."""


class NamedTool(_Strict):
    """The tool that the model must call."""

    type: Literal["function", "custom"]
    name: str


def taken_tools(tools: Sequence[Any], unknown: UnknownFields) -> list[Any]:
    """The tools that the client runs, without null fields. With `unknown` 'drop' the model does without others, else
    these raise InvalidRequest."""
    inside = [_with_taken(tool, unknown) for tool in tools]
    return [without_null(tool) for tool in inside if _is_taken(tool, unknown, _RUN_BY_CLIENTS)]


def _with_taken(tool: Any, unknown: UnknownFields) -> Any:
    """A namespace with those of its tools that the client runs."""
    inside = tool.get("tools") if isinstance(tool, dict) and tool.get("type") == "namespace" else None
    if not isinstance(inside, list):
        return tool
    return {**tool, "tools": [without_null(one) for one in inside if _is_taken(one, unknown, _INSIDE)]}


def _is_taken(tool: Any, unknown: UnknownFields, kinds: Sequence[str]) -> bool:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if kind in kinds or not isinstance(kind, str):
        return True
    if unknown == "drop":
        _log.warning("dropped tools of the kind %s", printable(kind))
        return False
    raise InvalidRequest(
        f"tools of the kind {kind!r} are not run here; offer functions, which the client runs, and switch this tool "
        "off in the client; or ask the operator for the setting `unknown_fields: drop`, with which the model does "
        "without such tools",
        param="tools",
    )


def without_null(fields: Any) -> Any:
    """An object without its null fields; anything else as it is."""
    return {name: value for name, value in fields.items() if value is not None} if isinstance(fields, dict) else fields
