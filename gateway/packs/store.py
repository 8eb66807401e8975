"""Packs: a scope's learned artifacts on disk, saved in one step and trusted only as a whole.

A version is written to a temporary folder and renamed; then the manifest is replaced in one step, so a reader sees
the old pack or the new one and never half of either.
"""

import contextlib
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from classifiers.names.ordinary import Alias
from gateway.errors import PackError, SetupError
from gateway.methods.base import Method
from gateway.methods.registry import method
from gateway.packs.detectors import DetectorKind, detector_kind
from gateway.packs.files import Artifacts, files_of, read_artifacts, write_artifacts
from gateway.packs.folders import (
    is_enabled,
    list_packs,
    read_manifest,
    sha256_of,
    verify_pack,
    write_manifest,
)
from gateway.packs.manifest import Manifest
from gateway.policy import Guard

__all__ = ["Pack", "load_pack", "load_packs", "save_pack"]


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """A verified pack in memory: `model` is what its detector learned. A pack is equal only to itself, because arrays
    cannot be compared."""

    manifest: Manifest
    enabled: bool
    aliases: tuple[str | Alias, ...]
    model: Any
    guard: Guard


def save_pack(root: Path, artifacts: Artifacts, manifest: Mapping[str, Any]) -> Manifest:
    """Writes a new version of a pack and puts it in force. `manifest` has every field but `method`, `detector`,
    `version` and `files`, which this function adds."""
    folder = root / str(manifest["scope"])
    version = f"v-{secrets.token_hex(6)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as scratch:
            fresh = Path(scratch) / version
            fresh.mkdir()
            write_artifacts(fresh, artifacts)
            files = {path.name: sha256_of(path) for path in sorted(fresh.iterdir())}
            kinds = {"method": artifacts.method, "detector": artifacts.detector}
            complete = Manifest.model_validate({**manifest, **kinds, "version": version, "files": files})
            fresh.rename(folder / version)
        write_manifest(folder, complete)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(folder / version, ignore_errors=True)  # no manifest names it
        with contextlib.suppress(OSError):
            folder.rmdir()  # only if it is empty: there was no pack before
        raise PackError(f"cannot write the pack into {folder}: {error}; free space or choose another folder") from error
    for old in folder.iterdir():
        if old.is_dir() and old.name.startswith("v-") and old.name != version:
            shutil.rmtree(old, ignore_errors=True)
    return complete


def load_pack(folder: Path, *, base_fingerprint: str | None = None, encoder_fingerprint: str | None = None) -> Pack:
    """Reads and verifies one pack. Raises PackError that says which part of which pack is wrong and what to do."""
    while True:
        manifest = verify_pack(folder, base_fingerprint=base_fingerprint, encoder_fingerprint=encoder_fingerprint)
        try:
            return _load(folder, manifest)
        except PackError:
            if read_manifest(folder).version == manifest.version:
                raise  # else it was replaced while it was read: the new one is whole


def load_packs(root: Path, *, base_fingerprint: str | None, encoder_fingerprint: str | None) -> dict[str, Pack]:
    """All packs under a root, by scope. Raises PackError for the first bad one."""
    packs = (
        load_pack(folder, base_fingerprint=base_fingerprint, encoder_fingerprint=encoder_fingerprint)
        for folder in list_packs(root)
    )
    return {pack.manifest.scope: pack for pack in packs}


def _load(folder: Path, manifest: Manifest) -> Pack:
    acting, detector = _kinds(manifest)
    try:
        artifacts = read_artifacts(folder / manifest.version, acting, detector)
    except (OSError, ValueError) as error:
        raise PackError(f"pack {folder.name!r} cannot be read: {error}; train the scope again") from error
    policy = artifacts.policy
    guard = Guard(manifest.scope, policy.plan, acting, artifacts.artifact, policy.refusal, policy.instruction)
    return Pack(manifest, is_enabled(folder), artifacts.aliases, artifacts.model, guard)


def _kinds(manifest: Manifest) -> tuple[Method, DetectorKind]:
    """The pack's method and detector, if they are installed and the manifest lists their files."""
    name = manifest.scope
    try:
        acting, detector = method(manifest.method), detector_kind(manifest.detector)
    except SetupError as error:
        raise PackError(f"pack {name!r}: {error}; install what brings it, or train the scope again") from error
    for file in files_of(acting, detector):
        if file not in manifest.files:
            raise PackError(f"the manifest of pack {name!r} does not list {file}; train the scope again")
    return acting, detector
