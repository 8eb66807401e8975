"""Functions in namespaces, as agents offer those of each server of tools: to the model each is a function of its own.

Source: OpenAI's API reference, "Responses", tools of the type `namespace`.
"""

from collections.abc import Iterable
from typing import Any

from gateway.openai_format.responses.custom_tools import as_function

__all__ = ["flat_name", "flat_tools", "places_of"]

_Json = dict[str, Any]


def flat_name(name: str, namespace: str | None) -> str:
    """What the model calls a function."""
    return f"{namespace}__{name}" if namespace else name


def flat_tools(tools: Iterable[_Json]) -> list[_Json]:
    """All functions, each with the name that the model calls it by. A custom tool is one, too."""
    return [{**tool, "name": flat_name(tool["name"], namespace)} for namespace, tool in _functions(tools)]


def places_of(tools: Iterable[_Json]) -> dict[str, _Json]:
    """By the name that the model calls it by: how the client knows a function that is in a namespace."""
    return {
        flat_name(tool["name"], namespace): {"name": tool["name"], "namespace": namespace}
        for namespace, tool in _functions(tools)
        if namespace
    }


def _functions(tools: Iterable[_Json]) -> Iterable[tuple[str | None, _Json]]:
    for tool in tools:
        if tool["type"] == "namespace":
            yield from ((tool["name"], one) for one in tool["tools"])
        else:
            yield None, as_function(tool) if tool["type"] == "custom" else tool
