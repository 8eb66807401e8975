"""Packs: a scope's learned artifacts on disk, trusted only as a whole.

PACKS/<scope id>/manifest.json      points at the version in force, with the SHA-256 of each of its files
PACKS/<scope id>/<version>/...      the files: safetensors and JSON
PACKS/<scope id>/disabled           present while the operator has the pack switched off

A version is written to a temporary folder and renamed; then the manifest is replaced in one step, so a reader sees
the old pack or the new one and never half of either.
"""

import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from classifiers.names.measure import AliasAlarms, TrafficKind
from classifiers.names.ordinary import Alias
from gateway.errors import PackError, SetupError
from gateway.methods.registry import method
from gateway.packs.files import Artifacts, files_of, read_artifacts, write_artifacts
from gateway.policy import Guard

__all__ = [
    "Manifest",
    "Pack",
    "has_manifest",
    "list_packs",
    "load_pack",
    "load_packs",
    "save_pack",
    "set_enabled",
]

_MANIFEST, _DISABLED = "manifest.json", "disabled"
_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Manifest(_Strict):
    """What a pack is, from what it was made, and how well it did on rows it never saw."""

    schema_version: Literal[2] = 2
    scope: _Name
    description: str
    method: _Name
    detector: _Name
    version: _Name
    created: str
    base_model: str
    base_fingerprint: _Sha256
    encoder_fingerprint: _Sha256
    recipe_sha256: _Sha256
    files: dict[_Name, _Sha256]
    calibration: dict[str, float | int | str]
    heldout: dict[str, Any]
    alias_alarms: dict[TrafficKind, AliasAlarms] = {}
    seed: int
    tools: dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """A verified pack in memory: `model` is what its detector learned. Equal only to itself, for its arrays cannot be
    compared."""

    manifest: Manifest
    enabled: bool
    aliases: tuple[str | Alias, ...]
    model: Any
    guard: Guard


def save_pack(root: Path, artifacts: Artifacts, manifest: Mapping[str, Any]) -> Manifest:
    """Writes a new version of a pack and puts it in force. `manifest` lacks what comes here: `method`, `detector`,
    `version` and `files`."""
    folder = root / str(manifest["scope"])
    folder.mkdir(parents=True, exist_ok=True)
    version = f"v-{secrets.token_hex(6)}"
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as scratch:
        fresh = Path(scratch) / version
        fresh.mkdir()
        write_artifacts(fresh, artifacts)
        files = {path.name: _sha256(path) for path in sorted(fresh.iterdir())}
        kinds = {"method": artifacts.method, "detector": artifacts.detector}
        complete = Manifest.model_validate({**manifest, **kinds, "version": version, "files": files})
        fresh.rename(folder / version)
    _replace(folder / _MANIFEST, complete.model_dump_json(indent=2).encode())
    for old in folder.iterdir():
        if old.is_dir() and old.name.startswith("v-") and old.name != version:
            shutil.rmtree(old, ignore_errors=True)
    return complete


def load_pack(folder: Path, *, base_fingerprint: str | None = None, encoder_fingerprint: str | None = None) -> Pack:
    """Reads and verifies one pack. Raises PackError that says which part of which pack is wrong and what to do."""
    while True:
        manifest = read_manifest(folder)
        try:
            return _load(folder, manifest, base_fingerprint, encoder_fingerprint)
        except PackError:
            if read_manifest(folder).version == manifest.version:
                raise  # else it was replaced while it was read: the new one is whole


def _load(folder: Path, manifest: Manifest, base_fingerprint: str | None, encoder_fingerprint: str | None) -> Pack:
    if base_fingerprint is not None and manifest.base_fingerprint != base_fingerprint:
        raise PackError(
            f"pack {folder.name!r} was trained for another base model ({manifest.base_model}); serve that model, or "
            f"train the scope again with the model that is served"
        )
    if encoder_fingerprint is not None and manifest.encoder_fingerprint != encoder_fingerprint:
        raise PackError(f"pack {folder.name!r} was trained with another sentence encoder; train the scope again")
    version = folder / manifest.version
    _verify(folder.name, version, manifest)
    artifacts = _read(folder.name, version, manifest)
    policy = artifacts.policy
    acting = method(manifest.method)
    guard = Guard(manifest.scope, policy.plan, acting, artifacts.artifact, policy.refusal, policy.instruction)
    return Pack(manifest, not (folder / _DISABLED).exists(), artifacts.aliases, artifacts.model, guard)


def _read(name: str, version: Path, manifest: Manifest) -> Artifacts:
    try:
        for file in files_of(manifest.method, manifest.detector):
            if file not in manifest.files:
                raise PackError(f"the manifest of pack {name!r} does not list {file}; train the scope again")
        return read_artifacts(version, manifest.method, manifest.detector)
    except PackError:
        raise
    except SetupError as error:
        raise PackError(f"pack {name!r}: {error}; install what brings it, or train the scope again") from error
    except (OSError, ValueError) as error:
        raise PackError(f"pack {name!r} cannot be read: {error}; train the scope again") from error


def read_manifest(folder: Path) -> Manifest:
    """The manifest alone, its files unchecked. Raises PackError."""
    try:
        content = (folder / _MANIFEST).read_bytes()
    except OSError as error:
        raise PackError(f"pack {folder.name!r} has no readable {_MANIFEST}: {error}") from error
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise PackError(f"the manifest of pack {folder.name!r} is not valid: {place} {first['msg']}") from error
    if manifest.scope != folder.name:
        raise PackError(f"the folder {folder.name!r} holds a pack of scope {manifest.scope!r}; rename it back")
    return manifest


def has_manifest(folder: Path) -> bool:
    """Whether a folder claims to be a pack."""
    return (folder / _MANIFEST).exists()


def list_packs(root: Path) -> Sequence[Path]:
    """The pack folders under a root. Raises PackError if the root cannot be read: absence must be deliberate."""
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise PackError(f"cannot read the packs folder {root}: {error}; create it or give --packs") from error


def load_packs(root: Path, *, base_fingerprint: str | None, encoder_fingerprint: str | None) -> dict[str, Pack]:
    """All packs under a root, by scope. Raises PackError for the first bad one."""
    packs = (
        load_pack(folder, base_fingerprint=base_fingerprint, encoder_fingerprint=encoder_fingerprint)
        for folder in list_packs(root)
    )
    return {pack.manifest.scope: pack for pack in packs}


def set_enabled(folder: Path, enabled: bool) -> None:
    """Switches a pack on or off; the running gateway follows. Raises PackError if there is no such pack."""
    read_manifest(folder)
    mark = folder / _DISABLED
    if enabled:
        mark.unlink(missing_ok=True)
    else:
        _replace(mark, b"")


def _verify(name: str, version: Path, manifest: Manifest) -> None:
    files = manifest.files
    try:
        present = {path.name for path in version.iterdir()}
    except OSError as error:
        raise PackError(f"pack {name!r} lacks its version folder {version.name}: {error}") from error
    unknown = present - files.keys()
    if unknown:
        raise PackError(f"pack {name!r} holds files its manifest does not list: {', '.join(sorted(unknown))}")
    for file, expected in files.items():
        if file not in present:
            raise PackError(f"pack {name!r} lacks {file}; restore it or train the scope again")
        try:
            found = _sha256(version / file)
        except OSError as error:
            raise PackError(f"pack {name!r}: {file} cannot be read: {error}; restore it") from error
        if found != expected:
            raise PackError(f"pack {name!r}: {file} was altered or cut short; restore it or train the scope again")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _replace(path: Path, content: bytes) -> None:
    """Writes a file in one step, on disk before its name is."""
    scratch = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    with scratch.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
