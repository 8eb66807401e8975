"""What public docstrings must say, and that their examples run."""

import ast
import doctest
from collections.abc import Iterator
from importlib import import_module
from typing import NamedTuple

import pytest
from test_layout import PRODUCT, trees

SEAMS = (
    "classifiers.types",
    "gateway.backends.base",
    "gateway.core",
    "gateway.methods.base",
    "gateway.telemetry.taps",
)
FEW = 3


class Function(NamedTuple):
    """A public function, or a public method or `__init__` of a public class."""

    file: str
    name: str
    parameters: tuple[str, ...]
    docstring: str

    @property
    def undescribed(self) -> list[str]:
        """Parameters that its `Args:` block leaves out, where it takes more than a few. One that says 'See ...' has
        them described by the protocol that it names."""
        if len(self.parameters) <= FEW or self.docstring.startswith("See "):
            return []
        described = self.docstring.partition("Args:\n")[2]
        return [name for name in self.parameters if f"    {name}: " not in described]


def functions(file: str, tree: ast.Module) -> Iterator[Function]:
    public = exported(tree)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in public:
            yield described(file, node.name, node)
        elif isinstance(node, ast.ClassDef) and node.name in public:
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and is_public(inner.name):
                    yield described(file, f"{node.name}.{inner.name}", inner)


def exported(tree: ast.Module) -> set[str]:
    """The names in a module's `__all__`."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def is_public(method: str) -> bool:
    return method == "__init__" or not method.startswith("_")


def described(file: str, name: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Function:
    given = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
    names = tuple(one.arg for one in given if one.arg not in ("self", "cls"))
    return Function(file, name, names, ast.get_docstring(node) or "")


def test_the_rule_tells_described_parameters_from_others() -> None:
    code = (
        '__all__ = ["f"]\ndef f(a, b, c, d):\n    """Does it.\n\n    Args:\n        a: one.\n        b: two.\n    """'
    )
    (found,) = functions("f.py", ast.parse(code))
    assert found.undescribed == ["c", "d"]


@pytest.mark.parametrize("package", PRODUCT)
def test_parameters_of_public_functions_are_described(package: str) -> None:
    """Commands are left out: each of their options has its own help, and the docstring is what --help prints."""
    every = [one for file, tree in trees(package) if "/cli/" not in file for one in functions(file, tree)]
    wrong = {f"{one.file}: {one.name}": one.undescribed for one in every if one.undescribed}
    assert wrong == {}, f"a public function with more than {FEW} parameters needs an 'Args:' block with each of them"


@pytest.mark.parametrize("module", SEAMS)
def test_the_examples_of_the_seams_run(module: str) -> None:
    failed, tried = doctest.testmod(import_module(module))
    assert tried, f"{module} has no example"
    assert not failed
