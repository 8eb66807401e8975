"""Parts of a standard module put in place for one module alone: a clock or a disk of the whole process would change
under servers that other tests left running in threads."""

from types import ModuleType, SimpleNamespace
from typing import Any


def with_parts(module: ModuleType, **parts: Any) -> Any:
    """The module, with other parts under some names."""
    return SimpleNamespace(**(vars(module) | parts))
