"""What is wrong with settings, in words that say what to write instead."""

import json
import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from gateway.files.numbers import TOO_LARGE

__all__ = ["mended", "none_of", "what_is_wrong"]

# Settings that are not one word, as a settings file has them and as a variable has them.
_EXAMPLES: Mapping[str, tuple[str, str]] = {
    "api_keys": ("[first, second]", '["first", "second"]'),
    "adapter_weights": ("[0.5, 1.0]", "[0.5, 1.0]"),
    "ab_arms": ("[{name: b, ...}]", '[{"name": "b", ...}]'),
    "limits": ("{messages: 100}", '{"messages": 100}'),
}


def mended(unknown: str, names: Collection[str], *, prefix: str, renamed: Mapping[str, str]) -> str:
    """What to do with the name of a setting that there is not.

    Args:
        unknown: the name that was given.
        names: of all settings.
        prefix: of the variables.
        renamed: old names of settings, and their new ones.
    """
    if new := renamed.get(unknown):
        return f"its name is {new} now"
    near = get_close_matches(unknown.lower().replace("-", "_"), names, n=1, cutoff=0.75)
    if not near:
        return "remove or correct it; `unrecall settings` lists them all"
    how = f" Give it as {_example(near[0], prefix)}" if near[0] in _EXAMPLES else ""
    return f"did you mean {near[0]}?{how}"


def none_of(value: Any, allowed: str) -> str:
    """What to write in place of a value that is none of those allowed; these are in quotes, as pydantic lists them."""
    near = get_close_matches(str(value).lower(), re.findall(r"'(.+?)'", allowed), n=1)
    return f"{value!r} is none of {allowed}; {f'did you mean {near[0]}?' if near else 'write one of them'}"


def what_is_wrong(
    error: ValidationError | SettingsError, names: Collection[str], *, prefix: str, renamed: Mapping[str, str]
) -> str:
    """What is wrong with each setting, and what to do.

    Args:
        error: of reading the settings.
        names: of all settings.
        prefix: of the variables.
        renamed: old names of settings, and their new ones.
    """
    if isinstance(error, SettingsError):
        return _unreadable(error, prefix)
    return "; ".join(
        f"there is no setting {_place(one)!r}; {mended(_place(one), names, prefix=prefix, renamed=renamed)}"
        if one["type"] == "extra_forbidden"
        else _wrong(one, prefix)
        for one in error.errors()
    )


def _unreadable(error: SettingsError, prefix: str) -> str:
    """A variable that should be JSON."""
    named = re.search(r'field "(\w+)"', str(error))
    name, cause = named[1] if named else "", error.__cause__
    why = "it is no JSON" if isinstance(cause, json.JSONDecodeError) or not cause else str(cause)
    example = _EXAMPLES.get(name, ("", "[...]"))[1]
    return f"{name}: the environment variable cannot be read: {why}; write {prefix}{name.upper()}='{example}'"


def _place(problem: ErrorDetails) -> str:
    return ".".join(str(part) for part in problem["loc"])


def _wrong(problem: ErrorDetails, prefix: str) -> str:
    name, kind = _place(problem), problem["type"]
    if kind in ("tuple_type", "list_type"):
        how = f", as in {_example(name, prefix)}" if name in _EXAMPLES else ""
        return f"{name}: give a list{how}"
    if kind in ("model_type", "dict_type"):
        return f"{name}: give a mapping of settings"
    if kind == "int_parsing_size":
        return f"{name} is {TOO_LARGE}"
    if kind == "literal_error":
        return f"{name}: {none_of(problem['input'], problem['ctx']['expected'])}"
    message = problem["msg"].removeprefix("Value error, ")
    if kind == "string_type":
        message = "it must be a text; " + ("quote it" if isinstance(problem["input"], int | float) else "give one text")
    return f"{name}: {message}" if name else message


def _example(name: str, prefix: str) -> str:
    in_file, in_variable = _EXAMPLES[name]
    return f"`{name}: {in_file}` in the settings file, or {prefix}{name.upper()}='{in_variable}' in the environment"
