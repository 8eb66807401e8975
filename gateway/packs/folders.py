"""Packs as folders: found, read, checked by hash, and switched on and off, without loading what is in them.

PACKS/<scope id>/manifest.json      points at the version in force, with the SHA-256 of each of its files
PACKS/<scope id>/<version>/...      the files: safetensors and JSON
PACKS/<scope id>/disabled           present while the operator has the pack switched off
PACKS/.changes                      the packs that changed last (see gateway.packs.changes)
"""

import hashlib
import os
import secrets
import shutil
from codecs import BOM_UTF8
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from gateway.errors import PackError, SetupError, reason_of
from gateway.files.atomic import replace_file
from gateway.files.litter import is_litter
from gateway.methods.registry import method_names
from gateway.packs.changes import note_change
from gateway.packs.detectors import GATE_FILE, LANGUAGES_FILE, detector_kind
from gateway.packs.manifest import Manifest

__all__ = [
    "claims",
    "folder_names",
    "has_manifest",
    "is_enabled",
    "list_packs",
    "read_manifest",
    "remove_pack",
    "set_enabled",
    "sha256_of",
    "stamp_of",
    "verify_files",
    "verify_pack",
    "write_manifest",
]

_MANIFEST, _DISABLED = "manifest.json", "disabled"


def list_packs(root: Path) -> Sequence[Path]:
    """The pack folders under a root. Raises PackError if the root cannot be read: absence must be deliberate."""
    return [root / name for name in folder_names(root) if claims(root / name)]


def folder_names(root: Path) -> Sequence[str]:
    """The folders under a root, packs or not, litter left out. Raises PackError if the root cannot be read."""
    try:
        with os.scandir(root) as found:
            return sorted(entry.name for entry in found if not is_litter(entry.name) and entry.is_dir())
    except FileNotFoundError as error:
        raise PackError(f"cannot read the packs folder {root}: it is not there; create it or give --packs") from error
    except OSError as error:
        raise PackError(f"cannot read the packs folder {root}: {reason_of(error)}; give --packs a folder") from error


def has_manifest(folder: Path) -> bool:
    """Whether a folder has a manifest. A folder that cannot be read counts as one, to be safe."""
    try:
        return (folder / _MANIFEST).exists()
    except OSError:
        return True


def claims(folder: Path) -> bool:
    """Whether a folder looks like a pack, damaged or not. A folder that cannot be read counts as one, to be safe."""
    try:
        with os.scandir(folder) as found:
            return any(entry.name == _MANIFEST or entry.name.startswith("v-") for entry in found)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def read_manifest(folder: Path) -> Manifest:
    """The manifest alone, its files unchecked. Raises PackError that says which field is wrong and what to do."""
    try:
        content = (folder / _MANIFEST).read_bytes().removeprefix(BOM_UTF8)  # an editor may have put a mark there
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not folder.exists():
            raise PackError(_no_pack(folder)) from error
        raise PackError(
            f"pack {folder.name!r} has no readable {_MANIFEST} in {folder}: {reason_of(error)}; restore it, or train "
            "the scope again, or remove the pack"
        ) from error
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise PackError(
            f"the manifest of pack {folder.name!r} is not valid: {place} {first['msg']}; train the scope again"
        ) from error
    if manifest.scope != folder.name:
        raise PackError(f"the folder {folder.name!r} holds a pack of scope {manifest.scope!r}; rename it back")
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Puts a manifest in force in one step."""
    replace_file(folder / _MANIFEST, manifest.model_dump_json(indent=2).encode())


def verify_pack(
    folder: Path, *, base_fingerprint: str | None = None, encoder_fingerprint: str | None = None, whole: bool = True
) -> Manifest:
    """The manifest of a pack whose files are all there and unchanged, made for the base model and the sentence encoder
    of these fingerprints. A pack may be replaced meanwhile: the manifest is of the old one or of the new one. Raises
    PackError.

    Args:
        folder: of the pack.
        base_fingerprint: of the base model; None takes any.
        encoder_fingerprint: of the encoder, likewise.
        whole: False looks into the files of the gate alone; the others must be there.
    """
    while True:
        manifest = read_manifest(folder)
        try:
            _require(folder, manifest, base_fingerprint, encoder_fingerprint)
            verify_files(folder, manifest, None if whole else _needed(folder.name, manifest))
            return manifest
        except PackError:
            if read_manifest(folder).version == manifest.version:
                raise


def _require(folder: Path, manifest: Manifest, base_fingerprint: str | None, encoder_fingerprint: str | None) -> None:
    if base_fingerprint is not None and manifest.base_fingerprint != base_fingerprint:
        raise PackError(
            f"pack {folder.name!r} was trained for another base model ({manifest.base_model}); serve that model, or "
            f"train the scope again with the model that is served"
        )
    if encoder_fingerprint is not None and manifest.encoder_fingerprint != encoder_fingerprint:
        raise PackError(
            f"pack {folder.name!r} was trained with another sentence encoder, or another runtime of it (earlier packs: "
            "torch); train the scope again, or set encoder and encoder_runtime as they were"
        )


def verify_files(folder: Path, manifest: Manifest, read: Collection[str] | None = None) -> None:
    """Checks that every file of a pack is there, and that those in `read` (None: all) have their hashes. Raises
    PackError that names the file and says what to do.

    The files that every pack must list are gate and detector; `load_pack` asks the method for its own.
    """
    name, files, version = folder.name, manifest.files, os.path.join(folder, manifest.version)
    try:
        present = set(os.listdir(version))
    except OSError as error:
        raise PackError(
            f"pack {name!r} lacks its version folder {version}: {reason_of(error)}; restore it or train the scope again"
        ) from error
    for file in _needed(name, manifest):
        if file not in files:
            raise PackError(f"the manifest of pack {name!r} does not list {file}; train the scope again")
    unknown = {file for file in present - files.keys() if not is_litter(file)}
    if unknown:
        raise PackError(f"pack {name!r} holds files its manifest does not list: {', '.join(sorted(unknown))}")
    for file, expected in files.items():
        if file not in present:
            raise PackError(f"pack {name!r} lacks {file}; restore it or train the scope again")
        if read is not None and file not in read:
            continue
        try:
            found = sha256_of(os.path.join(version, file))
        except OSError as error:
            raise PackError(f"pack {name!r}: {file} cannot be read: {reason_of(error)}; restore it") from error
        if found != expected:
            raise PackError(f"pack {name!r}: {file} was altered or cut short; restore it or train the scope again")


def _needed(name: str, manifest: Manifest) -> tuple[str, ...]:
    """Raises PackError for a method or a detector that is not known."""
    if manifest.method not in method_names():
        raise PackError(
            f"pack {name!r}: unknown method {manifest.method!r}; there are {', '.join(method_names())}; install what "
            f"brings it, or train the scope again"
        )
    try:
        languages = (LANGUAGES_FILE,) if manifest.languages else ()
        return (GATE_FILE, detector_kind(manifest.detector).file, *languages)
    except SetupError as error:
        raise PackError(f"pack {name!r}: {error}; install what brings it, or train the scope again") from error


def is_enabled(folder: Path) -> bool:
    """Whether the operator has the pack switched on."""
    return not (folder / _DISABLED).exists()


def set_enabled(folder: Path, enabled: bool) -> None:
    """Switches a pack on or off; the running gateway follows. A damaged one can be switched off. Raises PackError if
    there is no such pack."""
    if enabled or not claims(folder):
        read_manifest(folder)
    mark = folder / _DISABLED
    try:
        if enabled:
            mark.unlink(missing_ok=True)
        else:
            replace_file(mark, b"")
    except OSError as error:
        raise PackError(
            f"cannot switch pack {folder.name!r}: {reason_of(error)}; let this user write in {folder}"
        ) from error
    note_change(folder.parent, folder.name)


def remove_pack(folder: Path) -> None:
    """Takes a pack out of force in one step and deletes it; the running gateway follows. Raises PackError if there is
    no such pack."""
    if is_litter(folder.name) or not claims(folder):
        raise PackError(_no_pack(folder))
    aside = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}.removed")
    try:
        folder.rename(aside)
    except OSError as error:
        raise PackError(
            f"cannot remove pack {folder.name!r}: {reason_of(error)}; let this user write in {folder.parent}"
        ) from error
    note_change(folder.parent, folder.name)
    shutil.rmtree(aside, ignore_errors=True)


def _no_pack(folder: Path) -> str:
    return f"there is no pack {folder.name!r} in {folder.parent}; `unrecall packs list` names them"


def sha256_of(path: Path | str) -> str:
    """Of a file's content, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def stamp_of(folder: Path) -> int:
    """Another number whenever a file of the pack is another: of each file its path, size and time of change. Without
    reading any."""
    try:
        return hash(tuple(sorted(_states(str(folder)))))
    except OSError:
        return 0


def _states(folder: str) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as found:
        for entry in found:
            if entry.is_dir():
                yield from _states(entry.path)
            else:
                state = entry.stat()
                yield entry.path, state.st_size, state.st_mtime_ns
