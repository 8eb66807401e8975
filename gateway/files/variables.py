"""Settings in environment variables, read as strictly as those in files."""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from gateway.errors import SetupError
from gateway.files.rows import strict_json

__all__ = ["StrictVariables", "check_variables"]


class StrictVariables(EnvSettingsSource):
    """The environment; JSON in it is strict, so that no key is doubled in silence."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            decoded = super().decode_complex_value(field_name, field, value)
        except ValueError:  # strict JSON says it in words of ours
            return strict_json(value)
        return decoded if decoded is value else strict_json(value)


def check_variables(
    prefix: str,
    settings: Iterable[str],
    *,
    others: Collection[str],
    never_empty: Collection[str],
    why: str,
    mend: Callable[[str], str],
) -> None:
    """Refuses a variable that is no setting, one in two spellings, and an empty one where that would open a door.
    Raises SetupError.

    Args:
        prefix: of every variable, in capitals.
        settings: the names of the settings.
        others: variables with the prefix that are no settings.
        never_empty: settings that must not be empty.
        why: says what is wrong with an empty one.
        mend: says what to do with the name of an unknown setting.
    """
    known = {f"{prefix}{name}".upper() for name in settings}
    seen: dict[str, str] = {}
    for variable, value in os.environ.items():
        name = variable.upper()
        if not name.startswith(prefix) or name in others:
            continue
        if name.split("__")[0] not in known:
            unknown = name.removeprefix(prefix).lower()
            raise SetupError(f"the environment variable {variable} is no setting; {mend(unknown)}")
        if name in seen:
            raise SetupError(
                f"the environment variables {seen[name]} and {variable} are one setting; unset one of them"
            )
        seen[name] = variable
        if name.removeprefix(prefix).lower() in never_empty and value.strip() in ("", "null"):
            raise SetupError(f"the environment variable {variable} {why} (unset the variable)")
    for name, variable in seen.items():
        _refuse_in_two_forms(name, variable, seen)


def _refuse_in_two_forms(name: str, variable: str, seen: Mapping[str, str]) -> None:
    whole, _, inner = name.partition("__")
    if not inner or whole not in seen:
        return
    try:
        stated = strict_json(os.environ[seen[whole]])
    except ValueError:
        return  # told when the settings are read
    if isinstance(stated, dict) and inner.split("__")[0].lower() in stated:
        raise SetupError(f"the environment variables {seen[whole]} and {variable} give one setting twice; unset one")
