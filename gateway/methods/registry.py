"""The methods by name. A method is loaded at its first use, so that a list of names costs nothing."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from gateway.errors import SetupError

if TYPE_CHECKING:
    from gateway.methods.base import Method

__all__ = ["ENTRY_POINTS", "method", "method_names", "register"]

ENTRY_POINTS = "unrecall.methods"
_places: dict[str, str] = {
    "corruption": "gateway.methods.corruption:CorruptionMethod",
    "soft-prompt": "gateway.methods.soft_prompt:SoftPromptMethod",
    "lora": "gateway.methods.lora:LoraMethod",
}


def register(name: str, place: str) -> None:
    """Adds a method: `place` is 'package.module:Class'. An installed package may also name its methods in the entry
    points `unrecall.methods`. Raises ValueError if another method has the name."""
    if _places.get(name, place) != place:
        raise ValueError(f"a method is called {name!r} already: choose another name")
    _places[name] = place


def method_names() -> tuple[str, ...]:
    """Every method's name, without loading one."""
    return tuple(dict.fromkeys([*_places, *_installed()]))


def method(name: str) -> "Method":
    """The method of that name. Raises SetupError, which names the nearest one."""
    place = _places.get(name) or _installed().get(name)
    if place is None:
        raise SetupError(f"unknown method {name!r}; {_suggestion(name, method_names())}")
    try:
        return _loaded(place)
    except (ImportError, AttributeError) as error:
        raise SetupError(
            f"the method {name!r} is registered as {place}, which cannot be loaded ({error}); install its package"
        ) from error


@cache
def _loaded(place: str) -> "Method":
    module, _, attribute = place.partition(":")
    return cast("Callable[[], Method]", getattr(import_module(module), attribute))()


@cache
def _installed() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}


def _suggestion(name: str, names: Iterable[str]) -> str:
    near = get_close_matches(name, list(names), n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
