"""Models as plain Hugging Face folders: found, and told apart."""

import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import ModelError, reason_of
from gateway.models.gguf_files import from_gguf
from gateway.models.packaged import PULLABLE, pull

__all__ = ["StoredTensor", "fingerprint", "local_folder", "resolve", "stored_tensors"]

_HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "tokenizer.model", "vocab.txt", "merges.txt"]
_GGUF = ".gguf"
_SAMPLE_BYTES = 4096
_MAX_HEADER_BYTES = 100_000_000  # the format's own limit


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a safetensors file: its `dtype` as the format writes it, its bytes from `start` to before `end`."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def resolve(model: str, *, say: Callable[[str], None] = lambda _: None, fetch: bool = True) -> Path:
    """The local folder of a model given as a packaged name, a folder, a GGUF file, a hub id, or a GGUF file of the hub
    (owner/name/FILE.gguf). Raises ModelError.

    Args:
        model: as the operator gave it.
        say: is told of a step that takes time.
        fetch: False downloads and converts nothing: what is not on this machine yet is an error.
    """
    if model in PULLABLE:
        return pull(model, say=say, fetch=fetch)
    if (folder := local_folder(model)) is not None:
        return folder
    place = Path(model).expanduser()
    if place.is_file():
        return from_gguf(place, say=say, fetch=fetch)
    if model.count("/") == 1:
        return _from_hub(model, fetch=fetch)
    say(f"downloading {model}")
    file = _from_hub(str(place.parent), place.name, fetch=fetch) / place.name
    if not file.is_file():
        raise ModelError(f"{place.parent} of the hub holds no file {place.name}; check its name on the model's page")
    return from_gguf(file, say=say, fetch=fetch)


def local_folder(model: str) -> Path | None:
    """The folder that a model's name is; None for a packaged name, a GGUF file, or what the hub may have. Raises
    ModelError for any other name."""
    if model in PULLABLE:
        return None
    if not model:
        raise ModelError("no model is given")
    place = Path(model).expanduser()
    if place.is_dir():
        return _checked(place)
    is_gguf = place.suffix.lower() == _GGUF
    if place.is_file():
        if not is_gguf:
            raise ModelError(f"{place} is a file; give the folder of a Hugging Face model, or a GGUF file")
        return None
    parts = model.count("/")
    if model.startswith((".", "/")) or not (parts == 1 or (parts == 2 and is_gguf)):
        raise ModelError(_unknown(model))
    return None


def _checked(folder: Path) -> Path:
    if (folder / "config.json").is_file():
        return folder
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() == _GGUF)
    hint = f"; for the model in {files[0].name} give that file" if files else ""
    raise ModelError(f"{folder} holds no config.json, so it is no Hugging Face model folder{hint}")


def _unknown(model: str) -> str:
    names = ", ".join(PULLABLE)
    return (
        f"no folder or GGUF file {model!r}, and it is neither a packaged model ({names}) nor a hub id (owner/name, or "
        "owner/name/FILE.gguf)"
    )


def fingerprint(folder: Path) -> str:
    """A SHA-256 that tells models apart in well under a second: of the tokenizer, and of the name, dtype, shape and
    first 4 KiB of every tensor.

    It does not depend on the names and number of the files, nor on config.json and the chat template. It does not see a
    change behind the first 4 KiB of every tensor: fine-tuning changes more, but a person could make one. Raises
    ModelError if the safetensors are missing or damaged.
    """
    digest = hashlib.sha256()
    tokenizer = folder / "tokenizer.json"
    if tokenizer.is_file():
        digest.update(hashlib.sha256(tokenizer.read_bytes()).digest())
    for line in sorted(_line(tensor) for tensor in stored_tensors(folder)):
        digest.update(line)
    return digest.hexdigest()


def stored_tensors(folder: Path) -> list[StoredTensor]:
    """The tensors that the folder's safetensors files list. Raises ModelError if the files are missing or damaged."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{folder} has no safetensors weights; convert the model first (pickled weights are not read)")
    return [tensor for file in files for tensor in _listed(file)]


def _listed(path: Path) -> list[StoredTensor]:
    """Of one file. Its size is compared with what the header promises, which shows an interrupted download."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(size, _MAX_HEADER_BYTES):
                raise ValueError(f"a header of {length} bytes in a file of {size}")
            header = json.loads(file.read(length))
        tensors = [
            StoredTensor(
                path, name, entry["dtype"], tuple(entry["shape"]), *(8 + length + at for at in entry["data_offsets"])
            )
            for name, entry in header.items()
            if name != "__metadata__"
        ]
        if any(not 8 + length <= tensor.start <= tensor.end for tensor in tensors):
            raise ValueError("a tensor that ends before it begins")
    except OSError as error:
        raise ModelError(f"cannot read {path}: {reason_of(error)}; let this user read it") from error
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path} is damaged ({type(error).__name__}: {error}); fetch or make the model anew"
        ) from error
    if max((tensor.end for tensor in tensors), default=0) > size:
        raise ModelError(f"{path} is cut off: it has {size} bytes and needs more; fetch or make the model anew")
    return tensors


def _line(tensor: StoredTensor) -> bytes:
    with tensor.file.open("rb") as file:
        file.seek(tensor.start)
        sample = file.read(min(_SAMPLE_BYTES, tensor.end - tensor.start))
    return f"{tensor.name} {tensor.dtype} {list(tensor.shape)} ".encode() + hashlib.sha256(sample).digest()


def _from_hub(model: str, file: str | None = None, *, fetch: bool) -> Path:
    """The folder of a model's files, or the one that holds the one file that is asked for."""
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, allow_patterns=[file] if file else _HUB_FILES, local_files_only=not fetch))
    except LocalEntryNotFoundError as error:
        reason = _reason(error) if fetch else "it is not downloaded yet; the first `unrecall serve` downloads it"
        raise ModelError(f"cannot get {model!r} from the Hugging Face hub: {reason}") from error
    except (HfHubHTTPError, httpx.HTTPError, OSError, ValueError) as error:
        raise ModelError(f"cannot get {model!r} from the Hugging Face hub: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What went wrong and what to do, for the hub's many errors."""
    import httpx
    from huggingface_hub import constants, errors

    if isinstance(error, errors.GatedRepoError):
        return "it is gated; accept its terms on its page, and set HF_TOKEN to a token of that account"
    if isinstance(error, errors.RepositoryNotFoundError | errors.HFValidationError):
        return "it has no such model; check the id, or set HF_TOKEN if the model is private, or give a local folder"
    if isinstance(error, errors.OfflineModeIsEnabled) or constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set, and the model is not in the cache; unset it, or give a local folder"
    if isinstance(error, errors.LocalEntryNotFoundError | httpx.TransportError | ConnectionError):
        return f"no connection ({type(error).__name__}); check the network, or give a local folder"
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
