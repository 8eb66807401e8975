"""`make check` scans the code, and its audit of dependencies does not fail where there is no network."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from harness import ROOT


def test_the_code_scanners_rules_are_on_for_the_product() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert [rule for rule in lint["ignore"] if rule.startswith("S") and rule != "S311" and rule[1:].isdigit()] == []
    assert set(lint["per-file-ignores"]) <= {"tests/**", "benchmarks/**"}


def test_without_a_network_the_audit_is_skipped_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import socket\ndef no(*_): raise OSError('no network')\nsocket.create_connection = no\n"
    )
    audit = [str(ROOT / "scripts/audit-dependencies.sh"), str(Path(sys.executable).parent), "constraints.txt"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(audit, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert ended.returncode == 0
    assert "SKIPPED" in ended.stdout
