"""YAML read strictly: a doubled key is refused, and where texts are expected `Yes` and `1984` stay texts."""

from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.error import MarkedYAMLError
from yaml.nodes import MappingNode, ScalarNode, SequenceNode

from gateway.errors import SetupError
from gateway.files.numbers import TOO_LARGE
from gateway.files.text import read_text

__all__ = ["read_yaml"]

_NULL, _MERGE, _TEXT = "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge", "tag:yaml.org,2002:str"


def read_yaml(path: Path, *, what: str = "", texts: bool = False) -> Any:
    """The content of a YAML file: plain values, nothing that runs. Raises SetupError, which names the
    file, `what` it is, and the line.

    With `texts` every plain value is the text that stands there, in lists `~` and `null` too; an empty or null value
    of a key stays None.
    """
    text = read_text(path, what=what)
    named = f"{what} {path}".lstrip()
    try:
        return yaml.load(text, _Texts if texts else _Strict)  # noqa: S506 (both are safe loaders)
    except yaml.YAMLError as error:
        raise SetupError(f"{named} is not valid YAML: {_problem(error)}") from error
    except (ValueError, RecursionError) as error:  # 2001-99-99 is a date to YAML
        raise SetupError(
            f"{path} is not valid YAML: {error}; quote a text that YAML reads as something else"
        ) from error


def _problem(error: yaml.YAMLError) -> str:
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem or error.context}"
    return " ".join(str(error).split())


class _Strict(yaml.SafeLoader):
    """A safe loader that refuses a key that stands twice in one mapping. A key that `<<` adds may be overridden."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._checked: set[int] = set()  # `<<` adds keys to a node that was checked

    def flatten_mapping(self, node: MappingNode) -> None:
        if id(node) not in self._checked:
            self._checked.add(id(node))
            self._refuse_doubled(node)
        super().flatten_mapping(node)

    def _refuse_doubled(self, node: MappingNode) -> None:
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            if not isinstance(key, ScalarNode):
                continue
            name = _MERGE if key.tag == _MERGE else self.construct_object(key)
            if name in lines:
                problem = f"the key {key.value!r} stands twice, first in line {lines[name]}; take one out"
                raise ConstructorError(None, None, problem, key.start_mark)
            lines[name] = key.start_mark.line + 1


def _whole_number(loader: yaml.SafeLoader, node: ScalarNode) -> int:
    try:
        found: int = loader.construct_yaml_int(node)
    except ValueError:  # Python reads no number of thousands of digits
        found = 1 << 64
    if found >= 1 << 64 or found < -(1 << 63):
        raise ConstructorError(None, None, f"it holds {TOO_LARGE}; quote it if it is a text", node.start_mark)
    return found


_Strict.add_constructor("tag:yaml.org,2002:int", _whole_number)

_NULLS_ALONE = {
    first: [pair for pair in pairs if pair[0] in (_NULL, _MERGE)]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Texts(_Strict):
    """Plain values stay the texts that they are."""

    yaml_implicit_resolvers = _NULLS_ALONE

    def construct_sequence(self, node: SequenceNode, deep: bool = False) -> list[Any]:
        for item in node.value:
            if isinstance(item, ScalarNode) and item.style is None and item.tag in (_NULL, _MERGE):
                item.tag = _TEXT
        return super().construct_sequence(node, deep)
