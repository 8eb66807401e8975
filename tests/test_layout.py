"""The floors of the house: who may import whom, and what no file may do."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PRODUCT = ("classifiers", "corruption", "adapters", "gateway")
GROUND = ("classifiers", "corruption", "adapters")
WEB = {"fastapi", "starlette", "uvicorn", "httpx"}


def trees(package: str) -> Iterator[tuple[str, ast.Module]]:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files, f"{package} holds no modules: is this test looking in the right place?"
    for file in files:
        yield str(file.relative_to(ROOT)), ast.parse(file.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> set[str]:
    """Top-level packages that a module imports anywhere, functions and type-checking blocks included."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the floor they reach"
            found.add((node.module or "").split(".")[0])
    return found


def called(tree: ast.Module) -> set[str]:
    """Dotted names of everything called: 'torch.load' in torch.load(path)."""
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def test_the_scanner_sees_imports_and_calls() -> None:
    tree = ast.parse("def f():\n    from gateway.core import Plan\n    import torch\n    return torch.load('x')")
    assert imported(tree) == {"gateway", "torch"}
    assert called(tree) == {"torch.load"}


@pytest.mark.parametrize("package", GROUND)
def test_ground_floor_packages_stand_alone(package: str) -> None:
    above = ({*GROUND, "gateway", "benchmarks", "tests"} | WEB) - {package}
    wrong = {file: imported(tree) & above for file, tree in trees(package) if imported(tree) & above}
    assert wrong == {}


def test_the_gateway_never_reaches_up() -> None:
    above = {"benchmarks", "tests", "pytest", "hypothesis"}
    wrong = {file: imported(tree) & above for file, tree in trees("gateway") if imported(tree) & above}
    assert wrong == {}


@pytest.mark.parametrize("package", PRODUCT)
def test_nothing_unpickles(package: str) -> None:
    """Reading a pickle runs what it holds. Writing a tensor for vLLM's prompt_embeds is the one use of torch.save."""
    modules = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "marshal", "shelve"}
    calls = {"torch.load", "np.load", "numpy.load", "eval", "exec"}
    for file, tree in trees(package):
        assert not imported(tree) & modules, file
        assert not called(tree) & calls, file
        if "torch.save" in called(tree):
            assert file == "gateway/backends/vllm/bodies.py"


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_the_readme_names_the_commands_and_the_makefile_has_them(command: str) -> None:
    assert command in (ROOT / "README.md").read_text(encoding="utf-8")
    target = command.removeprefix("make ")
    assert f"\n{target}:" in "\n" + (ROOT / "Makefile").read_text(encoding="utf-8")
