"""Custom tools, whose input is plain text: to the model each is a function with one text, as vLLM shows it.

Source: OpenAI's API reference, "Responses", tools of the type `custom`; vLLM 0.32.
"""

import json
from collections.abc import Iterable
from typing import Any

import orjson

__all__ = ["arguments_of", "as_function", "customs_in", "input_of"]

_Json = dict[str, Any]
_INPUT = "input"


def as_function(tool: _Json) -> _Json:
    """The function that the model is shown. A grammar stands in its description: no model is held to it."""
    format_ = tool.get("format") or {}
    says = [tool.get("description"), "Its input is plain text."]
    if format_.get("type") == "grammar":
        says[1] = f"Its input is plain text of this {format_.get('syntax')} grammar:\n{format_.get('definition')}"
    parameters = {
        "type": "object",
        "properties": {_INPUT: {"type": "string"}},
        "required": [_INPUT],
        "additionalProperties": False,
    }
    description = "\n".join(one for one in says if one)
    return {"type": "function", "name": tool["name"], "description": description, "parameters": parameters}


def customs_in(tools: Iterable[_Json]) -> frozenset[str]:
    """The names of the custom tools."""
    return frozenset(tool["name"] for tool in tools if tool["type"] == "custom")


def arguments_of(text: str) -> str:
    """A custom tool's input as the arguments of the function."""
    return json.dumps({_INPUT: text}, ensure_ascii=False)


def input_of(arguments: str) -> str:
    """The text of the function's arguments; the arguments themselves if the model wrote others."""
    try:
        found = orjson.loads(arguments)
    except ValueError:
        return arguments
    text = found.get(_INPUT) if isinstance(found, dict) else None
    return text if isinstance(text, str) else arguments
