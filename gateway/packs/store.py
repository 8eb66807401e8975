"""Packs: a scope's learned artifacts on disk, saved in one step and trusted only as a whole.

A version is written to a temporary folder and renamed; then the manifest is replaced in one step, so a reader sees
the old pack or the new one and never half of either.
"""

import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from classifiers.ood.model import OodModel
from classifiers.svm.model import Head
from gateway.errors import PackError
from gateway.packs.files import (
    DETECTORS,
    METHODS,
    Artifacts,
    DetectorName,
    Method,
    detector_of,
    files_of,
    method_of,
    read_artifacts,
    write_artifacts,
)
from gateway.packs.folders import is_enabled, list_packs, read_whole, sha256_of, verify_files, write_manifest
from gateway.packs.manifest import Manifest
from gateway.policy import Guard

__all__ = ["Pack", "load_pack", "load_packs", "save_pack"]


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """A verified pack in memory; equal only to itself, for its arrays cannot be compared."""

    manifest: Manifest
    enabled: bool
    aliases: tuple[str, ...]
    detector: Head | OodModel
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
        files = {path.name: sha256_of(path) for path in sorted(fresh.iterdir())}
        kinds = {"method": method_of(artifacts.means), "detector": detector_of(artifacts.detector)}
        complete = Manifest.model_validate({**manifest, **kinds, "version": version, "files": files})
        fresh.rename(folder / version)
    write_manifest(folder, complete)
    for old in folder.iterdir():
        if old.is_dir() and old.name.startswith("v-") and old.name != version:
            shutil.rmtree(old, ignore_errors=True)
    return complete


def load_pack(folder: Path, *, base_fingerprint: str | None = None, encoder_fingerprint: str | None = None) -> Pack:
    """Reads and verifies one pack. Raises PackError that says which part of which pack is wrong and what to do."""
    return read_whole(folder, lambda manifest: _load(folder, manifest, base_fingerprint, encoder_fingerprint))


def load_packs(root: Path, *, base_fingerprint: str | None, encoder_fingerprint: str | None) -> dict[str, Pack]:
    """All packs under a root, by scope. Raises PackError for the first bad one."""
    packs = (
        load_pack(folder, base_fingerprint=base_fingerprint, encoder_fingerprint=encoder_fingerprint)
        for folder in list_packs(root)
    )
    return {pack.manifest.scope: pack for pack in packs}


def _load(folder: Path, manifest: Manifest, base_fingerprint: str | None, encoder_fingerprint: str | None) -> Pack:
    if base_fingerprint is not None and manifest.base_fingerprint != base_fingerprint:
        raise PackError(
            f"pack {folder.name!r} was trained for another base model ({manifest.base_model}); serve that model, or "
            f"train the scope again with the model that is served"
        )
    if encoder_fingerprint is not None and manifest.encoder_fingerprint != encoder_fingerprint:
        raise PackError(f"pack {folder.name!r} was trained with another sentence encoder; train the scope again")
    method, detector = _kinds(folder.name, manifest)
    for file in files_of(method, detector):
        if file not in manifest.files:
            raise PackError(f"the manifest of pack {folder.name!r} does not list {file}; train the scope again")
    verify_files(folder, manifest)
    try:
        artifacts = read_artifacts(folder / manifest.version, method, detector)
    except (OSError, ValueError) as error:
        raise PackError(f"pack {folder.name!r} cannot be read: {error}; train the scope again") from error
    policy = artifacts.policy
    guard = Guard(manifest.scope, policy.plan, artifacts.means, policy.refusal, policy.instruction)
    return Pack(manifest, is_enabled(folder), artifacts.aliases, artifacts.detector, guard)


def _kinds(name: str, manifest: Manifest) -> tuple[Method, DetectorName]:
    """The manifest's method and detector, if there are such. Raises PackError."""
    for word, kind, known in (("method", manifest.method, METHODS), ("detector", manifest.detector, DETECTORS)):
        if kind not in known:
            raise PackError(
                f"pack {name!r} needs the {word} {kind!r}, and there are {', '.join(known)}: train the scope again, or "
                f"serve it with the version that trained it"
            )
    return cast("Method", manifest.method), cast("DetectorName", manifest.detector)
