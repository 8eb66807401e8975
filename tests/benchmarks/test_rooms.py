"""Who may import whom inside benchmarks: product and attacking stand on compare, all on attacks, none goes back."""

import ast
from pathlib import Path

import pytest
from harness import ROOT

MAY_IMPORT = {
    "attacks": {"items", "names"},
    "attacking": {"attacks", "compare", "flags", "items", "names", "printing", "record", "serving", "templated"},
    "compare": {"attacks", "items", "names", "record", "serving", "templated"},
    "product": {"attacks", "compare", "flags", "items", "names", "printing", "record", "serving"},
}


def imported(file: Path) -> set[str]:
    """The rooms of benchmarks that a module imports: "attacks" for benchmarks.attacks.registry."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "benchmarks":
            names |= {f"benchmarks.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.split(".")[1] for name in names if name.startswith("benchmarks.")}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_no_room_reaches_up(room: str) -> None:
    files = sorted((ROOT / "benchmarks" / room).rglob("*.py"))
    assert files
    reached = {str(file.relative_to(ROOT)): imported(file) - {room} - MAY_IMPORT[room] for file in files}
    assert {file: rooms for file, rooms in reached.items() if rooms} == {}


def test_files_are_short_enough_to_read() -> None:
    lengths = {str(file): len(file.read_text("utf-8").splitlines()) for file in (ROOT / "benchmarks").rglob("*.py")}
    assert {file: lines for file, lines in lengths.items() if lines > 400} == {}
