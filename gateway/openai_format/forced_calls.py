"""Calls that a model must make, decoded by the schema of their arguments.

vLLM keeps to the schema of a tool that says `strict`, and lets the arguments of another be any JSON: then the answer
may be no call, or an error. A flagged request whose prompt goes as embeddings is always decoded by the schema. So that
failures do not tell one from the other, every request that forces a call asks for the schema, flagged or not.

Source: vLLM 0.32, its structural tags of tools.
"""

from collections.abc import Callable
from typing import Any

__all__ = ["forced_by_schema", "forced_by_schema_in_messages"]

_Json = dict[str, Any]
_ANY_OBJECT = {"type": "object"}


def forced_by_schema(chat: _Json) -> _Json:
    """A chat's body; the same object where it forces no call, or says `strict` itself. It need not be valid."""
    choice = chat.get("tool_choice")
    if choice == "required":
        return _changed(chat, _strict)
    name = _dict(_dict(choice).get("function")).get("name")
    if name is None:
        return chat
    return _changed(chat, lambda tool: _strict(tool) if tool["function"]["name"] == name else tool)


def forced_by_schema_in_messages(body: _Json) -> _Json:
    """The same of a body in Anthropic's format."""
    choice = _dict(body.get("tool_choice"))
    if choice.get("type") not in ("any", "tool"):
        return body
    name = choice.get("name") if choice["type"] == "tool" else None

    def strict(tool: _Json) -> _Json:
        return {**tool, "strict": True} if name in (None, tool["name"]) and tool.get("strict") is not True else tool

    return _changed(body, strict)


def _changed(body: _Json, change: Callable[[_Json], _Json]) -> _Json:
    tools = body.get("tools")
    if not isinstance(tools, list):
        return body
    try:
        changed = [change(tool) for tool in tools]
    except (KeyError, TypeError, AttributeError):  # whoever reads it next says what is wrong with it
        return body
    return body if all(new is old for new, old in zip(changed, tools, strict=True)) else {**body, "tools": changed}


def _strict(tool: _Json) -> _Json:
    function = tool["function"]
    if function.get("strict") is True and function.get("parameters"):
        return tool
    arguments = function.get("parameters") or _ANY_OBJECT
    return {**tool, "function": {**function, "parameters": arguments, "strict": True}}


def _dict(value: Any) -> _Json:
    return value if isinstance(value, dict) else {}
