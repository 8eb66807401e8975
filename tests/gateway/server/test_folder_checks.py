"""What is wrong with settings is told before anything is loaded."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness import ROOT

from gateway.errors import SetupError
from gateway.server.checks import check_folders
from gateway.settings import load_settings

ARM = {"name": "b", "share": 0.5, "model": "/nowhere/arm"}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"packs": "/nowhere/packs"}, "cannot read the packs folder /nowhere/packs: it is not there; create it"),
        ({"packs": __file__}, "cannot read the packs folder .*: Not a directory; give --packs a folder"),
        ({"model": "/nowhere/model"}, "no folder or GGUF file '/nowhere/model'"),
        ({"encoder": __file__}, "is a file; give the folder"),
        ({"language_encoder": "./nowhere"}, r"no folder or GGUF file '\./nowhere'"),
        ({"ab_arms": [ARM]}, "arm 'b': no folder or GGUF file '/nowhere/arm'"),
    ],
    ids=str,
)
def test_a_folder_that_is_none_is_named(tmp_path: Path, wrong: dict[str, Any], words: str) -> None:
    fine: dict[str, Any] = {"packs": tmp_path}
    check_folders(load_settings(None, fine))
    with pytest.raises(SetupError, match=words):
        check_folders(load_settings(None, fine | wrong))


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"UNRECALL_PACKS": "/nowhere"}, "packs folder /nowhere"),
        ({"UNRECALL_PACKS": "/nowhere", "UNRECALL_WORKERS": "2"}, "packs folder /nowhere"),
        ({"UNRECALL_PACKS": ".", "UNRECALL_AUDIT_FILE": "/nowhere/a.jsonl"}, "cannot write the audit log"),
        ({"UNRECALL_PACKS": ".", "UNRECALL_HOST": "no host name"}, "cannot listen on"),
    ],
    ids=str,
)
def test_a_server_that_cannot_start_loads_no_torch(tmp_path: Path, variables: dict[str, str], words: str) -> None:
    script = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
os.environ |= {variables!r} | {{"UNRECALL_PORT": "0"}}
from gateway.cli.serve import serve
from gateway.errors import SetupError
try:
    serve(None, None, None, None, None, None, None, None)
except SetupError as error:
    print(error, [name for name in ("torch", "transformers") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert words in done.stdout
    assert done.stdout.rstrip().endswith(" []")
