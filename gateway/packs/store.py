"""Packs: a scope's learned artifacts on disk, saved in one step and trusted only as a whole.

A version is written to a temporary folder and renamed; then the manifest is replaced in one step, so a reader sees
the old pack or the new one and never half of either.
"""

import contextlib
import functools
import logging
import secrets
import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from classifiers.languages.model import MultilingualHead
from classifiers.leaks.model import LeakModel
from classifiers.leaks.watch import Watched
from classifiers.names.ordinary import Alias
from gateway.errors import PackError, SetupError, reason_of
from gateway.methods.base import Method, MethodArtifact
from gateway.methods.registry import method
from gateway.packs.artifacts import ArtifactCache, StoredArtifact
from gateway.packs.changes import note_change
from gateway.packs.detectors import GATE_FILE, LANGUAGES_FILE, DetectorKind, detector_kind
from gateway.packs.files import LEAKS_FILE, Artifacts, files_of, read_gate, write_artifacts
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

_log = logging.getLogger("unrecall.packs")
_READERS = 2  # more would wait for the interpreter more than for the disk


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """A verified pack in memory. What its `detector` and its method learned may stay on disk until somebody asks for
    it. `read_languages` gives what reads other languages than English with the encoder of the fingerprint
    `language_encoder`; earlier packs have neither. A pack is equal only to itself: arrays cannot be compared."""

    version: str
    enabled: bool
    aliases: tuple[str | Alias, ...]
    detector: str
    read_model: Callable[[], Any]
    guard: Guard
    watched: Watched
    language_encoder: str | None = None
    read_languages: Callable[[], MultilingualHead] | None = None

    @property
    def model(self) -> Any:
        """What the pack's detector learned. Slow. Raises PackError if its file cannot be read."""
        return self.read_model()

    @property
    def languages(self) -> MultilingualHead | None:
        """What reads other languages than English. Slow. Raises PackError if its file cannot be read."""
        return self.read_languages() if self.read_languages else None

    @property
    def artifact(self) -> MethodArtifact:
        """What the pack's method learned. Slow. Raises PackError if its files cannot be read."""
        return self.guard.source.load() if self.guard.source else self.guard.artifact

    @property
    def leaks(self) -> LeakModel:
        """What an answer must not say beside the names. Slow. Raises PackError if its file cannot be read."""
        return self.watched.read_model() if self.watched.read_model else LeakModel.empty()


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
        raise PackError(
            f"cannot write the pack into {folder}: {reason_of(error)}; free space or choose another folder"
        ) from error
    for old in folder.iterdir():
        if old.is_dir() and old.name.startswith("v-") and old.name != version:
            shutil.rmtree(old, ignore_errors=True)
    note_change(root, complete.scope)
    return complete


def load_pack(
    folder: Path,
    *,
    base_fingerprint: str | None = None,
    encoder_fingerprint: str | None = None,
    cache: ArtifactCache | None = None,
    whole: bool = True,
) -> Pack:
    """Reads and verifies one pack. Raises PackError that says which part of which pack is wrong and what to do.

    Args:
        folder: of the pack.
        base_fingerprint: of the base model; None takes any.
        encoder_fingerprint: of the encoder, likewise.
        cache: keeps what the method learned, once somebody has asked for it. None: a cache of the pack's own.
        whole: False checks the hashes of the gate's files alone, and reads what the detector learned when somebody asks
            for it. The method's files are checked when they are read.
    """
    cache = cache or ArtifactCache()
    while True:
        manifest = verify_pack(
            folder, base_fingerprint=base_fingerprint, encoder_fingerprint=encoder_fingerprint, whole=whole
        )
        try:
            return _load(folder, manifest, cache, whole=whole)
        except PackError:
            if read_manifest(folder).version == manifest.version:
                raise  # else it was replaced while it was read: the new one is whole


def load_packs(
    root: Path,
    *,
    base_fingerprint: str | None,
    encoder_fingerprint: str | None,
    cache: ArtifactCache | None = None,
) -> dict[str, Pack]:
    """All packs under a root, by scope; of their files those of the gate are checked. Raises PackError for the first
    bad one; one that is switched off is told in the log and left out, because nothing depends on it.

    Args:
        root: the folder of packs.
        base_fingerprint: of the base model; None takes any.
        encoder_fingerprint: of the encoder, likewise.
        cache: keeps what the methods learned, once somebody has asked for it. None: a cache of these packs' own.
    """
    load = functools.partial(
        _load_if_on,
        base_fingerprint=base_fingerprint,
        encoder_fingerprint=encoder_fingerprint,
        cache=cache or ArtifactCache(),
        whole=False,
    )
    with ThreadPoolExecutor(_READERS, thread_name_prefix="packs") as threads:
        try:
            return {pack.guard.scope: pack for pack in threads.map(load, list_packs(root)) if pack}
        except PackError:
            threads.shutdown(cancel_futures=True)
            raise


def _load_if_on(folder: Path, **options: Any) -> Pack | None:
    try:
        return load_pack(folder, **options)
    except PackError as error:
        if is_enabled(folder):
            raise
        _log.warning("%s (it is switched off, so that the start goes on)", error)
        return None


def _load(folder: Path, manifest: Manifest, cache: ArtifactCache, *, whole: bool) -> Pack:
    acting, detector = _kinds(manifest)
    version, scope = manifest.version, manifest.scope
    try:
        gate = read_gate(folder / version)
    except (OSError, ValueError) as error:
        raise _unreadable(folder, GATE_FILE, error) from error
    read_model: Callable[[], Any] = functools.partial(_model, folder, version, detector)
    encoder = manifest.languages.encoder_fingerprint if manifest.languages else None
    read_languages: Callable[[], MultilingualHead] | None = None
    if encoder:
        read_languages = functools.partial(_languages, folder, version)
    if whole:
        read_model = functools.cache(read_model)
        read_model()
        if read_languages:
            read_languages = functools.cache(read_languages)
            read_languages()
    hashes = tuple(manifest.files[file] for file in acting.files)
    stored = StoredArtifact(folder.parent, scope, version, acting, hashes, cache)
    policy = gate.policy
    guard = Guard(scope, policy.plan, acting, None, policy.refusal, policy.instruction, source=stored)
    leaks = _StoredLeaks(folder, version, manifest.files.get(LEAKS_FILE), cache) if gate.leaks != "none" else None
    watched = Watched(gate.aliases, policy.output, leaks, has_passages=gate.leaks == "passages")
    return Pack(
        version, is_enabled(folder), gate.aliases, detector.name, read_model, guard, watched, encoder, read_languages
    )


def _unreadable(folder: Path, file: str, error: Exception) -> PackError:
    return PackError(f"pack {folder.name!r}: {file} cannot be read: {reason_of(error)}; train the scope again")


def _languages(folder: Path, version: str) -> MultilingualHead:
    try:
        return MultilingualHead.load(folder / version / LANGUAGES_FILE)
    except (OSError, ValueError) as error:
        raise _unreadable(folder, LANGUAGES_FILE, error) from error


@dataclass(frozen=True, slots=True, eq=False)
class _StoredLeaks:
    """What an answer must not say, in a pack's `version`; its file must have this SHA-256. The cache keeps its fault
    for the operator."""

    folder: Path
    version: str
    sha256: str | None
    cache: ArtifactCache

    def __call__(self) -> LeakModel:
        """Reads it, and checks its file. Slow. Raises PackError."""
        return self.cache.read_late(self.folder.name, LEAKS_FILE, self, self._from_file)

    def _from_file(self) -> LeakModel:
        path = self.folder / self.version / LEAKS_FILE
        try:
            if self.sha256 is None or sha256_of(path) != self.sha256:
                raise ValueError("it is not the file that the manifest lists")
            return LeakModel.load(path)
        except (OSError, ValueError) as error:
            raise PackError(
                f"pack {self.folder.name!r}: {LEAKS_FILE} cannot be read: {reason_of(error)}; restore it or train the "
                "scope again"
            ) from error


def _model(folder: Path, version: str, detector: DetectorKind) -> Any:
    try:
        return detector.load(folder / version / detector.file)
    except (OSError, ValueError) as error:
        raise _unreadable(folder, detector.file, error) from error


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
