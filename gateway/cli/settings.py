"""`unrecall settings`: a page that names every setting of the server. docs/settings.md is this page."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

__all__ = ["page", "settings"]

_HEAD = """# Settings

`unrecall settings` prints this page. A setting of `unrecall serve` can stand in three places: in the YAML file that
`--config` names, in an environment variable, and for some settings in an option (`unrecall serve --help`). The option
wins over the variable, and the variable wins over the file. The gateway refuses an unknown setting.

The variable of `port` is `UNRECALL_PORT`, the variable of `limits.messages` is `UNRECALL_LIMITS__MESSAGES`. In a
variable a list is JSON, as in `UNRECALL_API_KEYS='["first", "second"]'`. Only
`UNRECALL_UPSTREAM` is not JSON: it takes URLs with commas between them. `UNRECALL_CACHE` is no setting: it names the
folder of downloaded models, `~/.cache/unrecall` if it is unset.

A description that begins with `embedded:` or `vllm:` is about that backend alone. A description that begins with
`split:` or `shadow:` is about that `ab_mode` alone ([comparing arms online](online-ab.md)).

| setting | values | default | meaning |
| --- | --- | --- | --- |
"""
_TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


def settings() -> None:
    """Print every setting of the server with its values, its default and its meaning (Markdown)."""
    print(page(), end="")


def page() -> str:
    """The whole page, with a row for each setting, nested ones included."""
    from gateway.settings import Settings

    return _HEAD + "".join(f"| {' | '.join(row)} |\n" for row in _rows(Settings, ""))


def _rows(model: "type[BaseModel]", prefix: str) -> Iterator[tuple[str, str, str, str]]:
    """(setting, values, default, meaning) of each field; a nested model's fields follow the field that holds it."""
    schemas = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        setting, meaning = f"{prefix}{name}", field.description or ""
        inner = _model_in(field.annotation)
        if inner is None:
            yield f"`{setting}`", _values(schemas[name]), _default(field), meaning
        elif schemas[name].get("type") == "array":
            yield f"`{setting}`", "list of the following", _default(field), meaning
            yield from _rows(inner, f"{setting}[].")
        else:
            yield f"`{setting}`", "the following", "the following", meaning
            yield from _rows(inner, f"{setting}.")


def _model_in(annotation: Any) -> "type[BaseModel] | None":
    """The settings inside a setting: Limits in Limits, ArmSettings in tuple[ArmSettings, ...]."""
    models: list[type[BaseModel]] = [
        kind for kind in (annotation, *get_args(annotation)) if hasattr(kind, "model_fields")
    ]
    return models[0] if models else None


def _values(schema: dict[str, Any]) -> str:
    """What a field takes, from its JSON schema."""
    if options := schema.get("enum"):
        return ", ".join(f"`{option}`" for option in options)
    if options := schema.get("anyOf"):
        return ", or ".join(_values(option) for option in options if option.get("type") != "null")
    if schema["type"] == "array":
        return f"list: {_values(schema['items'])}"
    bounds = [f"{words} {schema[bound]}" for bound, words in _BOUNDS.items() if bound in schema]
    kind = "path" if schema.get("format") == "path" else _TYPES[schema["type"]]
    return ", ".join([kind, *bounds])


def _default(field: "FieldInfo") -> str:
    value = field.get_default(call_default_factory=True)
    if field.is_required():
        return "required"
    if value is None:
        return "unset"
    if value in ((), []):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple | list):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
