"""Keys and tokens that an operator gives: none is empty, and none is what no client can send."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr

__all__ = ["EMPTY", "Key", "refuse_empty"]

EMPTY = "is given and empty, so that it would protect nothing: give a value, or take the setting out"


def refuse_empty(given: Any, names: Iterable[str]) -> Any:
    """What is given, if none of these settings of security is empty: the operator would believe in a protection that
    is not there. Raises ValueError."""
    for name in names if isinstance(given, dict) else ():
        value = given.get(name, "not given")
        if value is None or value in ([], ()) or (isinstance(value, str) and not value.strip()):
            raise ValueError(f"{name} {EMPTY}")
    return given


def _sound(key: SecretStr) -> SecretStr:
    if key.get_secret_value().strip() != key.get_secret_value():
        raise ValueError("a key has white space around it, which no client can send; take it out")
    return key


Key = Annotated[SecretStr, Field(min_length=1), AfterValidator(_sound)]
