"""What the system says of a file is told in words, not as Python writes it ([Errno 2] No such file ...: '/path')."""

import ast
from pathlib import Path

import pytest

from gateway.errors import reason_of

ROOT = Path(__file__).parent.parent
_OF_THE_SYSTEM = {"OSError", "FileNotFoundError", "PermissionError", "IsADirectoryError", "NotADirectoryError"}


def raw_errors(source: str) -> list[int]:
    """The lines where the handler of an error of the system puts that error into a text as it is."""
    found = []
    for handler in ast.walk(ast.parse(source)):
        if not isinstance(handler, ast.ExceptHandler) or not handler.name or handler.type is None:
            continue
        if _OF_THE_SYSTEM.isdisjoint(node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)):
            continue
        found += [
            node.lineno
            for node in ast.walk(handler)
            if isinstance(node, ast.FormattedValue)
            and isinstance(node.value, ast.Name)
            and node.value.id == handler.name
        ]
    return found


@pytest.mark.parametrize("package", ["gateway", "benchmarks"])
def test_no_message_holds_an_error_of_the_system_as_python_writes_it(package: str) -> None:
    places = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for line in raw_errors(path.read_text(encoding="utf-8"))
    ]
    assert not places, f"say it with gateway.errors.reason_of: {places}"


@pytest.mark.parametrize("kinds", ["OSError", "(ValueError, OSError)", "FileNotFoundError"])
def test_such_a_message_is_found(kinds: str) -> None:
    assert raw_errors(f"try:\n    f()\nexcept {kinds} as e:\n    raise A(f'x: {{e}}')") == [4]
    assert not raw_errors(f"try:\n    f()\nexcept {kinds} as e:\n    raise A(f'x: {{reason_of(e)}}')")


def test_the_reason_has_neither_number_nor_path(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Errno") as error:
        (tmp_path / "nothing").read_bytes()
    assert reason_of(error.value) == "No such file or directory"
    assert reason_of(error.value, with_file=True) == f"No such file or directory: {tmp_path / 'nothing'}"
    assert reason_of(ValueError("no gate")) == "no gate"
